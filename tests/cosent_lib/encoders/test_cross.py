"""The cross-encoder: transformers and sentence-transformers as oracles, one loop with the others, what it refuses."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from encoder_kit import TEXTS, needs_minilm, tiny, with_random_weights, word_piece_tokenizer
from tokenizers import processors
from training_kit import quiet

from cosent_lib.encoders.base import EncoderUnavailable, SentenceEncoder
from cosent_lib.encoders.cross import CrossEncoder
from cosent_lib.encoders.load import load_encoder, reads_pairs
from cosent_lib.errors import NoVectors
from cosent_lib.evaluation.evaluate import cosine_scores, evaluate, evaluate_retrieval
from cosent_lib.losses.make import make_loss
from cosent_lib.ranking.rank_loss import rank_loss
from cosent_lib.runs.perform import check_settings
from cosent_lib.runs.run import Run
from cosent_lib.search import encode_file, search_file
from cosent_lib.texts import TextsCutWarning
from cosent_lib.training.errors import NonFiniteLoss
from cosent_lib.training.train import train

FIRST, SECOND = TEXTS, TEXTS[2:] + TEXTS[:2]
# Whether both texts begin with the same word: no sum of their words says so.
PAIRS: dict[str, list[Any]] = {"sentence1": [], "sentence2": [], "score": []}
for a in TEXTS:
    for b in TEXTS:
        if a != b:
            PAIRS["sentence1"].append(a)
            PAIRS["sentence2"].append(b)
            PAIRS["score"].append(float(a.split()[0] == b.split()[0]))


def made(model_type: str = "bert", seed: int = 0) -> CrossEncoder:
    return CrossEncoder.over(with_random_weights(model_type), seed)


def by_hand(encoder: CrossEncoder, first: list[str], second: list[str]) -> list[float]:
    """Every pair alone, built by the tokenizer itself."""
    found = []
    with torch.no_grad():
        for a, b in zip(first, second, strict=True):
            inputs = encoder.tokenizer(a, b, return_tensors="pt")
            found.append(float(encoder.model(**inputs).logits))
    return found


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "electra"])
def test_a_score_is_that_of_the_pair_alone(model_type: str) -> None:
    """Whatever it is batched, sorted and padded with."""
    encoder = made(model_type)
    scores = encoder.predict(FIRST, SECOND, batch_size=3)
    assert scores.dtype == np.float64
    assert np.ptp(scores) > 1e-3
    np.testing.assert_allclose(scores, by_hand(encoder, FIRST, SECOND), atol=1e-5)
    np.testing.assert_allclose(encoder(FIRST, SECOND).detach(), scores, atol=1e-5)
    with pytest.raises(AssertionError):  # it reads which text comes first
        np.testing.assert_allclose(scores, encoder.predict(SECOND, FIRST), atol=1e-3)


def test_the_order_of_pairs_is_kept_and_an_empty_list_is_one() -> None:
    encoder = made()
    scores = encoder.predict(FIRST, SECOND)
    order = [4, 0, 6, 2, 1, 3, 5]
    np.testing.assert_allclose(
        encoder.predict([FIRST[i] for i in order], [SECOND[i] for i in order]), scores[order], atol=1e-6
    )
    assert encoder.predict([], []).shape == (0,)
    assert encoder.score([], []).shape == (0,)


def test_gradients_are_those_of_the_pairs_alone() -> None:
    encoder = made()
    labels = torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 1.0])
    rank_loss(encoder(FIRST, SECOND), labels).backward()
    found = {name: p.grad.clone() for name, p in encoder.named_parameters()}
    encoder.zero_grad()
    alone = [encoder([a], [b]) for a, b in zip(FIRST, SECOND, strict=True)]
    rank_loss(torch.cat(alone), labels).backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_the_head_is_drawn_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (made(seed=seed).predict(FIRST, SECOND) for seed in (1, 1, 2))
    assert (one == same).all()
    assert not np.allclose(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_each_text_is_cut_to_its_half_and_said_to_be() -> None:
    encoder = made()
    encoder.configure(max_length=9)  # three special tokens, three for each text
    with pytest.warns(TextsCutWarning, match="3 of 7 texts are longer than the 3 tokens"):
        scores = encoder.predict(FIRST, SECOND)
    short = [" ".join(text.split()[:3]) for text in TEXTS]
    np.testing.assert_allclose(scores, by_hand(encoder, short, short[2:] + short[:2]), atol=1e-5)
    assert encoder.count_cut(["a cat sat", "a cat sat on"]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.predict(["a cat sat"], ["rain"])


def test_it_is_saved_and_read_whole(tmp_path: Path) -> None:
    encoder = made()
    encoder.save(tmp_path / "saved", {"record.json": "{}"})
    for read in (load_encoder(str(tmp_path / "saved")), SentenceEncoder.load(tmp_path / "saved")):
        assert isinstance(read, CrossEncoder)
        assert not read.training
        assert read.fingerprint() == encoder.fingerprint()
        np.testing.assert_allclose(read.predict(FIRST, SECOND), encoder.predict(FIRST, SECOND), atol=1e-6)
    assert isinstance(load_encoder(f"cross:{tmp_path / 'saved'}"), CrossEncoder)
    assert "pooling" not in encoder.settings()
    encoder.save(tmp_path / "saved")  # over itself


def test_sentence_transformers_reads_what_is_saved(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
    encoder = made()
    encoder.save(tmp_path / "saved")
    theirs = library.CrossEncoder(str(tmp_path / "saved"), device="cpu")
    scores = theirs.predict(list(zip(FIRST, SECOND, strict=True)), activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(scores, encoder.predict(FIRST, SECOND), atol=1e-5)


def checkpoint(folder: Path, labels: int) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = tiny("bert", num_labels=labels)
        transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    word_piece_tokenizer().save_pretrained(folder)
    return folder


def test_a_checkpoint_that_is_one_already_keeps_its_head(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "reranker", 1)
    encoder = load_encoder(f"cross:{folder}", seed=3)
    assert isinstance(encoder, CrossEncoder)
    assert encoder.max_length == 40
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        inputs = encoder.tokenizer(FIRST[0], SECOND[0], return_tensors="pt")
        expected = float(theirs(**inputs).logits)
    assert encoder.predict(FIRST[:1], SECOND[:1])[0] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(EncoderUnavailable, match="classifies into 3 labels; a cross-encoder has one output"):
        load_encoder(f"cross:{checkpoint(tmp_path / 'three', 3)}")


def test_what_reads_no_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'cross:static' has nothing to start from: a bag of words reads no pairs"):
        load_encoder("cross:static", TEXTS)
    with pytest.raises(ValueError, match="'cross:small' has no option 'pooling': it reads pairs whole"):
        load_encoder("cross:small", TEXTS, pooling="cls")
    load_encoder("static", TEXTS, dim=4).save(tmp_path / "bag")
    with pytest.raises(ValueError, match="StaticEncoder is no transformer, it reads no pairs"):
        load_encoder(f"cross:{tmp_path / 'bag'}")
    with pytest.raises(ValueError, match="unknown encoder 'nothing'"):
        load_encoder("cross:nothing")
    folder = checkpoint(tmp_path / "reranker", 1)
    with pytest.raises(ValueError, match="has no option 'dim'; it has max_length"):
        load_encoder(f"cross:{folder}", dim=64)
    made().save(tmp_path / "saved")
    with pytest.raises(ValueError, match="has no option 'pooling'; it has max_length"):
        load_encoder(str(tmp_path / "saved"), pooling="cls")
    assert load_encoder(f"cross:{folder}").settings()["source"] == "folder"  # not where it lies
    (folder / "config.json").write_text(json.dumps({"architectures": [3], "model_type": "bert"}))
    with pytest.raises(EncoderUnavailable, match="cannot load"):
        load_encoder(f"cross:{folder}")


@pytest.mark.parametrize("max_length", [3, 4])
def test_a_length_without_room_for_two_texts_is_refused(max_length: int) -> None:
    with pytest.raises(ValueError, match=f"max_length must be a whole number from 5 to 40 .*, got {max_length}"):
        made().configure(max_length=max_length)
    with pytest.raises(ValueError, match="max_length must be a whole number from 5"):
        load_encoder("cross:small", TEXTS, dim=32, max_length=max_length)
    made().configure(max_length=5)


def pair_tokenizer(pair: list[str], types: list[int], names: list[str]) -> Any:
    """The tests' tokenizer with another form of pairs."""
    tokenizer = word_piece_tokenizer()
    pieces = [f"{piece}:{kind}" for piece, kind in zip(pair, types, strict=True)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=" ".join(pieces), special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.model_input_names = names
    return tokenizer


ALL = ["input_ids", "token_type_ids", "attention_mask"]


@pytest.mark.parametrize("types", [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [1, 1, 0, 0, 1]])
@pytest.mark.parametrize("names", [ALL, [ALL[0], ALL[2]]])
def test_token_types_are_the_tokenizers_own(types: list[int], names: list[str]) -> None:
    body = with_random_weights("bert")
    body.tokenizer = pair_tokenizer(["[CLS]", "$A", "[SEP]", "$B", "[SEP]"], types, names)
    encoder = CrossEncoder.over(body)
    np.testing.assert_allclose(encoder.predict(FIRST, SECOND), by_hand(encoder, FIRST, SECOND), atol=1e-5)


def test_a_tokenizer_that_puts_nothing_between_two_texts_is_refused() -> None:
    body = with_random_weights("bert")
    body.tokenizer = pair_tokenizer(["[CLS]", "$A", "$B", "[SEP]"], [0, 0, 0, 0], ALL)
    with pytest.raises(ValueError, match="tokenizer of 'cross:bert' puts nothing between the two texts of a pair"):
        CrossEncoder.over(body)
    body.tokenizer = pair_tokenizer(["[CLS]", "$A", "$B", "[SEP]"], [0, 0, 1, 1], ALL)  # but types do
    encoder = CrossEncoder.over(body)
    np.testing.assert_allclose(encoder.predict(FIRST, SECOND), by_hand(encoder, FIRST, SECOND), atol=1e-5)


def test_a_checkpoint_in_half_precision_is_taken_up_in_single() -> None:
    body = with_random_weights("bert")
    body.model.config.dtype = torch.bfloat16
    with torch.no_grad():
        body.model.embeddings.word_embeddings.weight.add_(1e-5)
    encoder = CrossEncoder.over(body)
    for name, value in body.model.state_dict().items():
        assert torch.equal(encoder.model.bert.state_dict()[name], value), name


def test_what_a_cross_encoder_cannot_be_asked_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    made().save(tmp_path / "saved")
    for name in ("cross:minilm", str(tmp_path / "saved")):
        assert reads_pairs(name)
        run = Run(suite="any", task="nothing", encoder=name, loss="bce", judge=("test", "test:retrieval"))
        with pytest.raises(ValueError, match="reads pairs and finds no texts: leave test:retrieval out of judge"):
            check_settings(run)
        with pytest.raises(ValueError, match="gives scores of pairs, which loss 'ranknet' does not take"):
            check_settings(replace(run, loss="ranknet", judge=("test",)))
    with pytest.raises(ValueError, match="encoder 'static' gives vectors of texts, which loss 'bce' does not take"):
        check_settings(Run(suite="any", task="nothing", encoder="static", loss="bce"))


def test_a_text_alone_has_no_vector(tmp_path: Path) -> None:
    encoder = made()
    texts = tmp_path / "texts.txt"
    texts.write_text("rain\n")
    for call in (
        lambda: encoder.encode(["rain"]),
        lambda: evaluate_retrieval(encoder, PAIRS),
        lambda: encode_file(encoder, texts, tmp_path / "v.npy"),
        lambda: search_file(encoder, tmp_path / "v.npy", texts, "rain"),
    ):
        with pytest.raises(NoVectors, match="'cross:bert' is a cross-encoder: it scores pairs") as found:
            call()
        assert isinstance(found.value, TypeError)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]  # nothing begun
    with pytest.raises(ValueError, match="two lists of the same length, got 2 and 1 texts"):
        encoder.predict(["rain", "a cat"], ["rain"])
    with pytest.raises(ValueError, match=r"second\[2\]"):
        encoder.predict(["rain", "rain", "rain"], ["rain", "rain", " "])
    with pytest.raises(ValueError, match="first is one string"):
        encoder.predict("abc", ["a", "b", "c"])
    with pytest.raises(ValueError, match="batch_size"):
        encoder.predict(["rain"], ["rain"], batch_size=0)


def test_scores_that_are_not_finite_are_refused_where_they_arise() -> None:
    encoder = made()
    with torch.no_grad():
        encoder.model.classifier.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="score is not finite for 42 pairs, the first is pair 0"):
        evaluate(encoder, PAIRS)
    with pytest.raises(NonFiniteLoss, match=r"parameter .*classifier\.bias is not finite"):
        train(encoder, make_loss("bce", encoder), PAIRS, quiet(max_steps=1))


@pytest.mark.parametrize("name", ["bce", "score_cosent"])
def test_the_one_loop_teaches_it_what_no_bag_of_words_says(name: str) -> None:
    encoder = load_encoder("cross:small", TEXTS, dim=32)
    loss = make_loss(name, encoder)
    result = train(encoder, loss, PAIRS, quiet(epochs=40, batch_size=21, learning_rate=3e-3), PAIRS)
    assert evaluate(encoder, PAIRS)["auc"] > 0.95
    assert result.best_metrics["auc"] == pytest.approx(evaluate(encoder, PAIRS)["auc"])
    assert (cosine_scores(encoder, PAIRS) == encoder.predict(PAIRS["sentence1"], PAIRS["sentence2"])).all()


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def run(folder: Path, stops_at: int | None, resume: bool) -> np.ndarray:
        def watch(*_: Any) -> dict[str, float]:
            looks.append(1)
            if len(looks) == stops_at:
                raise RuntimeError("stopped")
            return {"one": 1.0}

        looks: list[int] = []
        encoder = load_encoder("cross:small", TEXTS, dim=32)
        config = quiet(max_steps=6, batch_size=16, output_dir=folder, checkpoint_steps=2, evaluation_steps=2)
        loss, place = make_loss("score_cosent", encoder), folder if resume else None
        train(encoder, loss, PAIRS, config, PAIRS, resume_from=place, watch=watch)
        return encoder.predict(FIRST, SECOND)

    whole = run(tmp_path / "whole", None, False)
    with pytest.raises(RuntimeError, match="stopped"):
        run(tmp_path / "run", 3, False)
    assert (run(tmp_path / "run", None, True) == whole).all()


@needs_minilm
def test_minilm_begins_with_its_own_transformer() -> None:
    body, cross = load_encoder("minilm"), load_encoder("cross:minilm")
    assert isinstance(cross, CrossEncoder)
    expected = body.state_dict()
    state = {name.removeprefix("model.bert."): value for name, value in cross.state_dict().items()}
    for name, value in expected.items():
        assert torch.equal(state[name.removeprefix("model.")], value)
    assert cross.max_length == 256
    start, middle, end, types, has_types = cross._template
    assert (types, has_types) == ((0, 0, 0, 1, 1), True)
    assert [cross.tokenizer.convert_ids_to_tokens(each) for each in (start, middle, end)] == [
        ["[CLS]"],
        ["[SEP]"],
        ["[SEP]"],
    ]
