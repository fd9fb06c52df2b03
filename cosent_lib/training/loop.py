"""The one visible loop: a step's batches → their losses → gradients → update; looks at validation; checkpoints."""

import math
import time
from collections.abc import Callable
from operator import mul
from pathlib import Path
from statistics import fmean
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from cosent_lib.data.columns import Pairs
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.ranking.rank_loss import inversion_bound
from cosent_lib.training.batches import Batch, Batches, shares
from cosent_lib.training.checkpoints import (
    Progress,
    latest_checkpoint,
    parameters_of,
    random_state,
    read_progress,
    restore,
    save_checkpoint,
)
from cosent_lib.training.errors import (
    NonFiniteLoss,
    StopBetweenSteps,
    TrainingInterrupted,
    is_out_of_memory,
    likely_cause,
    non_finite_parameter,
)
from cosent_lib.training.ranks import Ranks
from cosent_lib.training.setup import (
    Objective,
    TrainingConfig,
    TrainingResult,
    Watch,
    carried_out,
    learning_rate_factor,
    make_optimizers,
    settings_of,
)
from cosent_lib.training.validation import Validation, watched_row


class Loop:
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
        ranks: Ranks,
    ) -> None:
        self.ranks = ranks
        self.teaches = getattr(loss, "teaches", lambda labels, **said: True)
        self.is_rank_loss = getattr(loss, "is_rank_loss", False)
        self.validation = Validation(config, loss, validation)
        self.config, self.accelerator, self.watch = config, accelerator, watch
        cutting = (config.batch_size * ranks.count, config.seed, config.accumulation_steps, config.batches)
        by_query = getattr(loss, "needs_order", False) or getattr(loss, "by_segment", False)
        self.batches = Batches(encoder, train_pairs, *cutting, by_query)
        if self.batches.query is not None:
            getattr(loss, "check_segments", lambda: None)()
        self.total = config.max_steps or config.epochs * self.batches.per_epoch
        self.objective = Objective(encoder, loss, ranks).to(accelerator.device)
        ranks.start_alike(self.objective)
        self.optimizers = [accelerator.prepare(o) for o in make_optimizers(self.objective, config)]
        self.prepared = accelerator.prepare(self.objective)
        self.dense, self.sparse = (
            [parameter for group in self.groups if group["sparse"] == kind for parameter in group["params"]]
            for kind in (False, True)
        )
        self.progress, self.best_parameters = Progress(), None
        self.carried_out = carried_out(config, accelerator, self.groups, loss)
        self.settings = settings_of(config, encoder, loss) | {
            "train_pairs": self.batches.digest,
            "validation": self.validation.digest,
            **({"processes": ranks.count} if ranks.count > 1 else {}),
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
            self.best_parameters = restore(checkpoint, self.progress, self.objective, self.accelerator, self.ranks.rank)
        elif self.ranks.any(self.saved() is not None):
            folder = str(self.config.output_dir)
            raise ValueError(f"output_dir holds a run already: go on with resume_from={folder!r}, or empty it")
        self.ranks.agree(self.settings | {"step of its checkpoint": self.progress.step})

    def run(self) -> None:
        """Every step of the run."""
        begun, earlier = time.perf_counter(), self.progress.seconds
        done = self.progress.step
        hidden = not (self.config.progress and self.ranks.is_first)
        bar = tqdm(total=self.total, initial=done, desc="train", unit="step", disable=hidden)
        self.prepared.train()
        with StopBetweenSteps() as stop, bar:
            if done == 0:
                self.look_ahead()
            elif self.unjudged():
                self.validate(self.batches.at(done)[-1])
            while not self.finished():
                step = self.progress.step + 1
                batches = self.batches.at(step)
                self.set_learning_rates(step)
                values = self.backward(batches)
                self.ranks.add_gradients(self.dense, self.sparse)
                if self.dense and self.config.max_grad_norm is not None:
                    self.accelerator.clip_grad_norm_(self.dense, self.config.max_grad_norm)
                for optimizer in self.optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
                self.note(batches, values)
                if self.due(self.config.evaluation_steps, step):
                    self.validate(batches[-1])
                self.progress.seconds = earlier + time.perf_counter() - begun
                stopped = self.ranks.any(stop.requested)
                if self.config.output_dir is not None and (stopped or self.due(self.config.checkpoint_steps, step)):
                    self.save()
                if stopped:
                    self.keep_best()
                    raise TrainingInterrupted(self.result(), self.saved())
                bar.update()
                if step % 20 == 0:
                    bar.set_postfix_str(f"loss {self.progress.history[-1][2]:.4f}", refresh=False)
        self.keep_best()

    def look_ahead(self) -> None:
        """What is known of validation before the first step."""
        try:
            self.ranks.on_first(lambda: self.validation.look_ahead(self.objective.encoder))
            self.scales(lambda: self.validation.suggest_scales(self.objective.encoder))
        except (MemoryError, RuntimeError) as error:
            error.add_note("while validating before the first step")
            raise
        self.progress.watched += self.watched(0)

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
        if self.ranks.count > 1 and not self.objective.exchanges:
            shared = {id(parameter) for parameter in self.objective.encoder.parameters()}
            for parameter in self.objective.loss.parameters():  # each rank has the whole gradient: to be the sum
                if parameter.grad is not None and id(parameter) not in shared:
                    parameter.grad /= self.ranks.count
        return values

    def loss_of(self, batch: Batch) -> Tensor:
        """The loss of a batch, or a NonFiniteLoss that says why it has none."""
        try:
            value = self.prepared(batch, batch.labels.to(self.accelerator.device))
            if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
                got = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                expected = "a loss must return one number that depends on the vectors, a tensor of shape []"
                raise TypeError(f"{type(self.objective.loss).__name__}: {expected}; got {got}")
            if math.isfinite(value.item()):
                return value
        except ValueError as error:  # losses refuse non-finite scores themselves
            cause = likely_cause(self.objective, batch, self.groups[0]["lr"])
            if cause is None:
                raise
            raise NonFiniteLoss("the loss is undefined", batch, cause, self.progress.table()) from error
        rate = self.groups[0]["lr"]
        cause = likely_cause(self.objective, batch, rate) or (
            f"parameters, vectors and labels are finite, so {type(self.objective.loss).__name__} itself overflowed; "
            f"lower its scale, or the learning rate (now {rate:.3g})"
        )
        raise NonFiniteLoss(f"the loss is {value.item()}", batch, cause, self.progress.table())

    def note(self, batches: list[Batch], values: list[float]) -> None:
        """Add a step to the history."""
        self.progress.step, epoch = batches[0].step, batches[0].epoch
        bounds = []
        if self.is_rank_loss and batches[0].segments is None:
            bounds = [inversion_bound(value, batch.labels) for value, batch in zip(values, batches, strict=True)]
        bound = fmean(defined) if (defined := [each for each in bounds if not math.isnan(each)]) else math.nan
        value = sum(map(mul, shares(batches), values))
        self.progress.history.append([self.progress.step, epoch, value, bound, self.groups[0]["lr"]])
        self.progress.batches_without_order += sum(
            not self.teaches(batch.labels, **self.objective.said_of(batch)) for batch in batches
        )

    def validate(self, batch: Batch) -> None:
        """Refuse a broken model; with validation pairs, evaluate and keep the parameters if they are the best."""
        name = non_finite_parameter(self.objective)
        if name is not None:
            cause = f"its update made it so; lower the learning rate (now {self.groups[0]['lr']:.3g})"
            raise NonFiniteLoss(f"parameter {name} is not finite", batch, cause, self.progress.table())
        try:
            self.judge(batch)
        except Exception as error:
            error.add_note(f"while validating after step {batch.step}")
            if self.config.output_dir is not None and not is_out_of_memory(error):
                error.add_note(f"saved in {self.save()}")
            raise

    def judge(self, batch: Batch) -> None:
        """Watch; with validation pairs, evaluate and keep the parameters if they are the best."""
        watched = self.watched(batch.step)
        if self.validation.pairs is not None:
            metrics, cosines = self.ranks.on_first(lambda: self.validation.evaluate(self.objective.encoder))
            best, metric = self.progress.best_metrics, self.config.selection_metric
            if not best or metrics[metric] > best[metric]:
                self.progress.best_step, self.progress.best_metrics = batch.step, metrics
                self.best_parameters = parameters_of(self.objective)
            self.scales(lambda: self.validation.follow_scales(cosines, batch.step))
            self.progress.evaluations.append({"step": batch.step, "epoch": batch.epoch, **metrics})
        self.progress.watched += watched

    def watched(self, step: int) -> list[dict[str, float | None]]:
        """The row of what is watched, if anything is."""
        if (watch := self.watch) is None:
            return []
        return [self.ranks.on_first(lambda: watched_row(watch, self.objective, step))]

    def scales(self, fit: Callable[[], None]) -> None:
        """Have rank 0 compute the scales that follow a rule, and all ranks take them."""

        def fitted() -> list[float]:
            fit()
            return [part.scale for part in self.validation.ruled]

        for part, scale in zip(self.validation.ruled, self.ranks.on_first(fitted), strict=True):
            part.scale = scale

    def unjudged(self) -> bool:
        """Whether the run was stopped by an error in the validation that was due after its last step."""
        rows = self.progress.evaluations if self.validation.pairs is not None else self.progress.watched
        judged = bool(rows) and rows[-1]["step"] == self.progress.step
        looks = self.validation.pairs is not None or self.watch is not None
        return looks and not judged and self.due(self.config.evaluation_steps, self.progress.step)

    def save(self) -> Path:
        """Write a checkpoint; return its folder."""
        folder = Path(self.config.output_dir)  # type: ignore[arg-type]  # asked only where it is set
        random = self.ranks.gathered(random_state(self.accelerator))
        run = (self.settings, self.progress, self.objective, self.best_parameters, self.accelerator, random)
        return self.ranks.on_first(lambda: save_checkpoint(folder, *run))

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
