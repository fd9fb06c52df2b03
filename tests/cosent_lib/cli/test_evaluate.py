"""The commands evaluate and scale on an encoder whose cosines are set beforehand."""

import math

import numpy as np
import pytest
import torch

from cosent_lib.ranking.scale import scale_report, suggest_scale


@pytest.fixture(autouse=True)
def cosine_encoder(monkeypatch):
    """An encoder for which the cosine of "0" and a text x is float(x), in the place of every other."""

    class Encoder:
        def encode(self, texts, batch_size=256, progress=False):
            angles = [math.acos(1 if text == "0" else float(text)) for text in texts]
            return torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles], dtype=torch.float64)

    monkeypatch.setattr("cosent_lib.encoders.load.load_encoder", lambda *_, **__: Encoder())


def write(path, cosines, labels):
    rows = [f"0\t{cosine:.6f}\t{label}" for cosine, label in zip(cosines, labels, strict=True)]
    path.write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    return path


def noisy(seed=0, levels=2, size=300):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, levels, size)
    return np.clip(0.2 + 0.3 * labels / (levels - 1) + 0.2 * rng.normal(size=size), -0.99, 0.99), labels


def test_scale_says_which_and_why(call, tmp_path):
    cosines, labels = noisy()
    path = write(tmp_path / "my.tsv", cosines, labels)
    code, out, err = call("scale", "any", f"csv:{path}", "--no-progress")
    assert (code, err) == (0, "")
    c, y = torch.tensor([round(float(cosine), 6) for cosine in cosines]).double(), torch.tensor(labels)
    best = suggest_scale(c, y)
    differences = c[y == 0][:, None] - c[y == 1]
    least, usual = ((scale * differences).exp().mean() for scale in (best, 20))
    assert "all: 300 pairs" in out
    assert f"λ = {best:.3g}:" in out
    assert f"{best:.3g} (least)" in out
    assert f"{least.log():.3f}" in out
    assert f"at most {100 * least:.3g} %" in out
    assert f"{usual.log():.3f}" in out
    assert "the bound says nothing" in out
    assert "label > 0.5:" in out
    assert f"--scale {best:.3g}" in out
    low, high = scale_report(c, y).interval
    assert f"Other samples of as many pairs would say {low:.3g} to {high:.3g} (95 % bootstrap interval)." in out


def test_an_interval_without_an_end_is_shown_as_such(call, tmp_path):
    cosines = [0.1, 0.2, 0.3, 0.25, 0.5, 0.6]  # most samples lack the one pair in wrong order
    code, out, _ = call("scale", "any", f"csv:{write(tmp_path / 'my.tsv', cosines, [0, 0, 0, 1, 1, 1])}")
    assert code == 0
    assert " to ∞ (95 % bootstrap interval)" in out


def test_scale_of_graded_pairs_shows_the_slopes_at_several_cuts(call, tmp_path):
    path = write(tmp_path / "my.tsv", *noisy(levels=6))
    code, out, _ = call("scale", "any", f"csv:{path}", "--score-range", "0,5", "--no-progress")
    assert code == 0
    assert all(f"label > {cut}:" in out for cut in (0.3, 0.5, 0.7))


def test_scale_of_ordered_pairs_says_that_they_cannot_choose(call, tmp_path):
    path = write(tmp_path / "my.tsv", [0.1, 0.2, 0.8], [0, 0, 1])
    code, out, _ = call("scale", "any", f"csv:{path}", "--no-progress")
    assert code == 0
    assert "no pair is in wrong order" in out
    assert "20 (customary)" in out
    assert "--scale" not in out


def test_scale_of_the_wrong_sign_is_said_in_one_line(call, tmp_path):
    path = write(tmp_path / "my.tsv", [0.9, 0.8, 0.1], [0, 0, 1])
    code, _, err = call("scale", "any", f"csv:{path}", "--no-progress")
    assert code == 2
    assert "the cosines do not follow the labels" in err
    assert "no λ helps" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("command", "usual"), [("scale", "validation"), ("evaluate", "test")])
def test_split_is_the_usual_one_unless_given_and_all_of_a_single_file(call, tmp_path, command, usual):
    for split, seed in (("train", 1), ("validation", 2), ("test", 3)):
        write(tmp_path / f"{split}.tsv", *noisy(seed, size=100 + seed))
    for words, expected in (
        ([f"csv:{tmp_path}"], usual),
        ([f"csv:{tmp_path}", "--split", "train"], "train"),
        ([f"csv:{tmp_path}/{{split}}.tsv"], usual),
        ([f"csv:{tmp_path}/train.tsv"], "all"),
        ([f"csv:{tmp_path}/train.tsv", "--split", "all"], "all"),
    ):
        code, out, err = call(command, "any", *words, "--no-progress")
        assert code == 0, err
        size = {"train": 101, "validation": 102, "test": 103, "all": 101}[expected]
        assert f" {expected}: {size} pairs" in out.splitlines()[0]
    code, _, err = call(command, "any", f"csv:{tmp_path}", "--split", "dev", "--no-progress")
    assert code == 2
    assert "no file for split 'dev'" in err


def test_evaluate_shows_average_precision_of_binary_pairs_only(call, tmp_path):
    binary, graded = write(tmp_path / "b.tsv", *noisy()), write(tmp_path / "g.tsv", *noisy(levels=6))
    assert "average_precision" in call("evaluate", "any", f"csv:{binary}", "--no-progress")[1]
    assert "average_precision" not in call("evaluate", "any", f"csv:{graded}", "--score-range", "0,5")[1]


def test_a_threshold_fitted_on_what_is_judged_is_refused_before_an_encoder_is_loaded(call, tmp_path, monkeypatch):
    for split, seed in (("validation", 2), ("test", 3)):
        write(tmp_path / f"{split}.tsv", *noisy(seed, size=100))
    (tmp_path / "train.tsv").write_text((tmp_path / "test.tsv").read_text())  # the same under another name
    words = ["evaluate", "any", f"csv:{tmp_path}", "--no-progress", "--threshold-split"]
    assert call(*words, "validation")[0] == 0
    monkeypatch.setattr("cosent_lib.encoders.load.load_encoder", None)
    for split in ("test", "train"):
        code, _, err = call(*words, split)
        assert code == 2
        assert err == (
            f"error: --threshold-split {split} must be other data than the pairs that are evaluated, but of its 99 "
            "distinct pairs 99 are among those 99: nothing is judged where it was fitted\n"
        )
