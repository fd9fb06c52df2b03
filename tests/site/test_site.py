"""The rendered site is whole (marker ``site``), and the rules that say so catch what is not.

The site is the folder that ``COSENT_SITE`` names, or else ``_build/html``.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import site_checks
import yaml
from bs4 import Tag

import notebooks

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("COSENT_SITE") or ROOT / "_build" / "html")
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
CHAPTERS = [page for page in PAGES if (ROOT / f"{page}.ipynb").exists()]
PAGE_RULES = (
    site_checks.dead_links,
    site_checks.foreign_requests,
    site_checks.images_without_text,
    site_checks.raw_markup,
    site_checks.failed_cells,
    site_checks.double_ids,
    site_checks.unnumbered,
)


@pytest.fixture(scope="session")
def site() -> Path:
    """Folder of the rendered site; its absence is a failure, for these tests run only when asked for."""
    if not (SITE / "index.html").is_file():
        pytest.fail(f"no rendered site in {SITE}: run `make book` first")
    return SITE


def apply(rule: Callable[..., Iterator[str]], path: Path, site: Path) -> list[str]:
    """Return what a rule finds wrong with a page."""
    return list(rule(path, site) if rule is site_checks.dead_links else rule(path))


@pytest.mark.site
@pytest.mark.parametrize("page", PAGES)
def test_page_of_the_table_of_contents_exists(site: Path, page: str) -> None:
    path = site / f"{page}.html"
    assert path.is_file(), f"{page} stands in _toc.yml, but {path} was not built"
    article = site_checks.soup(path).find("article")
    assert isinstance(article, Tag)
    assert len(article.get_text().split()) > 20, f"{page} is as good as empty"


@pytest.mark.site
@pytest.mark.parametrize("rule", PAGE_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("page", [*PAGES, "genindex", "search", "index"])
def test_page_is_whole(site: Path, page: str, rule: Callable[..., Iterator[str]]) -> None:
    if page in ("index", "search") and rule is site_checks.raw_markup:
        return  # a redirect to the first page and a form, without an article
    found = apply(rule, site / f"{page}.html", site)
    assert not found, f"{page}:\n  " + "\n  ".join(found)


@pytest.mark.site
def test_style_sheets_fetch_nothing_from_another_host(site: Path) -> None:
    found = {
        (sheet.relative_to(site).as_posix(), problem)
        for sheet in site.rglob("*.css")
        for problem in site_checks.foreign_style(sheet.read_text(encoding="utf-8", errors="replace"))
    }
    assert found == set()


@pytest.mark.site
@pytest.mark.parametrize("page", CHAPTERS)
def test_what_was_rendered_had_been_executed(site: Path, page: str) -> None:
    notebook = json.loads((site / "_sources" / f"{page}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    assert cells
    assert [cell["id"] for cell in cells if cell["execution_count"] is None] == []
    failed = [cell["id"] for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert failed == []


@pytest.mark.site
@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_has_its_colab_button(site: Path, page: str) -> None:
    owner_and_name = notebooks.book_address().removeprefix("https://github.com/")
    expected = f"https://colab.research.google.com/github/{owner_and_name}/blob/main/{page}.ipynb"
    links = {str(link.get("href")) for link in site_checks.soup(site / f"{page}.html").find_all("a")}
    assert expected in links


@pytest.mark.site
@pytest.mark.parametrize("page", PAGES)
def test_formulas_are_set_by_the_sites_own_mathjax(site: Path, page: str) -> None:
    parsed = site_checks.soup(site / f"{page}.html")
    if not parsed.select("article .math"):
        return
    sources = [str(script["src"]) for script in parsed.find_all("script", src=True)]
    assert [source for source in sources if source.split("?")[0].endswith("vendor/mathjax/tex-mml-chtml.js")]
    assert (site / "_static/vendor/mathjax/tex-mml-chtml.js").stat().st_size > 500_000
    assert list((site / "_static/vendor/mathjax").rglob("MathJax_Main-Regular.woff"))


# --- the rules themselves, on pages made for them

GOOD = """<html><body><a href="#top">x</a><a href="other.html#there">y</a><img src="a.svg" alt="a line">
<link rel="canonical" href="https://example.org/"><a href="https://example.org/">out</a>
<article id="top"><p>See <a href="other.html">it</a>.</p><pre>{cite}`x` $$ ```{note}</pre>
<figure><figcaption><span class="caption-number">Figure 1</span> A line.</figcaption></figure></article>"""
BAD = {
    "missing page": ('href="other.html"', 'href="gone.html"', site_checks.dead_links, "'gone.html', which is not"),
    "missing anchor": ("#there", "#gone", site_checks.dead_links, "no such place"),
    "missing anchor here": ("#top", "#bottom", site_checks.dead_links, "no such place"),
    "missing image": ('src="a.svg"', 'src="b.svg"', site_checks.dead_links, "'b.svg', which is not there"),
    "script of a CDN": (
        "<article",
        '<script src="https://cdn.example/x.js"></script><article',
        site_checks.foreign_requests,
        "<script> fetches 'https://cdn",
    ),
    "font of another host": (
        "<article",
        "<style>@font-face {src: url(//f.example/a.woff)}</style><article",
        site_checks.foreign_requests,
        "a style sheet fetches '//f.example/a.woff'",
    ),
    "preconnected style": ('rel="canonical"', 'rel="stylesheet"', site_checks.foreign_requests, "<link> fetches"),
    "no alternative text": ('alt="a line"', 'alt=""', site_checks.images_without_text, "has no alternative text"),
    "raw role": ("See ", "See {cite}`su` ", site_checks.raw_markup, "{cite}"),
    "raw directive": ("<p>See", "<p>```{note}</p><p>", site_checks.raw_markup, "```{note}"),
    "raw formula": ("See ", "See $$x$$ ", site_checks.raw_markup, "$$x$$"),
    "no article": ("article", "main", site_checks.raw_markup, "no <article>"),
    "traceback": (
        "<p>",
        '<div class="cell_output"><div class="output traceback">ValueError: no</div></div><p>',
        site_checks.failed_cells,
        "ValueError: no",
    ),
    "double id": ("<p>", '<p id="top">', site_checks.double_ids, "'top' is there 2 times"),
    "figure without number": ("caption-number", "caption", site_checks.unnumbered, "without number"),
    "unresolved": ("See ", "See ?? ", site_checks.unnumbered, "unresolved"),
}


def make_site(folder: Path, html: str) -> Path:
    """Write a page ``page.html`` with the two files it leads to; return its path."""
    (folder / "other.html").write_text('<p id="there">x</p>', encoding="utf-8")
    (folder / "a.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "page.html").write_text(html, encoding="utf-8")
    return folder / "page.html"


def test_no_rule_objects_to_a_good_page(tmp_path: Path) -> None:
    page = make_site(tmp_path, GOOD)
    assert [problem for rule in PAGE_RULES for problem in apply(rule, page, tmp_path)] == []


@pytest.mark.parametrize("case", BAD)
def test_a_rule_names_what_is_wrong_with_a_page(tmp_path: Path, case: str) -> None:
    old, new, rule, message = BAD[case]
    assert old in GOOD
    found = apply(rule, make_site(tmp_path, GOOD.replace(old, new)), tmp_path)
    assert any(message in problem for problem in found), found


@pytest.mark.site
def test_the_index_leads_to_the_places_where_terms_are_introduced(site: Path) -> None:
    links = [str(link["href"]) for link in site_checks.soup(site / "genindex.html").select("article a[href]")]
    for page in ("01_cross_entropy", "02_many_targets", "03_labels_to_order"):
        found = [link for link in links if f"chapters/{page}.html#term-in-text-" in link]
        assert len(found) >= 3, f"{page}: {found}"


@pytest.mark.site
@pytest.mark.parametrize("page", CHAPTERS)
def test_no_page_shows_the_installation_for_colab(site: Path, page: str) -> None:
    article = site_checks.soup(site / f"{page}.html").find("article")
    assert isinstance(article, Tag)
    assert "google.colab" not in article.get_text()


def test_tables_of_cells_have_no_light_plate_in_the_dark() -> None:
    """The theme lays one under every HTML output in which it finds no table of pandas' class."""
    style = (ROOT / "_static" / "custom.css").read_text(encoding="utf-8")
    rule = re.search(r'html\[data-theme="dark"\][^{]*\.text_html:has\(table\.shown\) \{([^}]*)\}', style)
    assert rule is not None
    assert "background: none" in rule[1]
    assert "color: inherit" in rule[1]
