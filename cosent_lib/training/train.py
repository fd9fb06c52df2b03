"""One visible loop: pairs → token ids → one pass of the encoder → loss → update; the best by validation is kept.

The loop is ``_Loop.run``; beside it stand ``setup``, ``checkpoints`` and ``errors`` (how it ends early).
"""

import math
import time
import warnings
from operator import mul
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from cosent_lib.data.columns import Pairs
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning, inversion_bound
from cosent_lib.training.batches import Batch, Batches, shares
from cosent_lib.training.checkpoints import (
    Progress,
    latest_checkpoint,
    parameters_of,
    read_progress,
    restore,
    save_checkpoint,
)
from cosent_lib.training.errors import (
    NonFiniteLoss,
    OutOfMemory,
    StopBetweenSteps,
    TrainingInterrupted,
    is_out_of_memory,
    likely_cause,
    non_finite_parameter,
    overflow_cause,
    warn_of_accumulation,
    warn_of_batches_without_order,
)
from cosent_lib.training.setup import (
    Objective,
    TrainingConfig,
    TrainingResult,
    Watch,
    carried_out,
    learning_rate_factor,
    make_accelerator,
    make_optimizers,
    settings_of,
)
from cosent_lib.training.validation import Validation


def train(
    encoder: SentenceEncoder,
    loss: nn.Module,
    train_pairs: Pairs,
    config: TrainingConfig = TrainingConfig(),  # noqa: B008 — frozen
    validation: Pairs | None = None,
    resume_from: str | Path | None = None,
    watch: Watch | None = None,
) -> TrainingResult:
    """Train ``encoder``, and the loss's own parameters, on pairs.

    Both are changed in place; afterwards they are in eval mode, on the device of training, and hold the parameters of
    the best validation (of the last step without validation). No other data than the arguments is looked at. The run
    is a function of its arguments: on the CPU the same call gives the same bits. Random numbers are seeded inside, and
    torch's global generators are afterwards what they were.

    Args:
        encoder: texts → vectors; its ``tokenize``, ``embed``, ``parameter_groups`` and ``encode`` are used.
        loss: ``forward(u, v, labels)`` → scalar, with u, v ``[B, dim]`` and labels ``[B]`` in [0, 1]; see
            ``cosent_lib.losses``. Its attributes ``needs_order`` and ``is_rank_loss`` count as False if absent,
            its ``teaches(labels)`` as True.
        train_pairs: columns ``sentence1``, ``sentence2``, ``score`` in [0, 1].
        config: the settings.
        validation: pairs of the same form, on which the best step is chosen.
        resume_from: a checkpoint, or an ``output_dir`` that holds one, of a run with the same settings and pairs. It is
            gone on with, bit for bit on the CPU.
        watch: called with encoder and loss before the first step and at each validation; what it returns is a row of
            ``TrainingResult.watched``. It chooses nothing, and must change nothing.

    Raises:
        ValueError: bad pairs, settings that do not fit each other, a device that is not there, validation labels that
            are all equal, an ``output_dir`` that holds another run, a checkpoint that cannot be used.
        NonFiniteLoss: the loss became NaN or infinite; says where and the likely cause.
        OutOfMemory: says what to change; the last checkpoint, if any, is left as it is.
        TrainingInterrupted: Ctrl-C (a ``KeyboardInterrupt``); a checkpoint is written first if ``output_dir`` is set.
    """
    warn_of_accumulation(loss, config)
    accelerator = make_accelerator(config)
    cuda = [torch.cuda.current_device()] if accelerator.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda), warnings.catch_warnings():
            warnings.simplefilter("ignore", NoDemandedPairsWarning)  # counted, and reported once at the end
            torch.manual_seed(config.seed)
            loop = _Loop(encoder, loss, train_pairs, config, validation, accelerator, watch)
            loop.start(resume_from)
            try:
                loop.run()
            except (MemoryError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise OutOfMemory(error, loop.progress.step, encoder, config, loop.saved()) from error
                raise
    finally:
        encoder.eval()
        loss.eval()
        if cuda:  # it runs a full garbage collection, which nothing else has need of
            accelerator.free_memory()
    result = loop.result()
    warn_of_batches_without_order(loss, result.batches_without_order, loop.batches.count(result.steps))
    return result


class _Loop:
    """A run: what it works on, how far it is, and its one loop."""

    def __init__(
        self,
        encoder: SentenceEncoder,
        loss: nn.Module,
        train_pairs: Pairs,
        config: TrainingConfig,
        validation: Pairs | None,
        accelerator: Accelerator,
        watch: Watch | None,
    ) -> None:
        self.teaches = getattr(loss, "teaches", lambda labels: True)
        self.is_rank_loss = getattr(loss, "is_rank_loss", False)
        self.validation = Validation(config, loss, validation)
        self.config, self.accelerator, self.watch = config, accelerator, watch
        cutting = (config.batch_size, config.seed, config.accumulation_steps, config.batches)
        self.batches = Batches(encoder, train_pairs, *cutting)
        self.total = config.max_steps or config.epochs * self.batches.per_epoch
        self.objective = Objective(encoder, loss).to(accelerator.device)
        self.optimizers = [accelerator.prepare(o) for o in make_optimizers(self.objective, config)]
        self.prepared = accelerator.prepare(self.objective)
        self.dense = [
            parameter
            for optimizer in self.optimizers
            if not isinstance(optimizer.optimizer, torch.optim.SparseAdam)
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        self.progress, self.best_parameters = Progress(), None
        self.carried_out = carried_out(config, accelerator, self.groups, loss)
        self.settings = settings_of(config, encoder, loss) | {
            "train_pairs": self.batches.digest,
            "validation": self.validation.digest,
        }

    best_parameters: dict[str, Tensor] | None

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups, asked for anew each time: restoring an optimiser replaces them."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def start(self, resume_from: str | Path | None) -> None:
        """Take up a checkpoint, or make sure that none would be overwritten."""
        if resume_from is not None:
            checkpoint, self.progress = read_progress(resume_from, self.settings)
            self.best_parameters = restore(checkpoint, self.objective, self.accelerator)
        elif self.saved() is not None:
            folder = str(self.config.output_dir)
            raise ValueError(f"output_dir holds a run already: go on with resume_from={folder!r}, or empty it")

    def run(self) -> None:
        """Every step of the run."""
        begun, earlier = time.perf_counter(), self.progress.seconds
        done = self.progress.step
        bar = tqdm(total=self.total, initial=done, desc="train", unit="step", disable=not self.config.progress)
        self.prepared.train()
        with StopBetweenSteps() as stop, bar:
            if done == 0:
                self.validation.suggest_scales(self.objective.encoder)
                self.note_watched(0)
            while not self.finished():
                step = self.progress.step + 1
                batches = self.batches.at(step)
                self.set_learning_rates(step)
                values = self.backward(batches)
                if self.dense and self.config.max_grad_norm is not None:
                    self.accelerator.clip_grad_norm_(self.dense, self.config.max_grad_norm)
                for optimizer in self.optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
                self.note(batches, values)
                if self.due(self.config.evaluation_steps, step):
                    self.validate(batches[-1])
                self.progress.seconds = earlier + time.perf_counter() - begun
                if self.config.output_dir is not None and (
                    stop.requested or self.due(self.config.checkpoint_steps, step)
                ):
                    self.save()
                if stop.requested:
                    self.keep_best()
                    raise TrainingInterrupted(self.result(), self.saved())
                bar.update()
                if step % 20 == 0:
                    bar.set_postfix_str(f"loss {self.progress.history[-1][2]:.4f}", refresh=False)
        self.keep_best()

    def finished(self) -> bool:
        """Whether every step is done, or the last ``patience`` validations brought no new best."""
        rows, patience = self.progress.evaluations, self.config.patience
        patient = patience is None or len(rows) < patience or rows[-patience]["step"] <= self.progress.best_step
        return self.progress.step == self.total or not patient

    def due(self, every: int | None, step: int) -> bool:
        """Whether something done every so many steps (None: every epoch), and at the end, is to be done now."""
        return step % (every or self.batches.per_epoch) == 0 or self.finished()

    def set_learning_rates(self, step: int) -> None:
        """A function of the step alone, so that a resumed run needs no scheduler state."""
        factor = learning_rate_factor(step, self.total, self.config.warmup_ratio, self.config.schedule)
        for group in self.groups:
            group["lr"] = group["peak_lr"] * factor

    def backward(self, batches: list[Batch]) -> list[float]:
        """Add up the gradients of a step's batches, each by its share of the pairs; return their losses."""
        values = []
        for batch, share in zip(batches, shares(batches), strict=True):
            value = self.loss_of(batch)
            self.accelerator.backward(value * share)
            values.append(value.item())
        return values

    def loss_of(self, batch: Batch) -> Tensor:
        """The loss of a batch, or a NonFiniteLoss that says why it has none."""
        try:
            value = self.prepared(batch.first, batch.second, batch.labels.to(self.accelerator.device))
            if math.isfinite(value.item()):
                return value
        except ValueError as error:  # losses refuse non-finite scores themselves
            cause = likely_cause(self.objective, batch, self.groups[0]["lr"])
            if cause is None:
                raise
            raise NonFiniteLoss("the loss is undefined", batch, cause, self.progress.table()) from error
        rate = self.groups[0]["lr"]
        cause = likely_cause(self.objective, batch, rate) or overflow_cause(self.objective, rate)
        raise NonFiniteLoss(f"the loss is {value.item()}", batch, cause, self.progress.table())

    def note(self, batches: list[Batch], values: list[float]) -> None:
        """Add a step to the history."""
        self.progress.step, epoch = batches[0].step, batches[0].epoch
        bounds = []
        if self.is_rank_loss:
            bounds = [inversion_bound(value, batch.labels) for value, batch in zip(values, batches, strict=True)]
        bound = fmean(defined) if (defined := [each for each in bounds if not math.isnan(each)]) else math.nan
        value = sum(map(mul, shares(batches), values))
        self.progress.history.append([self.progress.step, epoch, value, bound, self.groups[0]["lr"]])
        self.progress.batches_without_order += sum(not self.teaches(batch.labels) for batch in batches)

    def validate(self, batch: Batch) -> None:
        """Refuse a broken model; with validation pairs, evaluate and keep the parameters if they are the best."""
        name = non_finite_parameter(self.objective)
        if name is not None:
            cause = f"its update made it so; lower the learning rate (now {self.groups[0]['lr']:.3g})"
            raise NonFiniteLoss(f"parameter {name} is not finite", batch, cause, self.progress.table())
        self.note_watched(batch.step)
        if self.validation.pairs is None:
            return
        try:
            metrics, cosines = self.validation.evaluate(self.objective.encoder)
        except Exception as error:
            error.add_note(f"while validating after step {batch.step}")
            raise
        self.progress.evaluations.append({"step": batch.step, "epoch": batch.epoch, **metrics})
        best, metric = self.progress.best_metrics, self.config.selection_metric
        if not best or metrics[metric] > best[metric]:
            self.progress.best_step, self.progress.best_metrics = batch.step, metrics
            self.best_parameters = parameters_of(self.objective)
        self.validation.follow_scales(cosines, batch.step)

    def note_watched(self, step: int) -> None:
        """Add a row of what is watched."""
        if self.watch is not None:
            self.progress.watched.append({"step": step, **self.watch(self.objective.encoder, self.objective.loss)})

    def save(self) -> None:
        """Write a checkpoint."""
        folder = Path(self.config.output_dir)  # type: ignore[arg-type]  # asked only where it is set
        save_checkpoint(folder, self.settings, self.progress, self.objective, self.best_parameters, self.accelerator)

    def saved(self) -> Path | None:
        """The last checkpoint, if there is one."""
        return latest_checkpoint(self.config.output_dir) if self.config.output_dir is not None else None

    def result(self) -> TrainingResult:
        """The run so far as a result."""
        return self.progress.result(self.carried_out)

    def keep_best(self) -> None:
        """Leave encoder and loss with the best parameters."""
        if self.best_parameters is not None:
            self.objective.load_state_dict(self.best_parameters)
