"""Runs of several processes on gloo, for tests of training: what each rank trains, and what it found, in a file."""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from training_kit import PAIRS, VALIDATION, TinyEncoder, make_pairs, quiet, static, weights

from cosent_lib.encoders.cross import CrossEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.losses.make import make_loss
from cosent_lib.training.train import train

WITH_QUERIES = {**make_pairs(90, seed=3, levels=5), "query": [f"q{row // 5}" for row in range(90)]}
ODD = make_pairs(33, seed=4, levels=5)  # of a batch of 32 the last has one pair, fewer than there are ranks

# name: encoder, loss, its options, pairs
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, list[Any]]]] = {
    "sparse": ("static", "cosent", {}, PAIRS),
    "dense": ("tiny", "cosent", {"learn_scale": True}, PAIRS),
    "queries": ("tiny", "cosent", {}, WITH_QUERIES),
    "fewer pairs than ranks": ("tiny", "cosent", {}, ODD),
    "angle": ("tiny", "angle", {}, PAIRS),
    "flat": ("tiny", "cosent", {"flat": True}, PAIRS),
    "ranknet": ("tiny", "ranknet", {}, ODD),
    "squared": ("static", "cosine_squared", {}, ODD),
    "sbert": ("tiny", "sbert", {}, PAIRS),
    "sum": ("tiny", "cosent+mnrl", {}, PAIRS),
    "scores": ("cross", "bce", {}, ODD),  # a loss of order leaves the bias of the head to rounding
}


def small_cross(pairs: dict[str, list[Any]]) -> CrossEncoder:
    """A small cross-encoder without dropout."""
    cross = load_encoder("cross:small", [*pairs["sentence1"], *pairs["sentence2"]], dim=32, layers=1)
    assert isinstance(cross, CrossEncoder)
    for module in cross.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return cross


def run_case(case: str, processes: int, **settings: Any) -> dict[str, Any]:
    """Train a case as one of so many processes, 32 pairs a step in all; return what came out."""
    kind, loss_name, options, pairs = CASES[case]
    encoder = static(pairs) if kind == "static" else TinyEncoder(dropout=0.0) if kind == "tiny" else small_cross(pairs)
    if processes > 1 and os.environ["RANK"] != "0" and kind == "tiny":
        with torch.no_grad():
            encoder.turn.add_(1.0)  # it is rank 0's that counts
    loss = make_loss(loss_name, encoder, **options)
    config = quiet(**{"epochs": 2, "batch_size": 32 // processes, "max_grad_norm": 0.5, **settings})
    watched: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = train(encoder, loss, pairs, config, VALIDATION, watch=lambda *_: watched.append(1) or {"one": 1.0})
    return {
        "loss": result.history["loss"].tolist(),
        "bound": result.history["inversion_bound"].tolist(),
        "metrics": dict(result.best_metrics),
        "weights": weights(encoder, loss),
        "watched": len(watched),
        "group": getattr(loss, "group", None) is None,
    }


def one_rank(rank: int, processes: int, folder: str) -> None:
    """Every case on one rank."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": (Path(folder) / "port").read_text()}
    found: dict[str, Any] = {case: run_case(case, processes) for case in CASES}
    try:
        pairs = PAIRS if rank == 0 else VALIDATION
        train(TinyEncoder(), make_loss("cosent", TinyEncoder()), pairs, quiet(max_steps=2))
    except ValueError as error:
        found["other pairs"] = str(error)
    torch.save(found, f"{folder}/{rank}.pt")


def all_ranks(processes: int, folder: Path) -> list[dict[str, Any]]:
    """Every case on so many processes; what each rank found."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    mp.spawn(one_rank, args=(processes, str(folder)), nprocs=processes)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(processes)]
