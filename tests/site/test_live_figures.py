"""The live figures of the pages (_static/live_figures.js): their functions against the library, their wiring by key.

The script runs in QuickJS, the drawing on a document made of the few calls that it uses; a real browser's part
(layout, drag, touch) is not tested here.
"""

import ast
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import quickjs
import torch
from contrast import contrast_ratio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import notebooks
from cosent_book.figures.style import INK, PALETTE
from cosent_lib.losses.base import PairLoss
from cosent_lib.losses.direct import CosineEmbeddingLoss, CosineSimilarityLoss
from cosent_lib.ranking.rank_loss import count_demanded_pairs, inversion_bound, rank_loss

STATIC = Path(__file__).resolve().parents[2] / "_static"
SCRIPT = (STATIC / "live_figures.js").read_text(encoding="utf-8")
STYLE = (STATIC / "live_figures.css").read_text(encoding="utf-8")
PLACES = [
    (path.name, div)
    for path in notebooks.chapter_paths()
    for cell in notebooks.read(path).cells
    if cell.cell_type == "markdown"
    for div in re.findall(r"<div[^>]*live-figure[^>]*>", cell.source)
]
# Elements that remember their attributes, children and listeners; an svg is 700 pixels wide.
DOCUMENT = """
globalThis.waiting = new Map();
globalThis.setTimeout = (call) => { waiting.set(waiting.size + 1, call); return waiting.size; };
globalThis.clearTimeout = (id) => waiting.delete(id);
globalThis.ResizeObserver = class { observe() {} };
class Element {
  constructor(tag, space) { Object.assign(this, { tag, namespaceURI: space, attributes: {}, children: [], calls: {} });
    this.dataset = {}; this.clientWidth = 700; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  getAttribute(name) { return this.attributes[name]; }
  append(child) { this.children.push(child); }
  after() {}
  replaceChildren() { this.children = []; }
  addEventListener(name, call) { this.calls[name] = call; }
  getBoundingClientRect() { return { left: 100, width: 700 }; }
  focus() {}
  setPointerCapture() {}
  fire(name, event) { let stopped = 0;
    this.calls[name]({ preventDefault: () => stopped++, stopPropagation: () => stopped++, ...event }); return stopped; }
  all(test) { return [...(test(this) ? [this] : []), ...this.children.flatMap((child) => child.all(test))]; }
  by(role) { return this.all((e) => e.attributes.role === role || e.tag === role || e.attributes.class === role); }
}
globalThis.hosts = NAMES.map((name) => Object.assign(new Element("div", "html"), { dataset: { live: name } }));
globalThis.document = { readyState: "complete", querySelectorAll: () => hosts,
  createElementNS: (space, tag) => new Element(tag, space) };
"""


class Page:
    """The script, loaded; ``page(expression, …)`` evaluates JavaScript with Python values as $0, $1 …"""

    def __init__(self, figures: list[str] | None = None) -> None:
        self.context = quickjs.Context()
        before = "" if figures is None else DOCUMENT.replace("NAMES", json.dumps(figures))
        self.context.eval(f"globalThis.module = {{}}; {before}; {SCRIPT}; Object.assign(globalThis, module.exports); 0")

    def __call__(self, expression: str, *values: Any) -> Any:
        names = ", ".join(f"${k}" for k in range(len(values)))
        given_values = ", ".join(json.dumps(value) for value in values)
        # JSON has no Infinity: such a number comes back as a word
        words = "(_, v) => typeof v === 'number' && !Number.isFinite(v) ? String(v) : v"
        return json.loads(self.context.eval(f"(({names}) => JSON.stringify(({expression}), {words}))({given_values})"))


JS = Page()
numbers = st.floats(-1e4, 1e4, allow_subnormal=False)


@st.composite
def items(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    """Scores near each other or far apart, tied or not, and labels of up to four levels."""
    n = draw(st.integers(1, 12))
    score = draw(st.sampled_from([numbers, st.floats(-3, 3), st.integers(-2, 2).map(float)]))
    return draw(st.lists(score, min_size=n, max_size=n)), draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))


@settings(deadline=None, max_examples=200)
@given(items())
def test_ranking_functions_agree_with_the_library(problem: tuple[list[float], list[int]]) -> None:
    scores, labels = problem
    s, y = torch.tensor(scores, dtype=torch.float64, requires_grad=True), torch.tensor(labels)
    loss = rank_loss(s, y, validate=False)
    loss.backward()
    value = JS("rankLoss($0, $1)", scores, labels)
    # rank_loss rounds sums below 1e-16 to 0 where scores are more than SAFE_SPREAD apart
    assert value == pytest.approx(loss.item(), rel=1e-10, abs=1e-15)
    assert s.grad is not None
    assert JS("rankGradient($0, $1)", scores, labels) == pytest.approx(s.grad.tolist(), rel=1e-10, abs=1e-10)

    demanded = y[:, None] < y[None, :]
    wrong = demanded & (s[:, None] >= s[None, :])
    assert JS("demands($0).length", labels) == count_demanded_pairs(y) == int(demanded.sum())
    assert JS("inversions($0, $1)", scores, labels) == wrong.nonzero().tolist()
    if demanded.any():
        limit = float(JS("inversionLimit($0)", value))
        assert limit == pytest.approx(inversion_bound(value, y) * int(demanded.sum()), rel=1e-12)
        assert limit >= int(wrong.sum()) * (1 - 1e-12)


@settings(deadline=None, max_examples=200)
@given(st.lists(numbers, min_size=1, max_size=40), st.floats(0.1, 100))
def test_log_sum_exp_runs_from_the_mean_to_the_maximum(scores: list[float], scale: float) -> None:
    n, x = len(scores), np.array(scores)
    near = {"rel": 1e-12, "abs": 1e-10}
    assert JS("logSumExp($0)", scores) == pytest.approx(torch.from_numpy(x).logsumexp(0).item(), **near)
    smooth = JS("exponentialMean($0, $1)", scores, scale)
    assert smooth == pytest.approx(special.logsumexp(scale * x, b=1 / n) / scale, **near)
    total = JS("scaledLogSumExp($0, $1)", scores, scale)
    assert total == pytest.approx(special.logsumexp(scale * x) / scale, **near)
    gap, slack = JS("largestGap($0, $1)", n, scale), 1e-12 * (1 + np.abs(x).max()) + 1e-12
    assert gap == pytest.approx(math.log(n) / scale)
    assert JS("mean($0)", scores) - slack <= smooth <= JS("maximum($0)", scores) + slack
    assert x.max() - slack <= total <= x.max() + gap + slack


def test_log_sum_exp_reaches_both_ends() -> None:
    scores = [2.0, 1.4, 0.2, -1.2]
    assert JS("exponentialMean($0, 1e-6)", scores) == pytest.approx(np.mean(scores), abs=1e-5)
    assert JS("exponentialMean($0, 1e6)", scores) == pytest.approx(2.0, abs=1e-5)
    assert JS("scaledLogSumExp($0, 1)", [-800.0, -800.0]) == pytest.approx(-800 + math.log(2))  # e^−800 is 0


def test_cross_entropy_is_the_ranking_loss_of_one_right_answer() -> None:
    scores = torch.tensor([1.2, 1.9, 0.4, 900.0], dtype=torch.float64)
    for target in range(4):
        expected = torch.nn.functional.cross_entropy(scores[None], torch.tensor([target])).item()
        labels = [int(k == target) for k in range(4)]
        assert JS("rankLoss($0, $1)", scores.tolist(), labels) == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_overflow_is_infinite_and_small_sums_keep_their_digits() -> None:
    assert JS("inversionLimit(rankLoss([1000, 0], [0, 1]))") == "Infinity"
    assert JS("rankLoss([0, 50], [0, 1])") == pytest.approx(math.exp(-50), rel=1e-12)
    assert JS("rankLoss([1, 2], [1, 1])") == 0


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=40))
def test_weights_and_their_effective_number(scores: list[float]) -> None:
    weights = special.softmax(scores)
    assert JS("softmax($0)", scores) == pytest.approx(weights.tolist(), rel=1e-9, abs=1e-11)
    expected = math.exp(stats.entropy(weights))
    assert JS("effectiveNumber(softmax($0))", scores) == pytest.approx(expected, rel=1e-8)


def test_effective_number_of_equal_and_of_single_weights() -> None:
    assert JS("effectiveNumber($0)", [0.25] * 4) == pytest.approx(4)
    assert JS("effectiveNumber([0, 1, 0])") == 1


def test_the_negatives_are_normal_quantiles_of_spread_013() -> None:
    expected = 0.13 * stats.norm.ppf((np.arange(32) + 0.5) / 32)
    assert JS("COSINES") == pytest.approx(expected.tolist(), abs=5.1e-4)


def loss_of(loss: PairLoss, cosines: torch.Tensor, label: float) -> torch.Tensor:
    """The library's loss of one pair at each of the cosines, all with the same label; ``[n]``."""
    u = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    v = torch.stack([cosines, (1 - cosines**2).clamp_min(0).sqrt()], dim=1)
    return torch.stack([loss(u, row[None], torch.tensor([label])) for row in v])


@settings(deadline=None)
@given(st.floats(-0.99, 0.99), st.sampled_from([0, 1]), st.integers(-20, 19))
def test_slopes_of_the_direct_losses_are_the_librarys(c: float, label: int, step: int) -> None:
    margin = JS("FIGURES.margin.scale($0)", step)
    cosine = torch.tensor([c], dtype=torch.float64, requires_grad=True)
    (squared,) = torch.autograd.grad(loss_of(CosineSimilarityLoss(), cosine, label).sum(), cosine)
    assert JS("squaredSlope($0, $1)", c, label) == pytest.approx(squared.item(), abs=1e-9)
    if abs(c - margin) > 1e-6:  # the kink has no slope
        (slope,) = torch.autograd.grad(loss_of(CosineEmbeddingLoss(margin), cosine, label).sum(), cosine)
        assert JS("marginSlope($0, $1, $2)", c, label, margin) == pytest.approx(slope.item(), abs=1e-9)


@pytest.mark.parametrize("margin", [-1.0, -0.5, 0.0, 0.7, 0.95])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0])
def test_the_fitted_cosine_is_where_the_librarys_mean_loss_is_least(share: float, margin: float) -> None:
    cosines = torch.linspace(-1, 1, 401, dtype=torch.float64)

    def least(loss: PairLoss) -> torch.Tensor:
        mean = share * loss_of(loss, cosines, 1.0) + (1 - share) * loss_of(loss, cosines, 0.0)
        return cosines[mean < mean.min() + 1e-9]

    best = least(CosineEmbeddingLoss(margin))
    assert JS("marginFit($0, $1)", share, margin) == pytest.approx([best.min().item(), best.max().item()], abs=1e-9)
    assert [JS("squaredFit($0)", share)] == pytest.approx(least(CosineSimilarityLoss()).tolist(), abs=1e-9)


@pytest.mark.parametrize(
    ("chapter", "name", "begin", "constant"),
    [
        ("01", "desks", "", "DEPARTMENTS"),
        ("01", "scores", "torch.tensor(", "DEPARTMENT_SCORES"),
        ("03", "entries", "", "ARTICLES"),
        ("03", "grades", "torch.tensor(", "GRADES"),
        ("03", "scores", "torch.tensor(", "ARTICLE_SCORES"),
        ("06", "shares", "torch.tensor(", "SHARES"),
    ],
)
def test_a_figure_begins_where_its_chapter_does(chapter: str, name: str, begin: str, constant: str) -> None:
    cells = "\n".join(cell.source for cell in notebooks.read(notebooks.chapter_paths(chapter)[0]).cells)
    found = re.search(rf"^{name} = {re.escape(begin)}(\[[^\]]*\])", cells, re.M)
    assert found, f"chapter {chapter} has no line {name} = {begin}[…]"
    there = ast.literal_eval(found[1])
    assert JS(constant) == ([0, *there, 1] if name == "shares" else there)  # the figure has both ends as well


@pytest.mark.parametrize(
    ("value", "text"), [(1.236, "1.24"), (-0.5, "\u22120.50"), (-0.001, "0.00"), (-10, "\u221210.00")]
)
def test_numbers_are_shown_with_a_true_minus_and_no_negative_zero(value: float, text: str) -> None:
    assert JS("show($0)", value) == text


# --- the wiring, on a document made for it


def test_keys_move_an_article_and_tell_its_score() -> None:
    page = Page(["order-line"])
    page.context.eval("globalThis.host = hosts[0]; globalThis.pause = host.by('slider')[1]; 0")
    values = "host.by('live-values')[0].innerHTML"
    begun = page(values)
    loss = rank_loss(torch.tensor(JS("ARTICLE_SCORES"), dtype=torch.float64), torch.tensor(JS("GRADES"))).item()
    assert f"<b>{loss:.2f}</b>" in begun
    assert page("pause.attributes['aria-label']") == "Pause, grade 1: score"
    pressed = {"ArrowLeft": "1.8", "ArrowUp": "1.9", "PageDown": "1.4", "End": "3", "ArrowRight": "3", "Home": "-3"}
    for key, score in pressed.items():
        # the key is the mark's alone: the page neither scrolls nor turns
        assert page("pause.fire('keydown', { key: $0 })", key) == 2
        assert page("pause.attributes['aria-valuenow']") == score
    assert page("pause.attributes['aria-valuetext']").startswith("\u22123.0, pushed right by ")
    assert page("pause.fire('keydown', { key: 'Tab' })") == 0
    assert page("pause.fire('keydown', { key: 'ArrowLeft', altKey: true })") == 0

    scores = JS("ARTICLE_SCORES")
    scores[1] = -3.0
    loss = rank_loss(torch.tensor(scores, dtype=torch.float64), torch.tensor(JS("GRADES"))).item()
    assert f"<b>{loss:.2f}</b>" in page(values)
    assert page("waiting.size") == 1, "one announcement after many keys"
    page("[...waiting.values()].forEach((call) => call()) || 0")
    assert page("host.by('live-said')[0].textContent").startswith(f"Loss {loss:.2f}. 4 of 11 demanded pairs")
    page("host.by('button')[0].fire('click')")
    assert page(values) == begun


def test_a_mark_follows_the_pointer_until_it_is_let_go() -> None:
    page = Page(["order-line"])
    page.context.eval("globalThis.mark = hosts[0].by('slider')[0]; 0")
    unit = (700 - 26 - 148) / 6  # pixels a unit of score
    page("mark.fire('pointermove', { clientX: 500 })")
    assert page("mark.attributes['aria-valuenow']") == "1.2"
    page("mark.fire('pointerdown', { button: 0, clientX: 400 })")
    page("mark.fire('pointermove', { clientX: $0 })", 400 - 2 * unit)
    assert page("mark.attributes['aria-valuenow']") == "-0.8"
    page("mark.fire('pointerup', {})")
    page("mark.fire('pointermove', { clientX: 900 })")
    assert page("mark.attributes['aria-valuenow']") == "-0.8"


@pytest.mark.parametrize("name", ["log-sum-exp", "temperature"])
def test_the_slider_sets_the_scale(name: str) -> None:
    page = Page([name])
    page.context.eval("globalThis.host = hosts[0]; globalThis.slider = host.by('input')[0]; 0")
    told = []
    for step in page("FIGURES[$0].steps", name):
        page("(slider.value = $0, slider.fire('input'))", step)
        said = page("slider.attributes['aria-valuetext']")
        assert float(said.removeprefix("λ = ")) == pytest.approx(page("FIGURES[$0].scale($1)", name, step), rel=0.05)
        told.append(page("host.by('live-values')[0].innerHTML"))
    assert told[0] != told[1]


def test_the_slider_of_the_margin_moves_what_is_wanted() -> None:
    page = Page(["margin"])
    page.context.eval("globalThis.host = hosts[0]; globalThis.slider = host.by('input')[0]; 0")
    assert page("[slider.attributes.min, slider.attributes.max, slider.value]") == ["-20", "19", 14]
    assert page("host.by('label')[0].children[0].textContent") == "margin\u00a0m"
    wanted = {14: ("0.70", "any up to 0.70", "0.70"), -10: ("\u22120.50", "any up to \u22120.50", "\u22120.50"),
              -20: ("\u22121.00", "\u22121.00", "\u22121.00")}  # fmt: skip
    for step, (margin, without, few) in wanted.items():
        page("(slider.value = $0, slider.fire('input'))", step)
        assert page("slider.attributes['aria-valuetext']") == f"m = {margin}"
        told = page("host.by('live-values')[0].innerHTML")
        for part in (f"<b>{margin}</b>", f"0 ones of 5 <b>{without}</b>", f"1 or 2 ones <b>{few}</b>"):
            assert part in told
        assert "3, 4 or 5 ones <b>1.00</b>" in told
        assert ("the linear loss" in told) == (step == -20)


def test_the_wanted_cosines_stand_where_the_axis_says() -> None:
    page = Page(["margin"])
    page("(hosts[0].by('input')[0].value = -10, hosts[0].by('input')[0].fire('input'))")
    drawing = "hosts[0].by('live-drawing')[0].children[0]"
    at = 62 + (np.array([-0.5, -0.5, -0.5, 1, 1, 1]) + 1) / 2 * (700 - 18 - 62)
    marks = page(f"{drawing}.by('live-fill2').map((e) => parseFloat(e.attributes.transform.slice(10)))")
    assert marks == pytest.approx(at.tolist())
    squares = page(f"{drawing}.by('live-hollow').map((e) => Number(e.attributes.cx))")
    assert squares == pytest.approx((62 + (np.array(JS("SHARES")) + 1) / 2 * 620).tolist())


def test_effective_numbers_at_the_scales_that_the_slider_has() -> None:
    page = Page(["temperature"])
    for step, scale in [(-10, 5), (0, 10), (10, 20), (20, 40)]:
        page("(hosts[0].by('input')[0].value = $0, hosts[0].by('input')[0].fire('input'))", step)
        number = math.exp(stats.entropy(special.softmax(scale * np.array(JS("COSINES")))))
        assert f"<b>{number:.1f} of 32</b>" in page("hosts[0].by('live-values')[0].innerHTML")


def test_a_page_without_live_figure_is_left_alone() -> None:
    """The script asks for the divs and does nothing else: this document can do nothing else."""
    context = quickjs.Context()
    context.eval("globalThis.asked = []; globalThis.document = { readyState: 'complete', "
                 "querySelectorAll: (what) => { asked.push(what); return []; } }; 0")  # fmt: skip
    names = context.eval("Object.keys(globalThis).join()")
    context.eval(SCRIPT)
    assert json.loads(context.eval("JSON.stringify(asked)")) == [".live-figure[data-live]"]
    assert context.eval("Object.keys(globalThis).join()") == names


# --- the files, and the places in the chapters


def test_the_files_are_small_and_ask_for_nothing() -> None:
    assert len(SCRIPT.encode()) < 25_000
    addresses = set(re.findall(r"https?://[^\s\"']+|//[a-z]+\.[^\s\"']+", SCRIPT))
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of a namespace; nothing is fetched from there"
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|sendBeacon|eval|localStorage)\b\s*[.(]", SCRIPT)
    assert not re.search(r"url\(|@import", STYLE)
    assert not re.search(r"transition|animation", STYLE), "nothing moves by itself, so nothing is to be stilled"


def test_colours_are_the_house_palette() -> None:
    colours = set(re.findall(r"#[0-9a-f]{3,6}\b", STYLE))
    assert colours <= {INK, *PALETTE}
    assert all(contrast_ratio(colour, ground) >= 3 for colour in colours for ground in ("#ffffff", "#121212"))


def test_every_place_in_a_chapter_names_a_figure() -> None:
    known = {f'<div class="live-figure" data-live="{name}">' for name in JS("Object.keys(FIGURES)")}
    assert [(chapter, div) for chapter, div in PLACES if div not in known] == []
