"""What is watched along training: the numbers, when they are taken, and that watching changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_kit import PAIRS, VALIDATION, TinyEncoder, make_pairs, quiet, same, weights

from cosent_book.carry_out import carry_out
from cosent_book.watches import WATCHES, make_watch, query_order
from cosent_lib.evaluation.evaluate import cosine_scores, evaluate, evaluate_classifier
from cosent_lib.losses.make import make_loss
from cosent_lib.ranking.scale import suggest_scale
from cosent_lib.runs.run import Run
from cosent_lib.training.train import train


def test_rows_stand_at_step_0_and_at_each_validation_and_nothing_else_changes() -> None:
    seen = []

    def watch(encoder: torch.nn.Module, loss: torch.nn.Module) -> dict[str, float]:
        seen.append(encoder.turn[0, 0].item())
        return {"corner": seen[-1]}

    encoders = TinyEncoder(), TinyEncoder()
    config = quiet(epochs=2, evaluation_steps=10)
    results = [
        train(encoder, make_loss("cosent", encoder), PAIRS, config, VALIDATION, watch=each)
        for encoder, each in zip(encoders, (watch, None), strict=True)
    ]
    assert results[0].watched["step"].tolist() == [0, *results[0].evaluations["step"]]
    assert results[0].watched["corner"].tolist() == seen
    assert seen[0] == TinyEncoder().turn[0, 0].item()
    assert same(weights(encoders[0]), weights(encoders[1]))
    assert results[0].history.equals(results[1].history)
    assert len(results[1].watched) == 0


def test_a_resumed_run_has_the_rows_of_an_undisturbed_one(tmp_path: Path) -> None:
    def interrupted_at(step: int):
        def watch(encoder: torch.nn.Module, loss: torch.nn.Module) -> dict[str, float]:
            calls.append(1)
            if len(calls) == step:
                raise RuntimeError("power cut")
            return {"corner": encoder.turn[0, 0].item()}

        calls: list[int] = []
        return watch

    config = quiet(epochs=2, evaluation_steps=5, output_dir=tmp_path / "run", checkpoint_steps=5)
    whole = train(
        encoder := TinyEncoder(), make_loss("cosent", encoder), PAIRS, quiet(epochs=2, evaluation_steps=5), VALIDATION,
        watch=interrupted_at(-1),
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="power cut"):
        train(
            encoder := TinyEncoder(), make_loss("cosent", encoder), PAIRS, config, VALIDATION, watch=interrupted_at(4)
        )
    encoder = TinyEncoder()
    resumed = train(
        encoder, make_loss("cosent", encoder), PAIRS, config, VALIDATION, resume_from=tmp_path / "run",
        watch=interrupted_at(-1),
    )  # fmt: skip
    assert resumed.watched.equals(whole.watched)


def test_the_classifier_is_watched_beside_the_cosine() -> None:
    encoder = TinyEncoder()
    loss = make_loss("sbert", encoder)
    row = WATCHES["classifier"](encoder, loss, VALIDATION)
    assert row["classifier_accuracy"] == evaluate_classifier(encoder, loss, VALIDATION)["accuracy"]
    assert row["spearman"] == evaluate(encoder, VALIDATION)["spearman"]
    assert WATCHES["classifier"](encoder, make_loss("cosent", encoder), VALIDATION)["classifier_accuracy"] is None


def test_the_scale_is_the_one_that_suggest_scale_gives() -> None:
    encoder = TinyEncoder()
    row = WATCHES["scale"](encoder, make_loss("cosent", encoder, scale=7.0), VALIDATION)
    cosines, labels = torch.from_numpy(cosine_scores(encoder, VALIDATION)), torch.tensor(VALIDATION["score"])
    assert row["suggested_scale"] == pytest.approx(suggest_scale(cosines, labels), rel=1e-4)
    gaps = cosines[labels == 0][:, None] - cosines[labels == 1]
    assert row["log_bound_20"] == pytest.approx(float((20 * gaps).exp().mean().log()), abs=1e-3)
    assert row["log_bound"] < row["log_bound_20"]
    assert row["scale"] == 7.0


def test_where_no_scale_helps_the_row_says_so() -> None:
    encoder = TinyEncoder()
    order = np.argsort(cosine_scores(encoder, VALIDATION))
    against = VALIDATION | {"score": np.where(np.argsort(order) < 40, 1.0, 0.0).tolist()}
    row = WATCHES["scale"](encoder, make_loss("cosine_squared", encoder), against)
    assert row == {"suggested_scale": None, "log_bound": None, "log_bound_20": None, "scale": None}


def test_a_broken_encoder_is_an_error_and_not_a_row_without_scale() -> None:
    encoder = TinyEncoder()
    with torch.no_grad():
        encoder.turn.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"NaN|finite"):
        WATCHES["scale"](encoder, make_loss("cosent", encoder), VALIDATION)


def test_the_watch_on_test_looks_at_the_test_pairs_and_nowhere_else() -> None:
    encoder, test = TinyEncoder(), make_pairs(60, seed=9)
    row = make_watch(["test", "classifier"], VALIDATION, test)(encoder, make_loss("cosent", encoder))
    assert row["test_spearman"] == evaluate(encoder, test)["spearman"]
    assert row["spearman"] == evaluate(encoder, VALIDATION)["spearman"] != row["test_spearman"]
    with pytest.raises(ValueError, match="watch 'test' needs test pairs, and the run loads none"):
        make_watch(["test"], VALIDATION)


def test_a_run_that_watches_test_chooses_on_validation_all_the_same() -> None:
    training = {"max_steps": 40, "batch_size": 32, "device": "cpu", "evaluation_steps": 5}
    settings = {"suite": "trial", "task": "builtin", "encoder": "static", "encoder_options": {"dim": 8},
                "loss": "cosent", "training": training}  # fmt: skip
    watched, plain = (carry_out(Run(**settings, watch=watch), progress=False)[0] for watch in (("test",), ()))
    assert [row["step"] for row in watched.watched] == [0, *range(5, 41, 5)]
    by_step = {row["step"]: row["test_spearman"] for row in watched.watched}
    assert by_step[0] == watched.metrics["test_untrained"]["spearman"]
    assert by_step[watched.best_step] == watched.metrics["test"]["spearman"]
    best = max(watched.evaluations, key=lambda row: row["spearman"])
    assert watched.best_step == best["step"]
    assert (plain.metrics, plain.best_step, plain.history) == (watched.metrics, watched.best_step, watched.history)
    with pytest.raises(ValueError, match="watch 'test' needs test pairs"):
        carry_out(Run(**settings, watch=("test",), judge=()), progress=False)


def test_the_order_is_watched_of_labels_and_of_each_query() -> None:
    scores, labels = np.array([0.9, 0.2, 0.5, 0.4, 0.3]), np.array([1.0, 0.0, 0.5, 1.0, 0.5])
    assert query_order(scores, labels, ["a", "a", "b", "b", "c"]).tolist() == [1.0, 0.0]
    assert query_order(scores, labels, list("abcde")).size == 0
    encoder = TinyEncoder()
    row = WATCHES["order"](encoder, make_loss("cosent", encoder), VALIDATION)
    metrics, cosines = evaluate(encoder, VALIDATION), cosine_scores(encoder, VALIDATION)
    assert (row["spearman"], row["top_auc"]) == (metrics["spearman"], metrics["auc"])  # two labels
    assert row["mean_1"] == pytest.approx(cosines[np.array(VALIDATION["score"]) == 1].mean())


def test_a_split_that_is_not_there_is_no_watch() -> None:
    with pytest.raises(ValueError, match="watch 'stsb_zh/test' looks at pairs that the run does not load"):
        make_watch(["stsb_zh/test"], VALIDATION)
    with pytest.raises(ValueError, match="needs test pairs"):
        make_watch(["test:order"], VALIDATION)


def test_an_unknown_watch_is_refused() -> None:
    with pytest.raises(
        ValueError, match="unknown watch 'loss', expected some of: classifier, scale, geometry, order, test"
    ):
        make_watch(["loss"], VALIDATION)


def test_a_run_records_what_it_watches_what_it_changes_and_retrieval() -> None:
    training = {"max_steps": 6, "batch_size": 32, "device": "cpu", "evaluation_steps": 3}
    run = Run(
        suite="trial", task="builtin", encoder="static", encoder_options={"dim": 8}, loss="cosent", training=training,
        watch=("scale", "geometry"), alter={"take": 500, "flip": 0.1}, judge=("test", "test:retrieval"),
    )  # fmt: skip
    record = carry_out(run, progress=False)[0]
    assert [row["step"] for row in record.watched] == [0, 3, 6]
    assert {"suggested_scale", "effective_dimension"} < set(record.watched[0])
    assert record.data["train"]["rows"] == 500
    for name in ("test_untrained_retrieval", "test_retrieval"):
        assert {"mrr", "recall@10"} < set(record.metrics[name])
    assert "flip=0.1 take=500" in str(run)
    with pytest.raises(ValueError, match="unknown change of the training pairs 'flop'"):
        carry_out(Run(**{**vars(run), "alter": {"flop": 1}}), progress=False)
