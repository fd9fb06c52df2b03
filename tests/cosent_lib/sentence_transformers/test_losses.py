"""Losses for the trainers of sentence-transformers: theirs and the library's as oracles, cached, and over two ranks."""

import copy
import math
import os
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import transformers
from encoder_kit import TEXTS, tiny, word_piece_tokenizer
from torch import Tensor

library = pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
parts = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
theirs = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
ours = pytest.importorskip("cosent_lib.sentence_transformers")

from cosent_lib.losses import order  # noqa: E402
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning  # noqa: E402
from cosent_lib.ranking.scale import suggest_scale  # noqa: E402

PAIRS = {
    "sentence1": [TEXTS[i % 7] for i in range(12)],
    "sentence2": [TEXTS[(3 * i + 1) % 7] for i in range(12)],
    "score": [(5 * i % 7) / 6 for i in range(12)],
}
LOSSES: dict[str, Callable[..., Any]] = {
    "CoSENTLoss": order.CoSENTLoss,
    "AnglELoss": order.AnglELoss,
    "PairwiseLogisticLoss": order.PairwiseLogisticLoss,
    "PowerMeanLoss": order.PowerMeanLoss,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT with dropout."""
    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.AutoModel.from_config(tiny("bert", hidden_dropout_prob=0.3)).save_pretrained(folder)
    word_piece_tokenizer().save_pretrained(folder)
    return folder


def model_of(checkpoint: Path) -> Any:
    modules = [parts.Transformer(str(checkpoint)), parts.Pooling(16, "mean")]
    return library.SentenceTransformer(modules=modules, device="cpu").train()


def batch_of(model: Any, rows: slice = slice(None)) -> tuple[list[dict[str, Tensor]], Tensor]:
    features = [dict(model.preprocess(PAIRS[column][rows])) for column in ("sentence1", "sentence2")]
    return features, torch.tensor(PAIRS["score"][rows])


def gradients(model: Any, loss: Any) -> tuple[float, list[Tensor]]:
    """Value and gradients of a loss, dropout drawn afresh from one seed."""
    model.zero_grad()
    torch.manual_seed(3)
    features, labels = batch_of(model)
    value = loss(features, labels)
    value.backward()
    return float(value.detach()), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", ["CoSENTLoss", "AnglELoss"])
@pytest.mark.parametrize("scale", [20.0, 3.0])
def test_values_and_gradients_are_theirs(checkpoint: Path, name: str, scale: float) -> None:
    model = model_of(checkpoint)
    expected, their_gradients = gradients(model, getattr(theirs, name)(model, scale=scale))
    value, our_gradients = gradients(model, getattr(ours, name)(model, scale))
    assert value == pytest.approx(expected, rel=1e-5)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_cached_loss_is_the_plain_one_with_dropout_on(checkpoint: Path, name: str) -> None:
    model = model_of(checkpoint)
    for module in model.modules():  # another order of draws in parts than in one pass: compare without dropout …
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain = gradients(model, getattr(ours, name)(model, 5.0))
    cached = gradients(model, getattr(ours, name)(model, 5.0, mini_batch_size=5))
    assert cached[0] == pytest.approx(plain[0], rel=1e-6)
    for mine, other in zip(cached[1], plain[1], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    model = model_of(checkpoint)  # … and with it, in one part, where the draws are the same
    plain = gradients(model, getattr(ours, name)(model, 5.0))
    cached = gradients(model, getattr(ours, name)(model, 5.0, mini_batch_size=100))
    for mine, other in zip(cached[1], plain[1], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_what_the_library_adds_reaches_the_loss(checkpoint: Path) -> None:
    model = model_of(checkpoint)
    features, labels = batch_of(model)
    u, v = torch.randn(2, 12, 16)
    loss = ours.CoSENTLoss(model, 5.0, margin=0.2)
    expected = order.CoSENTLoss(5.0, 0.2)(u, v, labels)
    torch.testing.assert_close(loss.compute_loss_from_embeddings([u, v], labels), expected)
    torch.testing.assert_close(loss.compute_loss_from_embeddings([u, v], labels[:, None]), expected)
    assert loss.get_config_dict() == {
        "scale": 5.0, "margin": 0.2, "learn_scale": False, "flat": False, "gather_across_devices": True
    }  # fmt: skip
    assert "10.1109/TASLP.2024.3402087" in loss.citation
    with pytest.raises(ValueError, match=r"labels must be finite: 1 of 12 are not, the first at index 3"):
        ours.CoSENTLoss(model).compute_loss_from_embeddings([u, v], labels.index_fill(0, torch.tensor([3]), torch.nan))
    with pytest.raises(ValueError, match=r"CoSENTLoss compares pairs of texts, got 3 columns"):
        loss.compute_loss_from_embeddings([u, v, v], labels)
    with pytest.raises(ValueError, match=r"labels must have shape \[12\], one a pair, got \[11\]"):
        loss.compute_loss_from_embeddings([u, v], labels[:11])
    with pytest.warns(NoDemandedPairsWarning):
        assert loss(features, torch.ones(12)) == 0
    learned = ours.CoSENTLoss(model, 5.0, learn_scale=True)
    learned(features, labels).backward()
    assert learned.loss.log_scale.grad != 0
    assert any(p is learned.loss.log_scale for p in learned.parameters())


def test_cached_losses_refuse_what_cannot_be_cut(checkpoint: Path) -> None:
    static = library.SentenceTransformer(modules=[parts.StaticEmbedding(word_piece_tokenizer(), embedding_dim=8)])
    with pytest.raises(ValueError, match="a static embedding's batches cannot be cut: leave mini_batch_size out"):
        ours.CoSENTLoss(static, mini_batch_size=8)
    with pytest.raises(ValueError, match="mini_batch_size must be at least 1, got 0"):
        ours.AnglELoss(model_of(checkpoint), mini_batch_size=0)
    with pytest.raises(ValueError, match="λ is not learned over a gradient cache"):
        ours.PairwiseLogisticLoss(model_of(checkpoint), learn_scale=True, mini_batch_size=8)


def test_a_rule_computes_the_scale_from_validation_pairs(checkpoint: Path) -> None:
    model = model_of(checkpoint)
    loss = ours.CoSENTLoss(model, "suggested")
    features, labels = batch_of(model)
    with pytest.raises(ValueError, match="is to be suggested"):
        loss(features, labels)
    u, v = (model.encode(PAIRS[name], convert_to_tensor=True) for name in ("sentence1", "sentence2"))
    labels = 1.0 * (torch.cosine_similarity(u, v) > torch.cosine_similarity(u, v).median())
    labels[0], labels[1] = 1 - labels[0], 1 - labels[1]  # not in perfect order
    pairs = {**PAIRS, "score": labels.tolist()}
    expected = suggest_scale(torch.cosine_similarity(u, v), labels)
    assert loss.fit_scale(pairs) == pytest.approx(expected, rel=1e-4)
    assert loss.scale == loss.loss.scale
    with pytest.raises(ValueError, match=r"the scale of this loss is 20.0, a number"):
        ours.FitScale(ours.CoSENTLoss(model), PAIRS)


def trained(model: Any, loss: Any, folder: Path, callbacks: Any = None, learning_rate: float = 1e-2) -> list[float]:
    """Losses of ten steps of their trainer."""
    arguments = library.SentenceTransformerTrainingArguments(
        output_dir=str(folder), max_steps=10, per_device_train_batch_size=6, learning_rate=learning_rate,
        logging_steps=1, report_to=[], disable_tqdm=True, save_strategy="no", use_cpu=True, seed=1,
        eval_strategy="steps", eval_steps=5,
    )  # fmt: skip
    data = datasets.Dataset.from_dict(PAIRS)
    trainer = library.SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=data, eval_dataset=data, loss=loss, callbacks=callbacks
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_their_trainer_runs_it_as_its_own(checkpoint: Path, tmp_path: Path) -> None:
    curves = []
    for make in (theirs.CoSENTLoss, ours.CoSENTLoss):
        torch.manual_seed(0)
        model = model_of(checkpoint)
        curves.append(trained(model, make(model), tmp_path / "run"))
    assert len(curves[0]) == 10
    assert curves[1] == pytest.approx(curves[0], rel=1e-2)
    assert curves[0][0] != curves[0][-1]


def test_their_trainer_follows_the_scale(checkpoint: Path, tmp_path: Path) -> None:
    model = model_of(checkpoint)
    u, v = (model.eval().encode(PAIRS[name], convert_to_tensor=True) for name in ("sentence1", "sentence2"))
    cosines = torch.cosine_similarity(u, v)
    labels = 1.0 * (cosines > cosines.median())
    labels[:2] = 1 - labels[:2]  # some pairs stand wrong
    loss = ours.CoSENTLoss(model, "followed")
    follow = ours.FitScale(loss, {**PAIRS, "score": labels.tolist()})
    seen: list[float] = []
    fit = loss.fit_scale
    loss.fit_scale = lambda pairs: seen.append(fit(pairs)) or seen[-1]  # type: ignore[func-returns-value]
    trained(model, loss, tmp_path / "run", [follow], learning_rate=1e-4)
    assert seen[0] == pytest.approx(suggest_scale(cosines, labels), rel=1e-4)
    assert len(seen) == 3  # before the first step and at both evaluations
    assert len(set(seen)) == 3
    assert loss.scale == seen[-1]


def test_labels_may_be_any_numbers_where_the_scale_is_computed(checkpoint: Path) -> None:
    model = model_of(checkpoint).eval()
    u, v = (model.encode(PAIRS[name], convert_to_tensor=True) for name in ("sentence1", "sentence2"))
    grades = 5 * torch.cosine_similarity(u, v) - 7
    grades[:2] = grades[:2].flip(0)
    loss = ours.CoSENTLoss(model, "suggested")
    expected = suggest_scale(torch.cosine_similarity(u, v), grades)
    assert loss.fit_scale({**PAIRS, "score": grades.tolist()}) == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match="score must be finite, but row 3 has nan"):
        ours.FitScale(loss, {**PAIRS, "score": [1.0, 2.0, 3.0, math.nan, *range(8)]})


@pytest.mark.parametrize("rule", ["suggested", "followed"])
def test_a_training_that_resumes_keeps_its_scale(checkpoint: Path, tmp_path: Path, rule: str) -> None:
    def run(name: str, resume: str | None, pairs: dict[str, Any]) -> tuple[float, list[float]]:
        torch.manual_seed(0)
        model = model_of(checkpoint)
        loss = ours.CoSENTLoss(model, rule)
        arguments = library.SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path / name), max_steps=6, per_device_train_batch_size=6, learning_rate=1e-3,
            logging_steps=1, report_to=[], disable_tqdm=True, save_steps=4, use_cpu=True, seed=1,
            eval_strategy="steps", eval_steps=3,
        )  # fmt: skip
        data = datasets.Dataset.from_dict(PAIRS)
        trainer = library.SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=data, eval_dataset=data, loss=loss,
            callbacks=[ours.FitScale(loss, pairs)],
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        return loss.scale, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    pairs = learnable(checkpoint)
    whole = run("run", None, pairs)
    scale, losses = run("run", str(tmp_path / "run" / "checkpoint-4"), pairs)
    assert scale == pytest.approx(whole[0], rel=1e-5)
    assert losses == pytest.approx(whole[1], rel=1e-5)
    other = {name: column[:-1] for name, column in pairs.items()}
    with pytest.warns(UserWarning, match="the checkpoint of step 4 holds no λ of this loss and these pairs"):
        run("run", str(tmp_path / "run" / "checkpoint-4"), other)


def learnable(checkpoint: Path) -> dict[str, Any]:
    """The pairs with labels that go with the untrained cosines, but for two."""
    model = model_of(checkpoint).eval()
    u, v = (model.encode(PAIRS[name], convert_to_tensor=True) for name in ("sentence1", "sentence2"))
    cosines = torch.cosine_similarity(u, v)
    labels = 1.0 * (cosines > cosines.median())
    labels[:2] = 1 - labels[:2]
    return {**PAIRS, "score": labels.tolist()}


def trainer_rank(rank: int, folder: str) -> None:
    """What one of two processes of a launcher does: their trainer, our loss with a rule."""
    torch.set_num_threads(1)
    port = (Path(folder) / "port").read_text()
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    found = trained_beside(Path(folder) / "tiny", Path(folder) / f"run{rank}", 3)
    loss = ours.CoSENTLoss(model_of(Path(folder) / "tiny"), learn_scale=True)
    try:
        loss.compute_loss_from_embeddings([torch.randn(3, 4), torch.randn(3, 4)], torch.arange(3.0))
    except ValueError as error:
        found = (*found, str(error))
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def trained_beside(checkpoint: Path, folder: Path, batch_size: int) -> tuple[Any, ...]:
    """λ at the end, losses and weights of four steps without dropout, in a batch of so many pairs a process."""
    torch.manual_seed(0)
    model = model_of(checkpoint)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = ours.CoSENTLoss(model, "followed")
    arguments = library.SentenceTransformerTrainingArguments(
        output_dir=str(folder), max_steps=4, per_device_train_batch_size=batch_size, learning_rate=1e-2, seed=1,
        logging_steps=1, report_to=[], disable_tqdm=True, save_strategy="no", use_cpu=True, eval_strategy="steps",
        eval_steps=2, per_device_eval_batch_size=12, dataloader_drop_last=True, optim="sgd",
    )  # fmt: skip
    data = datasets.Dataset.from_dict(PAIRS)
    trainer = library.SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=data, eval_dataset=data, loss=loss,
        callbacks=[ours.FitScale(loss, learnable(checkpoint))],
    )  # fmt: skip
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return loss.scale, losses, [p.detach().clone() for p in model.parameters()]


def test_two_processes_of_their_trainer_follow_one_scale_and_are_one_batch(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(checkpoint)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    mp.spawn(trainer_rank, args=(str(tmp_path),), nprocs=2)
    scale, losses, weights = trained_beside(checkpoint, tmp_path / "alone", 6)
    for rank in range(2):
        theirs_scale, theirs_losses, theirs_weights, refused = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert theirs_scale == pytest.approx(scale, rel=1e-4)
        assert rank or theirs_losses == pytest.approx(losses, rel=1e-4)
        for mine, other in zip(theirs_weights, weights, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)
        assert refused == "λ is not learned across processes, each would have its own: leave learn_scale out"


def one_rank(rank: int, folder: str) -> None:
    """The gradient of one rank's half of the batch, averaged over the ranks as DDP does."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": (Path(folder) / "port").read_text()}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    found = {}
    forms: dict[str, dict[str, Any]] = {
        "plain": {}, "cached": {"mini_batch_size": 2}, "apart": {"gather_across_devices": False}
    }  # fmt: skip
    for name, options in forms.items():
        model = model_of(Path(folder) / "tiny").eval()
        loss = ours.CoSENTLoss(model, 5.0, **options)
        value = loss(*batch_of(model, slice(0, 5) if rank == 0 else slice(5, 12)))
        value.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        for grad in grads:
            dist.all_reduce(grad)
            grad /= 2
        alone = math.nan
        if rank == 0:  # the other rank does not come: an exchange would wait for it
            with torch.no_grad():
                alone = float(loss(*batch_of(model, slice(0, 6))))
        found[name] = float(value.detach()), grads, alone
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_rank_their_pairs_together(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(checkpoint)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    mp.spawn(one_rank, args=(str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    model = model_of(checkpoint).eval()
    expected = gradients(model, copy.copy(ours.CoSENTLoss(model, 5.0)))
    for name in ("plain", "cached"):
        for rank in ranks:
            assert rank[name][0] == pytest.approx(expected[0], rel=1e-5)
            for mine, other in zip(rank[name][1], expected[1], strict=True):
                torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
    assert ranks[0]["apart"][0] != pytest.approx(expected[0], rel=1e-3)
    with torch.no_grad():
        alone = float(ours.CoSENTLoss(model, 5.0)(*batch_of(model, slice(0, 6))))
    assert [ranks[0][name][2] for name in ranks[0]] == pytest.approx([alone] * 3, rel=1e-5)
