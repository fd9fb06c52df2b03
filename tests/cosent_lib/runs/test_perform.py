"""Runs carried out: what is recorded is what was done."""

import os

import pytest
import torch
from runs import SMALL, make_run, own_task

from cosent_book.schema import record_of
from cosent_lib.data import load as loading
from cosent_lib.evaluation import evaluate as evaluation
from cosent_lib.losses import make as losses
from cosent_lib.runs import perform as performing
from cosent_lib.runs.perform import perform
from cosent_lib.runs.record import Record, values_of
from cosent_lib.training import train as training


def replace(monkeypatch, module, name, value):
    """Replace a function where it is defined and, in case `perform` holds it by name, there."""
    monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(performing, name, value, raising=False)


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> str:
    return own_task(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def executed(own) -> Record:
    run = make_run(task=own, loss_options={"scale": 10.0}, encoder_options={"dim": 16})
    return perform(run, progress=False)[0]


def test_the_record_says_what_was_used(executed, own):
    from cosent_lib.data.load import fingerprint, load_pairs, origin

    training = executed.resolved["training"]
    assert training["learning_rate"] > 0
    assert (training["device"], training["precision"], training["max_steps"]) == ("cpu", "fp32", 4)
    assert executed.resolved["loss"] == {
        "class": "CoSENTLoss", "scale": pytest.approx(10), "margin": 0.0, **_without_scale(executed.resolved["loss"]),
    }  # fmt: skip
    assert executed.resolved["source"] == "csv"
    for split, entry in executed.data.items():
        pairs = load_pairs(own, split)
        assert entry == {"rows": len(pairs), "sha256": fingerprint(pairs), "origin": origin(pairs)}
    assert executed.steps == 4
    assert executed.history["step"] == [1, 2, 3, 4]
    assert executed.versions["torch"] == torch.__version__.split("+")[0] or executed.versions["torch"]
    assert executed.hardware["cores"] == os.cpu_count()
    assert record_of(values_of(executed), "x") == executed


def _without_scale(loss):
    return {name: value for name, value in loss.items() if name not in ("class", "scale", "margin")}


def test_test_metrics_are_those_of_the_trained_encoder(executed, own):
    from cosent_lib.data.load import load_pairs
    from cosent_lib.evaluation.evaluate import evaluate

    record, encoder = perform(executed.run, progress=False)
    validation = load_pairs(own, "validation")
    assert dict(record.metrics["validation"]) == evaluate(encoder, validation)
    assert dict(record.metrics["test"]) == evaluate(encoder, load_pairs(own, "test"), validation)
    assert record.metrics == executed.metrics


def test_every_split_held_back_is_judged():
    record = perform(make_run(task="builtin_random"), progress=False)[0]
    assert set(record.metrics) == {"validation", "test", "test_untrained", "test_random"}
    assert "accuracy" in record.metrics["test_random"]
    assert record.data["test_random"]["origin"].startswith("builtin ")


def test_splits_of_other_tasks_are_judged_too():
    record = perform(make_run(task="builtin", loss="sbert", judge=["test", "builtin_graded/test"]), progress=False)[0]
    graded = record.metrics["builtin_graded/test"]
    assert "auc" in graded
    assert "accuracy" not in graded  # no threshold for grades
    assert record.data["builtin_graded/test"]["rows"] == 3000
    assert 0 <= record.metrics["test"]["classifier_accuracy"] <= 1
    assert record.metrics["test_untrained"]["spearman"] != record.metrics["test"]["spearman"]


def test_what_a_run_is_judged_on_is_declared():
    with pytest.raises(ValueError, match=r"judge holds 'builtin_graded', expected test, test:retrieval or TASK/SPLIT"):
        make_run(judge=["builtin_graded"])


def test_test_split_is_evaluated_once_and_after_training(own, monkeypatch):
    loaded, events = {}, []
    load, judge, fit = loading.load_pairs, evaluation.evaluate, training.train

    def load_pairs(task, split, *args, **options):
        loaded[split] = load(task, split, *args, **options)
        return loaded[split]

    def evaluate(encoder, pairs, *args, **options):
        events.append(next(name for name, value in loaded.items() if value is pairs))
        return judge(encoder, pairs, *args, **options)

    def train(*args, **options):
        assert not any(value is loaded["test"] for value in (*args, *options.values()))
        result = fit(*args, **options)
        events.append("trained")
        return result

    replace(monkeypatch, loading, "load_pairs", load_pairs)
    replace(monkeypatch, evaluation, "evaluate", evaluate)
    replace(monkeypatch, training, "train", train)
    perform(make_run(task=own), progress=False)
    before, after = events[: events.index("trained")], events[events.index("trained") :]
    assert before.count("test") == 1  # the untrained encoder, a baseline that nothing is chosen by
    assert after.count("test") == 1


def test_seed_reaches_a_loss_with_weights_of_its_own(own, monkeypatch):
    made, make = [], losses.make_loss

    def make_loss(name, encoder, **options):
        made.append(options)
        return make(name, encoder, **options)

    replace(monkeypatch, losses, "make_loss", make_loss)
    record = perform(make_run(task=own, loss="sbert", seed=7), progress=False)[0]
    assert made[-1] == {"seed": 7}
    assert record.resolved["training"]["loss_learning_rate"] > 0


def test_learned_scale_is_recorded_as_it_ended(own):
    training = SMALL | {"loss_learning_rate": 0.1}
    record = perform(make_run(task=own, loss_options={"learn_scale": True}, training=training), progress=False)[0]
    assert record.resolved["loss"]["scale"] != pytest.approx(20, abs=1e-3)


def test_a_sum_of_losses_is_recorded_with_the_options_of_its_parts(own):
    options = {"mnrl_scale": 5.0, "sbert_weight": 0.5}
    record = perform(make_run(task=own, loss="cosent+mnrl+sbert", loss_options=options), progress=False)[0]
    assert record.resolved["loss"] == {
        "class": "SummedLoss", "cosent_scale": 20.0, "cosent_margin": 0.0, "cosent_learn_scale": False,
        "cosent_flat": False, "cosent_weight": 1.0, "mnrl_learn_scale": False, "mnrl_equal_are_negatives": False,
        "mnrl_scale": 5.0, "mnrl_weight": 1.0, "sbert_num_labels": 2, "sbert_features": ["u", "v", "|u-v|"],
        "sbert_weight": 0.5,
    }  # fmt: skip
    assert record.resolved["training"]["loss_learning_rate"] > 0
    assert "cosent+mnrl+sbert mnrl_scale=5.0 sbert_weight=0.5" in str(record.run)


def test_seed_and_suggested_scale_reach_the_parts_of_a_sum(own, monkeypatch):
    made, make = [], losses.make_loss

    def make_loss(name, encoder, **options):
        made.append((name, options))
        return make(name, encoder, **options)

    replace(monkeypatch, losses, "make_loss", make_loss)
    run = make_run(task="builtin_graded", loss="cosent+sbert", loss_options={"cosent_scale": "suggested"}, seed=7)
    record = perform(run, progress=False)[0]
    assert 0 < record.resolved["loss"]["cosent_scale"] != 20
    assert made.count(("sbert", {"seed": 7})) == 2  # for the check before loading, and for training
    with pytest.raises(ValueError, match="loss 'mnrl' has no option margni"):
        perform(make_run(task=own, loss="cosent+mnrl", loss_options={"mnrl_margni": 1}), progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"batchsize": 3}}, "unknown training setting 'batchsize'"),
        ({"loss": "cosnet"}, "cosnet"),
        ({"encoder": "statics"}, "statics"),
        ({"task": "pawsx"}, "'pawsx' has no training split"),
        ({"task": "lcqmk"}, "lcqmk"),
        ({"loss_options": {"margni": 1}}, "margni"),
    ],
)
def test_mistakes_in_a_run_are_named(own, changes, message):
    with pytest.raises(ValueError, match=message):
        perform(make_run(**({"task": own} | changes)), progress=False)


def test_labels_without_order_are_refused_before_training(tmp_path, monkeypatch):
    header = "sentence1\tsentence2\tscore\n"
    for split in ("train", "validation"):
        (tmp_path / f"{split}.tsv").write_text(header + "one two\tthree\t0\nfour\tfive six\t1\n" * 2)
    (tmp_path / "test.tsv").write_text(header + "a\tb\t1\nc\td\t1\n")
    replace(monkeypatch, training, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match="test"):
        perform(make_run(task=f"csv:{tmp_path}"), progress=False)


def test_a_split_without_order_in_its_cosines_costs_no_finished_training(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    known = ["a cat sat\tthe cat sat down\t1", "a dog\tstock prices fell\t0"] * 8
    for split, rows in (("train", known), ("validation", known), ("test", ["qq\tzz\t1", "xx\tjj\t0"])):
        (own / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    with pytest.warns(UserWarning, match="test: the metric is undefined: all 2 scores equal 0"):
        record = perform(make_run(task=f"csv:{own}"), progress=False)[0]
    assert record.metrics["test"] == {"spearman": None}
    assert record.metrics["validation"]["spearman"] is not None


def test_the_classifier_is_judged_beside_the_share_of_the_largest_class(own):
    metrics = perform(make_run(task=own, loss="sbert"), progress=False)[0].metrics["test"]
    assert metrics["classifier_majority"] == 0.5  # twenty pairs of forty are labelled 1
    assert 0 <= metrics["classifier_accuracy"] <= 1


def test_a_test_split_that_is_the_validation_split_is_said_and_has_no_threshold(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    task = own_task(own)
    rows = (own / "validation.tsv").read_text().splitlines()
    (own / "test.tsv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")  # in another order
    with pytest.warns(UserWarning, match="test: validation must be other data .* what test says is no evidence"):
        metrics = perform(make_run(task=task), progress=False)[0].metrics["test"]
    assert metrics["spearman"] is not None
    assert "accuracy" not in metrics


def test_an_encoder_that_is_handed_over_is_the_one_that_is_trained(own):
    from cosent_lib.encoders.load import load_encoder

    encoder = load_encoder("static", ["I see a red cat", "green dog"], dim=8)
    before = encoder.encode(["cat"])
    record, trained = perform(make_run(task=own, encoder="of the book's own"), progress=False, encoder=encoder)
    assert trained is encoder
    assert (encoder.encode(["cat"]) != before).any()
    assert record.resolved["encoder"]["dim"] == 8
