"""The suite `paper` from end to end with a tiny checkpoint of the same class, and its encoder exchanged."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers

from cosent_book import runner
from cosent_book.records import load_records
from cosent_book.runner import require_encoders, run_missing
from cosent_book.suites.plan import SUITES, Plan, plan, rows
from cosent_book.suites.table import PAPER_ENCODERS, PAPER_TASKS
from cosent_lib.encoders.base import EncoderUnavailable
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

SUBJECTS, VERBS, THINGS = ("我", "你", "他", "她"), ("想买", "喜欢", "看见了"), ("猫", "书", "茶", "花")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of Chinese characters with random weights, saved as the published ones are."""
    folder = tmp_path_factory.mktemp("bert-chinese-tiny")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted(set("".join((*SUBJECTS, *VERBS, *THINGS))))
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({token: i for i, token in enumerate([*special, *letters])}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(handle_chinese_chars=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special, strict=True))
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(special) + len(letters), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def recorded(checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the records of seed 0 on STS-B zh, whose place 48 small pairs a split take."""
    data, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("records")
    sentences = list(itertools.product(SUBJECTS, VERBS, THINGS))  # 48
    (data / "stsb_zh").mkdir()
    for shift, split in enumerate(("train", "validation", "test"), 1):
        lines = ["sentence1\tsentence2\tscore"]
        for row, first in enumerate(sentences):
            second = sentences[(row * 5 + 7 * shift * (row % 4)) % 48]
            score = round(5 * sum(a == b for a, b in zip(first, second, strict=True)) / 3)
            lines.append(f"{''.join(first)}\t{''.join(second)}\t{score}")
        (data / "stsb_zh" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    declared = plan("paper", {}, encoder=checkpoint).runs
    runs = [run for run in declared if run.task == "stsb_zh" and run.seed == 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSENT_DATA_DIR", str(data))
        require_encoders(runs)
        assert run_missing("paper", lambda recorded: Plan(runs, 0), lambda line: None, folder, progress=False) == len(
            runs
        )
    return folder


@pytest.fixture(scope="module")
def records(recorded: Path) -> dict[str, Record]:
    return {record.run.loss_label: record for record in load_records("paper", recorded).values()}


def test_what_is_declared_are_the_runs_of_the_posts() -> None:
    runs, undecided = plan("paper", {})
    assert undecided == 0
    assert len(runs) == len({run.key for run in runs}) == 2 * 4 * 6 * 5
    assert {run.encoder for run in runs} == set(PAPER_ENCODERS)
    assert {run.task for run in runs} == set(PAPER_TASKS) == {"stsb_zh", "atec", "bq", "lcqmc"}  # PAWS-X: no training
    assert {run.seed for run in runs} == set(range(5))
    assert all(run.judge == ("test",) and not run.alter for run in runs)


def test_every_loss_comes_to_a_record_with_the_settings_of_the_posts(records: dict[str, Record]) -> None:
    assert set(records) == {
        "cosent scale=20.0", "sbert", "cosent scale=suggested", "cosine_squared", "ranknet scale=20.0",
        "power_mean exponent=-1.0 scale=20.0",
    }  # fmt: skip
    for record in records.values():
        assert record.failure is None
        encoder, training = record.resolved["encoder"], record.resolved["training"]
        assert (encoder["pooling"], encoder["max_length"], encoder["model_type"]) == ("cls", 64, "bert")
        wanted = {
            "epochs": 5, "batch_size": 32, "learning_rate": 2e-5, "schedule": "constant", "warmup_ratio": 0.0,
            "weight_decay": 0.0, "max_grad_norm": None, "accumulation_steps": 1, "selection_metric": "spearman",
        }  # fmt: skip
        assert {name: training[name] for name in wanted} == wanted
        assert record.steps == 10  # 48 pairs, two batches an epoch
        assert [row["step"] for row in record.evaluations] == [2, 4, 6, 8, 10]
        best = max(record.evaluations, key=lambda row: row["spearman"])
        assert record.metrics["validation"]["spearman"] == best["spearman"]
        assert record.metrics["test"]["spearman"] is not None
    assert records["sbert"].resolved["loss"]["num_labels"] == 2
    assert records["cosent scale=20.0"].resolved["loss"]["scale"] == 20.0
    assert 0 < records["cosent scale=suggested"].resolved["loss"]["scale"] != 20.0
    assert records["power_mean exponent=-1.0 scale=20.0"].resolved["loss"]["exponent"] == -1.0
    untrained = {record.metrics["test_untrained"]["spearman"] for record in records.values()}
    assert len(untrained) == 1  # all from the same weights
    assert len({record.metrics["test"]["spearman"] for record in records.values()}) > 1


def test_the_table_has_its_rows_and_says_what_is_missing(recorded: Path, checkpoint: str, call_book: Call) -> None:
    code, out, err = call_book("table", "paper", "--encoder", checkpoint, "--folder", recorded)
    assert code == 0
    rows = [line for line in out.splitlines()[2:] if "stsb_zh" in line]
    assert len(rows) == len(out.splitlines()) - 2 == 6
    assert "114 of 120 runs have no record yet" in err
    # the suite's own encoders have no record: no row, and the others are mentioned
    code, out, err = call_book("table", "paper", "--folder", recorded)
    assert (code, len(out.splitlines())) == (0, 2)
    assert "240 of 240 runs have no record yet" in err
    assert "6 records belong to runs that the suite no longer declares" in err


def test_without_records_the_rows_are_empty(tmp_path: Path, call_book: Call) -> None:
    code, out, err = call_book("table", "paper", "--folder", tmp_path)
    assert (code, len(out.splitlines())) == (0, 2)
    assert "240 of 240 runs have no record yet" in err
    assert [len(row.reported({})) for row in rows("paper")] == [5] * 48


# --- any encoder


def test_the_benchmark_goes_on_with_the_encoder_that_is_given(recorded: Path, checkpoint: str, call_book: Call) -> None:
    code, out, _ = call_book("benchmark", "paper", "--encoder", checkpoint, "--list", "--folder", recorded)
    assert code == 0
    lines = [line.split(maxsplit=1) for line in out.splitlines()[:120]]
    assert sum(state == "recorded" for state, _ in lines) == 6
    assert all(checkpoint in text for _, text in lines)
    assert "paper: 6 of 120 runs are recorded" in out
    only = f"stsb_zh · {checkpoint} max_length=64 pooling=cls · cosine_squared"
    _, out, _ = call_book("benchmark", "paper", "--encoder", checkpoint, "--only", only, "--list", "--folder", recorded)
    assert "paper: 1 of 5 runs are recorded" in out


@pytest.mark.parametrize("command", ["benchmark", "table"])
def test_another_suite_keeps_its_encoders(command: str, tmp_path: Path, call_book: Call) -> None:
    for suite in set(SUITES) - {"paper"}:
        code, _, err = call_book(command, suite, "--encoder", "someone/something", "--folder", tmp_path)
        assert code == 2
        assert (
            f"the settings of suite '{suite}' belong to its own encoders; the suites for any encoder are: paper" in err
        )
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_cannot_be_had_stops_before_the_first_run(
    tmp_path: Path, call_book: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "load_splits", lambda run: pytest.fail("data were loaded"))
    code, out, err = call_book("benchmark", "paper", "--folder", tmp_path)
    assert code == 2
    assert out == "paper: 0 of 240 runs are recorded\n"
    why = "from the hub, and there is no such folder: "
    assert err.startswith(f"error: cannot load 'google-bert/bert-base-chinese' {why}")
    assert err.endswith("120 runs need it; --only 'hfl/chinese-roberta-wwm-ext' leaves them out\n")
    for name, message in {
        "no-one/nothing": f"error: cannot load 'no-one/nothing' {why}.* 120 runs need it\n",
        "/nowhere": "error: unknown encoder '/nowhere'; expected",
        "static": "error: encoder 'static' has no option 'pooling'",
    }.items():
        code, out, err = call_book("benchmark", "paper", "--encoder", name, "--folder", tmp_path)
        assert (code, out) == (2, "paper: 0 of 120 runs are recorded\n")
        assert err.count("\n") == 1
        assert re.match(message, err), err
    assert not list(tmp_path.iterdir())


def test_encoders_of_our_own_are_had_everywhere() -> None:
    require_encoders([Run(suite="x", task="builtin", encoder=name, loss="cosent") for name in ("static", "small")])
    with pytest.raises(EncoderUnavailable, match="1 runs need it; --only 'static' leaves them out"):
        require_encoders([Run(suite="x", task="builtin", encoder=name, loss="cosent") for name in ("static", "a/b")])
