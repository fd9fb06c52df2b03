"""Training: pairs → token ids → one pass of the encoder → loss → update; the best by validation is kept.

The loop itself is ``loop.py``; beside it stand ``setup``, ``checkpoints``, ``notices`` (what is said) and ``errors``
(how it ends early).
"""

import warnings
from pathlib import Path

import torch
from torch import nn

from cosent_lib.data.columns import Pairs
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.threads import suited_threads
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning
from cosent_lib.training.errors import OutOfMemory, is_out_of_memory
from cosent_lib.training.loop import Loop
from cosent_lib.training.notices import (
    warn_of_accumulation,
    warn_of_batches_without_order,
    warn_of_cut_texts,
    warn_of_merged_levels,
)
from cosent_lib.training.ranks import ranks_of_run
from cosent_lib.training.setup import TrainingConfig, TrainingResult, Watch, make_accelerator


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

    Called by each of W processes that torchrun or ``accelerate launch`` started, with the same arguments, it is the run
    of one process with W times the batch: the same losses and steps, every loss that of the whole batch (dropout draws
    anew on each). Rank 0 alone validates, watches, shows progress and writes; all return the same.

    Args:
        encoder: texts → vectors; its ``tokenize``, ``embed``, ``parameter_groups`` and ``encode`` are used.
        loss: ``forward(u, v, labels)`` → scalar, with u, v ``[B, dim]`` and labels ``[B]`` in [0, 1]; see
            ``cosent_lib.losses``. Its attributes ``needs_order`` and ``is_rank_loss`` count as False if absent,
            its ``teaches(labels)`` as True.
        train_pairs: columns ``sentence1``, ``sentence2``, ``score`` in [0, 1]. With a column ``query`` a loss of order
            compares only pairs of one query, and batches keep these together.
        config: the settings.
        validation: pairs of the same form, on which the best step is chosen.
        resume_from: a checkpoint, or an ``output_dir`` that holds one, of a run with the same settings and pairs. It is
            gone on with, bit for bit on the CPU.
        watch: called with encoder and loss before the first step and at each validation; what it returns is a row of
            ``TrainingResult.watched``. It chooses nothing, and must change nothing.

    Raises:
        TypeError: an argument of another kind, a loss that does not return one number.
        ValueError: bad pairs, settings that do not fit each other, a device that is not there, validation labels that
            are all equal, an ``output_dir`` that holds another run, a checkpoint that cannot be used.
        NonFiniteLoss: the loss became NaN or infinite; says where and the likely cause.
        OutOfMemory: says what to change; the last checkpoint, if any, is left as it is.
        RankLost: of several processes another one ended; the last checkpoint can be gone on with.
        TrainingInterrupted: Ctrl-C (a ``KeyboardInterrupt``); a checkpoint is written first if ``output_dir`` is set.
    """
    arguments = ("encoder", encoder, nn.Module), ("loss", loss, nn.Module), ("config", config, TrainingConfig)
    for name, value, wanted in arguments:
        if not isinstance(value, wanted):
            raise TypeError(f"{name} must be {wanted.__name__}, not {type(value).__name__}: {value!r:.60}")
    if watch is not None and not callable(watch):
        raise TypeError(f"watch must be a function of encoder and loss, got {watch!r:.60}")
    warn_of_accumulation(loss, config)
    ranks, accelerator = ranks_of_run(config.device), make_accelerator(config)
    cuda = [torch.cuda.current_device()] if accelerator.device.type == "cuda" else []
    try:
        with (
            ranks.telling(config.output_dir),
            ranks.exchanging(loss),
            suited_threads(encoder),
            torch.random.fork_rng(devices=cuda),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", NoDemandedPairsWarning)  # counted, and reported once at the end
            torch.manual_seed(ranks.seed(config.seed))
            loop = Loop(encoder, loss, train_pairs, config, validation, accelerator, watch, ranks)
            warn_of_merged_levels(loss, loop.batches.labels)
            warn_of_cut_texts(encoder, loop.batches, loop.validation)
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
