"""The page of all results: a table for each recorded suite, whole and harmless; its script sorts and filters."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import quickjs
import site_checks
from bs4 import BeautifulSoup, Tag
from hypothesis import given, settings
from hypothesis import strategies as st

import sphinx_results
from cosent_book.all_results import measurement_list, results
from cosent_book.store import file_of
from cosent_book.suites.plan import SUITES

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("COSENT_SITE") or ROOT / "_build" / "html")
PAGE = SITE / "chapters" / "results.html"
SCRIPT = (ROOT / "_static" / "results.js").read_text(encoding="utf-8")
STYLE = (ROOT / "_static" / "results.css").read_text(encoding="utf-8")


def section(name: str) -> Tag:
    """The section of a suite, or of the measurements; skips where a record was added after the page was made."""
    file = file_of(name)
    if file.exists() and file.stat().st_mtime > PAGE.stat().st_mtime:
        pytest.skip(f"{file.name} is younger than the page")
    for heading in site_checks.soup(PAGE).select("article h2"):
        if next(heading.stripped_strings) == name.replace("measurements", "Measurements"):
            assert isinstance(heading.parent, Tag)
            return heading.parent
    pytest.fail(f"the page has no section {name}")


@pytest.mark.site
@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_has_its_section_and_a_recorded_one_a_line_for_each_row(suite: str) -> None:
    here, found = section(suite), results(suite)
    tables = here.select("table.results")
    text = here.get_text(" ", strip=True)
    assert len(tables) == (0 if found.frame.empty else 1)
    if not found.recorded:
        assert f"Not recorded yet: {found.runs} runs declared." in text
    elif found.recorded < found.runs:
        assert f"{found.recorded} of {found.runs} runs recorded" in text
    if found.recorded < found.runs:
        assert f"python -m cosent_book benchmark {suite}" in [code.get_text() for code in here.select("code")]
    for table in tables:
        assert len(table.select("tbody > tr")) == len(found.frame)
        assert [cell.get_text() for cell in table.select("tbody th")] == found.frame["row"].tolist()


@pytest.mark.site
def test_the_measurements_are_the_last_table() -> None:
    (table,) = section("measurements").select("table.results")
    assert table is site_checks.soup(PAGE).select("table.results")[-1]
    assert len(table.select("tbody > tr")) == len(measurement_list())


@pytest.mark.site
def test_tables_are_tables_to_those_who_hear_them() -> None:
    tables = site_checks.soup(PAGE).select("table.results")
    assert tables
    for table in tables:
        (caption,) = table.select("caption")
        heads = table.select("thead th[scope=col]")
        assert len(heads) == len(table.select("thead th"))
        assert {len(row.select("td, th[scope=row]")) for row in table.select("tbody > tr")} == {len(heads)}
        box = table.parent
        assert isinstance(box, Tag)
        assert (box["role"], box["tabindex"], box["aria-label"]) == ("region", "0", caption.get_text())


@pytest.mark.site
def test_script_and_style_are_loaded_by_the_pages_with_such_tables_alone() -> None:
    pages = {path.name for path in (SITE / "chapters").glob("*.html") if "results.js" in path.read_text("utf-8")}
    assert pages == {PAGE.name, "claims.html"}
    (script,) = site_checks.soup(PAGE).select('script[src*="results.js"]')
    assert script.has_attr("defer")
    assert len(site_checks.soup(PAGE).select('link[href*="results.css"]')) == 1


# --- the table of a frame


HOSTILE = "<script>alert(\"1\")</script> & 'x' †"


def test_whatever_stands_in_a_record_is_text_in_the_page() -> None:
    texts = pd.DataFrame({"task": [HOSTILE], "row": [HOSTILE], "AUC": ["0.500"], HOSTILE: [HOSTILE]})
    parsed = BeautifulSoup(sphinx_results.html_table(HOSTILE, texts, "row"), "lxml")
    assert parsed.select("script") == []
    assert [cell.get_text() for cell in parsed.select("thead th")] == ["task", "row", "AUC", HOSTILE]
    shown = [cell.get_text() for cell in parsed.select("tbody th, tbody td")]
    assert shown == [HOSTILE.replace(" †", "†"), HOSTILE.replace(" †", "†"), "0.500", HOSTILE.replace(" †", "†")]
    assert parsed.select("caption")[0].get_text() == parsed.select("div")[0]["aria-label"] == HOSTILE
    assert [cell.get_text() for cell in parsed.select(".number")] == ["AUC", "0.500"]


def test_code_between_backquotes_is_code() -> None:
    found = sphinx_results.in_line("`a` and ``b`` of <c>.")
    assert [(node.tagname, node.astext()) for node in found if node.astext()] == [
        ("literal", "a"), ("#text", " and "), ("literal", "b"), ("#text", " of <c>."),
    ]  # fmt: skip


# --- the script


@pytest.fixture(scope="module")
def script() -> quickjs.Context:
    context = quickjs.Context()
    context.eval(f"globalThis.module = {{}}; {SCRIPT}; Object.assign(globalThis, module.exports); 0")
    return context


def call(context: quickjs.Context, expression: str, *values: Any) -> Any:
    names = ", ".join(f"${k}" for k in range(len(values)))
    return json.loads(
        context.eval(f"(({names}) => JSON.stringify({expression}))({', '.join(json.dumps(v) for v in values)})")
    )


def ordered(context: quickjs.Context, texts: list[str], sign: int = 1) -> list[str]:
    return [texts[k] for k in call(context, "order($0, $1)", texts, sign)]


@pytest.mark.parametrize(
    "rising",
    [
        ["−0.866 ± 0.000", "−0.100", "0.098 ± 0.002", "0.7", "0.701 ± 0.009", "1.000"],
        ["2", "10", "10 of 12", "450", "450†", "1800†"],
        ["AnglE", "cosent", "CoSENT, λ = 5", "CoSENT, λ = 20", "in-batch negatives"],
        ["learning_rate=2e-05", "learning_rate=0.003", "learning_rate=0.02‡", "scale=5.0‡", "scale=20.0"],
        ["exponent=-1.0", "exponent=-0.3", "exponent=0.3", "exponent=1.0"],
    ],
)
def test_a_column_is_sorted_by_its_numbers_and_words(script: quickjs.Context, rising: list[str]) -> None:
    assert ordered(script, rising[::-1]) == rising
    assert ordered(script, rising, -1) == rising[::-1]


def test_what_is_missing_is_last_either_way(script: quickjs.Context) -> None:
    texts = ["–", "0.5", "undefined", "−0.2 ± 0.100", "", "0.4"]
    assert ordered(script, texts) == ["−0.2 ± 0.100", "0.4", "0.5", "–", "undefined", ""]
    assert ordered(script, texts, -1) == ["0.5", "0.4", "−0.2 ± 0.100", "–", "undefined", ""]


def test_equals_stay_in_their_order(script: quickjs.Context) -> None:
    assert call(script, "order($0, 1)", ["b", "a", "b", "a"]) == [1, 3, 0, 2]
    assert call(script, "order($0, -1)", ["b", "a", "b", "a"]) == [0, 2, 1, 3]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-2, 2)), max_size=40), st.sampled_from([1, -1]))
def test_numbers_are_sorted_as_python_sorts_them(values: list[float | None], sign: int) -> None:
    context = quickjs.Context()
    context.eval(f"globalThis.module = {{}}; {SCRIPT}; Object.assign(globalThis, module.exports); 0")
    texts = ["–" if value is None else f"{value:.3f} ± 0.001".replace("-", "−") for value in values]
    shown = [math.inf if value is None else sign * float(f"{value:.3f}") for value in values]
    assert call(context, "order($0, $1)", texts, sign) == sorted(range(len(values)), key=lambda k: (shown[k], k))


# A document of two columns, of the few calls that the script makes.
DOCUMENT = """
class Element {
  constructor(text, tag) {
    Object.assign(this, { textContent: text, tag, value: "", attributes: {}, childNodes: [], calls: {}, placed: [] }); }
  setAttribute(name, value) { this.attributes[name] = value; }
  getAttribute(name) { return this.attributes[name] ?? null; }
  removeAttribute(name) { delete this.attributes[name]; }
  addEventListener(name, call) { this.calls[name] = call; }
  append(...nodes) { this.childNodes.push(...nodes); }
  before(node) { this.placed.push(node); }
}
class Body { constructor(rows) { this.rows = rows; }
  append(...rows) { this.rows = [...this.rows.filter((row) => !rows.includes(row)), ...rows]; } }
const row = (texts) => ({ hidden: false, cells: texts.map((text) => new Element(text)) });
globalThis.heads = [new Element("row"), new Element("AUC")];
globalThis.body = new Body([["b", "0.2"], ["C", "–"], ["a", "0.1"], ["ab", "0.2"]].map(row));
globalThis.box = new Element("");
globalThis.made = [];
globalThis.document = { createElement: (tag) => { made.push(new Element("", tag)); return made.at(-1); },
  querySelectorAll: (which) => which === "table.results"
    ? [{ tBodies: [body], tHead: { rows: [{ cells: heads }] }, parentElement: box }] : [] };
globalThis.press = (k) => made.filter((each) => each.tag === "button")[k].calls.click();
globalThis.shown = () => body.rows.filter((row) => !row.hidden).map((row) => row.cells[0].textContent).join(" ");
globalThis.sorts = () => heads.map((head) => head.getAttribute("aria-sort"));
"""


def test_a_head_sorts_rising_then_falling_then_as_declared() -> None:
    page = quickjs.Context()
    page.eval(f"{DOCUMENT}; made.value = ''; {SCRIPT}; 0".replace("input.value", '(input.value ?? "")'))
    pressed = [(0, "a ab b C", ["ascending", None]), (1, "a ab b C", [None, "ascending"]),
               (1, "ab b a C", [None, "descending"]), (1, "b C a ab", [None, None])]  # fmt: skip
    for column, names, sorts in pressed:
        page.eval(f"press({column})")
        assert (page.eval("shown()"), call(page, "sorts()")) == (names, sorts)


def test_the_field_keeps_rows_with_all_its_words_and_says_how_many() -> None:
    page = quickjs.Context()
    page.eval(f"{DOCUMENT}; {SCRIPT}; 0")
    page.eval("globalThis.input = made.find((each) => each.tag === 'input'); 0")
    count = "made.find((each) => each.attributes['aria-live']).textContent"
    assert page.eval(count) == "4 of 4 rows"
    for typed, names in {" 0.2 B": "b ab", "c": "C", "none": "", "": "b C a ab"}.items():
        page.eval(f"input.value = {json.dumps(typed)}; input.calls.input(); 0")
        assert page.eval("shown()") == names
        assert page.eval(count) == f"{len(names.split())} of 4 rows"
    assert page.eval("box.placed.length === 1 && made.some((each) => each.tag === 'label')")


def test_the_files_are_small_and_fetch_nothing() -> None:
    assert len(SCRIPT.encode()) < 5_000
    assert len(STYLE.encode()) < 5_000
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|eval|localStorage|innerHTML)\b", SCRIPT)
    assert not re.search(r"url\(|@import|#[0-9a-f]{3}", STYLE), "colours are the theme's"
