"""What a rendered page has to be: each rule a function over the page's html that lists what is wrong."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag

from bs4 import BeautifulSoup, Tag

# Elements whose address a browser fetches by itself when it shows the page; a link waits for the reader.
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
NOT_FETCHED_RELATIONS = {"canonical", "alternate", "author", "license", "help", "bookmark", "search", "next", "prev"}
RAW_MARKUP = re.compile(
    r"\{(?:cite|ref|eq|numref|doc|term|prf:ref|math|abbr|glue)[\w:]*\}|^\s*(?:```|:::)\s*\{|\$\$|\]\(#|\\begin\{", re.M
)
CSS_ADDRESS = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@cache
def soup(path: Path) -> BeautifulSoup:
    """Return the parsed page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "lxml")


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return every place in a page that a link can point to."""
    found = soup(path).find_all(lambda tag: tag.has_attr("id") or (tag.name == "a" and tag.has_attr("name")))
    return frozenset(str(tag.get("id") or tag.get("name")) for tag in found)


def is_external(address: str) -> bool:
    """Return whether an address leads to another host."""
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address, flags=re.I))


def is_local(address: str) -> bool:
    """Return whether an address names a file or an anchor of the site."""
    return bool(address) and not is_external(address) and not re.match(r"(?:mailto|data|javascript):", address, re.I)


def dead_links(path: Path, site: Path) -> Iterator[str]:
    """Every link, image, style and script of the site leads to a file and an anchor that are there."""
    for tag in soup(path).find_all(["a", *FETCHED]):
        address = str(tag.get(FETCHED.get(tag.name, "href")) or "")
        if not is_local(address):
            continue
        file, fragment = urldefrag(address)
        file = unquote(file.split("?")[0])
        base = site if file.startswith("/") else path.parent
        target = (base / file.lstrip("/")).resolve() if file else path
        if target.is_dir():
            target = target / "index.html"
        if not target.is_file():
            yield f"<{tag.name}> leads to {address!r}, which is not there"
        elif fragment and target.suffix == ".html" and unquote(fragment) not in anchors(target):
            yield f"<{tag.name}> leads to {address!r}: no such place in that page"


def foreign_requests(path: Path) -> Iterator[str]:
    """Showing the page fetches nothing from another host."""
    for tag in soup(path).find_all(list(FETCHED)):
        address = str(tag.get(FETCHED[tag.name]) or "")
        relations = {str(relation).lower() for relation in tag.get("rel") or []}
        if is_external(address) and not (tag.name == "link" and relations <= NOT_FETCHED_RELATIONS):
            yield f"<{tag.name}> fetches {address!r}"
    for tag in soup(path).find_all(srcset=True):
        if is_external(str(tag["srcset"]).strip()):
            yield f"<{tag.name}> fetches {tag['srcset']!r}"
    for style in soup(path).find_all("style"):
        yield from foreign_style(style.get_text())


def foreign_style(css: str) -> Iterator[str]:
    """A style sheet fetches nothing (fonts, pictures, other sheets) from another host."""
    for groups in CSS_ADDRESS.findall(re.sub(r"/\*.*?\*/", "", css, flags=re.S)):
        address = next(group for group in groups if group)
        if is_external(address):
            yield f"a style sheet fetches {address!r}"


def images_without_text(path: Path) -> Iterator[str]:
    """Every picture has an alternative text; in an output it is a sentence, not a file's name."""
    for image in soup(path).find_all("img"):
        alt = str(image.get("alt") or "").strip()
        if not alt:
            yield f"<img src={str(image.get('src'))[:80]!r}> has no alternative text"
        elif image.find_parent(class_="cell_output") and (len(alt) < 20 or alt.endswith((".png", ".svg"))):
            yield f"<img> in an output has the alternative text {alt!r}, expected a sentence"


def raw_markup(path: Path) -> Iterator[str]:
    """No directive, role or formula of the source is left in the text that a reader sees."""
    article = soup(path).find("article")
    if not isinstance(article, Tag):
        yield "no <article>"
        return
    seen = BeautifulSoup(str(article), "lxml")
    for tag in seen.select("pre, code, script, style, svg, .math"):
        tag.decompose()
    for match in RAW_MARKUP.finditer(seen.get_text()):
        text = seen.get_text()[max(0, match.start() - 20) : match.end() + 40]
        yield f"markup left in the text: {' '.join(text.split())!r}"


def failed_cells(path: Path) -> Iterator[str]:
    """No output shows a traceback (a cell that is meant to raise is marked so in its notebook and caught there)."""
    for output in soup(path).select(".cell_output .traceback, .cell_output .stderr"):
        yield f"an output shows an error or a warning: {output.get_text().strip()[-120:]!r}"


def double_ids(path: Path) -> Iterator[str]:
    """No two places of a page have the same id."""
    ids = Counter(str(tag["id"]) for tag in soup(path).find_all(id=True) if not tag.find_parent("svg"))
    yield from (f"the id {name!r} is there {count} times" for name, count in ids.items() if count > 1)


def unnumbered(path: Path) -> Iterator[str]:
    """Every figure has its number and every reference found its target."""
    for caption in soup(path).select("article figure figcaption"):
        if not caption.select_one(".caption-number"):
            yield f"a figure without number: {caption.get_text().strip()[:60]!r}"
    for text in soup(path).find_all(string=re.compile(r"\?\?|\[undefined\]")):
        if not text.find_parent(["pre", "code", "script", "style"]):
            yield f"an unresolved reference: {str(text).strip()[:60]!r}"
