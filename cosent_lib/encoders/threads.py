"""How many threads torch takes inside an operation: one, where the operations are too small to be shared out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def suited_threads(encoder: Any) -> Iterator[None]:
    """One thread inside the block for an encoder of tiny steps (``tiny_steps``), unless told otherwise.

    Threads that share out a tiny operation wait for each other longer than they compute, above all where other
    programs are at work. Told otherwise is: ``OMP_NUM_THREADS`` or ``MKL_NUM_THREADS`` is set, or torch has a number
    of threads that it would not have chosen itself, which somebody then chose by ``torch.set_num_threads``. After the
    block torch's number is what it was.
    """
    before = torch.get_num_threads()
    if not getattr(encoder, "tiny_steps", False) or before == 1 or _was_told(before):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _was_told(threads: int) -> bool:
    """Whether a number of threads is not torch's own choice, which is one a core, or one for each half of a core."""
    cpus = {os.cpu_count() or 1}
    if hasattr(os, "sched_getaffinity"):
        cpus.add(len(os.sched_getaffinity(0)))
    own = cpus | {max(1, count // 2) for count in cpus}
    return any(os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")) or threads not in own
