"""CoSENT and its relatives as losses of sentence-transformers.

Each is the loss of the same name in :mod:`cosent_lib.losses` over the vectors of a ``SentenceTransformer``. What they
add to that library's own: batches beyond memory, exact ranking across processes, a λ that is computed from validation
pairs, an error for labels that are not finite, a warning for batches without order.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from accelerate.utils import extract_model_from_parallel
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin, has_static_embedding_input
from torch import Tensor, nn

from cosent_lib.data.columns import Pairs, pair_columns
from cosent_lib.losses import order
from cosent_lib.losses.base import cosine

HUANG = """
@article{huang2024cosent,
    title = {CoSENT: Consistent Sentence Embedding via Similarity Ranking},
    author = {Huang, Xiang and Peng, Hao and Zou, Dongcheng and Liu, Zhiwei and Li, Jianxin and Liu, Kay and
              Wu, Jia and Su, Jianlin and Yu, Philip S.},
    journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
    year = {2024},
    doi = {10.1109/TASLP.2024.3402087}
}
"""
BURGES = """
@inproceedings{burges2005ranknet,
    title = {Learning to Rank using Gradient Descent},
    author = {Burges, Chris and Shaked, Tal and Renshaw, Erin and Lazier, Ari and Deeds, Matt and Hamilton, Nicole
              and Hullender, Greg},
    booktitle = {Proceedings of the 22nd International Conference on Machine Learning},
    year = {2005}
}
"""
LI = """
@misc{li2023angle,
    title = {AnglE-optimized Text Embeddings},
    author = {Li, Xianming and Li, Jing},
    year = {2023},
    eprint = {2309.12871},
    archivePrefix = {arXiv}
}
"""


class RankingLoss(CachedLossMixin, nn.Module):
    """A loss of :mod:`cosent_lib.losses` over the vectors of a model; what the classes below share.

    Takes two columns of texts and a column of numbers, any whose order counts.

    With ``mini_batch_size`` the gradient is computed so many texts at a time, by the library's own gradient cache
    (Gao et al. 2021, arXiv 2101.06983): a forward pass without graph in parts, the loss of all vectors, and a second
    forward pass that carries its gradient on. Exact, dropout replayed, memory bounded by the part.

    Args:
        model: the model that is trained.
        loss: over (u, v, labels).
        mini_batch_size: see above; None for one pass over the whole batch.
        gather_across_devices: where several processes train (torchrun, accelerate), rank all their pairs against each
            other, exactly; else each process ranks its own.

    Raises:
        ValueError: a ``mini_batch_size`` below 1, or with a static embedding or a learned λ.
    """

    citation: ClassVar[str] = HUANG

    def __init__(
        self,
        model: SentenceTransformer,
        loss: order.ScaledLoss,
        mini_batch_size: int | None = None,
        gather_across_devices: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.gather_across_devices = model, loss, gather_across_devices
        self.uses_gradient_cache = mini_batch_size is not None
        if mini_batch_size is None:
            return
        if mini_batch_size < 1:
            raise ValueError(f"mini_batch_size must be at least 1, got {mini_batch_size}")
        if has_static_embedding_input(model):
            raise ValueError("a static embedding's batches cannot be cut: leave mini_batch_size out, they are small")
        if loss.learn_scale:  # its gradient would miss what the trainer multiplies the loss by
            raise ValueError("λ is not learned over a gradient cache: leave learn_scale or mini_batch_size out")
        self.mini_batch_size = mini_batch_size

    @property
    def scale(self) -> float:
        """λ as it is now; NaN where a rule has not computed it yet."""
        return self.loss.scale

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of a batch: the features of two columns, and ``labels`` ``[batch]``."""
        if self.uses_gradient_cache:
            return self.forward_cached(sentence_features, labels)
        vectors = [self.model(features)["sentence_embedding"] for features in sentence_features]
        return self.compute_loss_from_embeddings(vectors, labels)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """What the gradient cache asks for: the loss of all vectors, given in parts, and their gradients."""
        if labels is None:
            raise ValueError(f"{type(self).__name__} needs labels")
        value = self.compute_loss_from_embeddings([torch.cat(parts) for parts in reps], labels)
        if not with_backward:
            return value
        value.backward()
        return value.detach()

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of two blocks of vectors ``[batch, dim]`` and ``labels`` ``[batch]``, a scalar.

        Raises:
            ValueError: other than two columns, shapes that do not fit, labels or vectors that are not finite.
        """
        name = type(self).__name__
        if len(embeddings) != 2:
            raise ValueError(
                f"{name} compares pairs of texts, got {len(embeddings)} columns of texts beside the labels"
            )
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if several and self.loss.learn_scale and torch.is_grad_enabled():  # DDP knows the model's parameters only
            raise ValueError("λ is not learned across processes, each would have its own: leave learn_scale out")
        labels = labels.view(-1)
        if labels.dtype == torch.bool:
            labels = labels.float()
        group = self._group()
        if self.gather_across_devices:
            self.loss.group = group  # type: ignore[assignment]  # that of this call: the last one may have had another
        value: Tensor = self.loss(*embeddings, labels)
        if group is None:
            return value
        # The trainer's DDP averages gradients over the ranks, each of which has its part of the whole gradient.
        return value + (dist.get_world_size(group) - 1) * (value - value.detach())

    def fit_scale(self, pairs: Pairs, batch_size: int = 32) -> float:
        """Set λ by the rule that was given as ``scale``, from the cosines of ``pairs`` (sentence1, sentence2, score).

        For a rule, and before training: `FitScale` does it at the right times. Labels are any numbers. Returns λ;
        raises as :meth:`cosent_lib.losses.order.ScaledLoss.fit_scale` does.
        """
        columns = pair_columns(pairs, unit=False)
        model = extract_model_from_parallel(self.model)  # a trainer puts its wrapped model here
        options: dict[str, Any] = {"convert_to_tensor": True, "show_progress_bar": False, "batch_size": batch_size}
        u, v = (model.encode(list(texts), **options).cpu() for texts in (columns.first, columns.second))
        return self.loss.fit_scale(cosine(u, v), torch.from_numpy(columns.labels))

    def get_config_dict(self) -> dict[str, Any]:
        """The settings, for the model card."""
        cached = {"mini_batch_size": self.mini_batch_size} if self.uses_gradient_cache else {}
        gathered = {"gather_across_devices": True} if self.gather_across_devices else {}
        return {**self.loss.given(), **cached, **gathered}

    def _group(self) -> dist.ProcessGroup | None:
        if not (self.gather_across_devices and dist.is_available() and dist.is_initialized()):
            return None
        # In evaluation ranks may have other numbers of batches: an exchange would wait for ever.
        return dist.group.WORLD if dist.get_world_size() > 1 and torch.is_grad_enabled() else None


class CoSENTLoss(RankingLoss):
    """:class:`cosent_lib.CoSENTLoss` for ``SentenceTransformerTrainer``; drop-in for the one that is there.

    Args:
        model: the model that is trained.
        scale: λ, 20 by custom; or ``"suggested"`` or ``"followed"``, for which `FitScale` is given to the trainer.
        margin: demanded gap of cosines for a label gap of 1.
        learn_scale: train λ too, in one process. Trainers do not save a loss's parameters: one that resumes begins
            with ``scale`` again. Weight decay, if there is any, draws λ to 1.
        mini_batch_size: for batches beyond memory, how many texts are in it at once, see `RankingLoss`.
        gather_across_devices: rank the pairs of all processes against each other, exactly.

    Source: Su 2022 (Scientific Spaces 8847); Huang et al. 2024; Chapters 8 and 14.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float | str = 20.0,
        *,
        margin: float = 0.0,
        learn_scale: bool = False,
        mini_batch_size: int | None = None,
        gather_across_devices: bool = True,
    ) -> None:
        super().__init__(model, order.CoSENTLoss(scale, margin, learn_scale), mini_batch_size, gather_across_devices)


class AnglELoss(RankingLoss):
    """:class:`cosent_lib.AnglELoss` for ``SentenceTransformerTrainer``: the angle term of AnglE.

    Args:
        model: the model that is trained; the length of its vectors is even.
        scale: λ.
        mini_batch_size: for batches beyond memory, see `RankingLoss`.
        gather_across_devices: rank the pairs of all processes against each other, exactly.

    Source: Li & Li 2023 (arXiv 2309.12871); Chapter 13.
    """

    citation: ClassVar[str] = LI

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float = 20.0,
        *,
        mini_batch_size: int | None = None,
        gather_across_devices: bool = True,
    ) -> None:
        super().__init__(model, order.AnglELoss(scale), mini_batch_size, gather_across_devices)


class PairwiseLogisticLoss(RankingLoss):
    """:class:`cosent_lib.PairwiseLogisticLoss` (RankNet) for ``SentenceTransformerTrainer``; ranks within a process.

    Args:
        model: the model that is trained.
        scale: λ, or a rule as for `CoSENTLoss`.
        learn_scale: train λ too.
        mini_batch_size: for batches beyond memory, see `RankingLoss`.

    Source: Burges et al. 2005; Chapter 8.
    """

    citation: ClassVar[str] = BURGES

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float | str = 20.0,
        *,
        learn_scale: bool = False,
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(model, order.PairwiseLogisticLoss(scale, learn_scale), mini_batch_size)


class PowerMeanLoss(RankingLoss):
    """:class:`cosent_lib.PowerMeanLoss` for ``SentenceTransformerTrainer``; ranks within a process.

    Args:
        model: the model that is trained.
        scale: λ, or a rule as for `CoSENTLoss` where the exponent is 0 or 1.
        exponent: κ, from CoSENT's form (1) over RankNet (0) to the smoothed AUC (−1).
        learn_scale: train λ too.
        mini_batch_size: for batches beyond memory, see `RankingLoss`.

    Source: Chapter 10.
    """

    citation: ClassVar[str] = BURGES

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float | str = 20.0,
        exponent: float = 0.0,
        *,
        learn_scale: bool = False,
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(model, order.PowerMeanLoss(scale, exponent, learn_scale), mini_batch_size)
