"""Where the numbers of a chapter's text come from: a cell, a source that is named, or arithmetic that is checked.

Checked is every number in Markdown, captions and alternative texts that has a decimal point, a percent sign, a
thousands separator or at least three digits. Not checked: formulas and code, citations and links, numbers of
chapters, figures and equations, years, versions, counts of dimensions, and powers of ten, which stand for "many".

A number is traced if a code cell of the chapter prints it or has it in its source, rounded to the digits written:
0.79, 79 %, "79 points" and 78.6 all come from a printed 0.786 or 78.6 %. Otherwise an HTML comment in the same
Markdown cell (for a caption: in the Markdown before or after it) says where it is from, several by semicolons:

    <!-- numbers: 78.69 78.72 from su2022cosent1; 0.99 from Chapter 3; 0.008 by arithmetic: 0.786 - 0.778 -->

A key has to be in references.bib and cited in the chapter, the other chapter has to hold the number (or another section
of this one, ``from section TITLE``, to print it), arithmetic has to give it (or, as a comparison such as
``0.031 < 0.05``, has to be true) and may use only numbers that are traced themselves.
``<!-- numbers: 250,000 as an example -->`` marks a number that claims nothing.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

import notebooks

ROOT = Path(__file__).resolve().parents[2]
SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
DIGITS = r"[1-9]\d{0,2}(?:[,\u2009\u202f]\d{3})+(?:\.\d+)?(?!\d)|\d+\.\d+|\d+"
NUMBER = re.compile(
    rf"(?<![\w.])(?<![A-Za-z]-)(?P<sign>(?<![\w)\]%½])[-−])?(?P<digits>{DIGITS})(?:e(?P<power>[-−+]?\d+))?"
    r"(?:\s?[×·]\s?10(?P<ten>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))?(?P<thousand>[kM](?!\w))?"
    r"(?P<percent>\s?%|[\s-](?:per\s?cent|points?)\b)?"
)
IN_CODE = re.compile(
    r"(?<![\w.])(?P<sign>[-−])?(?P<digits>\d[\d_]*(?:\.\d*)?|\.\d+)(?:e(?P<power>[-+]?\d+))?(?P<rest>\s?%)?"
)
SEPARATED = re.compile(r"(?<![\w.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
NAMED = (
    r"Chapters?|Sections?|Figures?|Fig\.|Tables?|Propositions?|Theorems?|Lemmas?|Corollar(?:y|ies)|Definitions?|Listings?"
    r"|Exercises?|Equations?|Parts?|Spaces|posts?|issues?|pages?|versions?|Python|PyTorch|torch|numpy|scipy|seed"
)
WITH_A_NAME = re.compile(rf"\b(?:{NAMED})\s+\d[\d.]*(?:(?:,|,? and|,? or| to|–)\s*\d[\d.]*)*", re.I)
YEAR = re.compile(r"(?<![\w.,])(?:19[5-9]\d|20[0-3]\d)(?![\w,]|\.\d| \w+s\b)")
ONLY_A_NUMBER = re.compile(r"(?<![\\\w])\$(\s*[-−]?[\d.,]+\s*%?\s*)\$")  # $0.7$ is no formula
PROSE_CUTS = (
    re.compile(r"<!--.*?-->", re.S),
    re.compile(r"\$\$.*?\$\$(?:\s*\([\w-]+\))?|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S),
    re.compile(r"\{[\w:.-]+\}`[^`]*`|(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.S),
    re.compile(r"(?<!\\)\$(?:[^$\n]|\n(?!\n))+?(?<!\\)\$"),
    re.compile(r"\]\([^)\s]*\)|https?://\S+|arxiv:\S+|doi:\S+|^\([\w-]+\)=", re.I | re.M),
    re.compile(r"</?[a-z][^>]*>", re.I),
    re.compile(r"^#+\s+\d+(?:\.\d+)*\.?\s|^\s*\d+\.\s", re.M),
    re.compile(r"\bv?\d+\.\d+\.\d+\S*|\bv\d+\.\d+"),
    WITH_A_NAME,
    YEAR,
    re.compile(r"\b9\d(?:\.\d+)?\s?%(?=[\s-](?:bootstrap |confidence |t-)?(?:intervals?|limits)\b)"),
)
FENCE = re.compile(r"\s*(?P<ticks>`{3,}|:{3,}|~{3,})(?:\{(?P<name>[\w:.-]+)\})?(?P<rest>.*)$")
CODE_DIRECTIVES = ("code", "code-block", "code-cell", "math", "raw", "mermaid", "bibliography", "literalinclude")
ABOUT = re.compile(r"(?:\b(?:about|around|roughly|some|approximately|close to|a good)|[~≈])\s*$", re.I)
BEYOND = re.compile(
    r"\b(?:over|above|more than|at least|under|below|less than|at most|up to|nearly|almost|beyond|than)\s*$", re.I
)
DECLARATION = re.compile(r"<!--\s*numbers:(.*?)-->", re.S)
ENTRY = re.compile(
    r"(?P<values>.+?)\s+(?:from\s+(?P<source>.+)|by arithmetic:\s*(?P<sum>.+)|(?P<example>as an example))"
)
CHAPTER = re.compile(r"Chapter (\d+)")
OPERATIONS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(math, name) for name in ("sqrt", "log", "exp", "comb", "pi")},
    **{"abs": abs, "min": min, "max": max, "round": round},
}


@dataclass(frozen=True)
class Number:
    """A number as it is written: its value, the unit of its last digit, and where in the text it stands."""

    text: str
    value: float
    unit: float
    percent: bool = False
    start: int = 0
    tolerance: float = 0.5  # in units; more after words such as "more than"

    def is_rounding_of(self, value: float) -> bool:
        """Return whether ``value``, rounded to the digits written, is this number (or minus this number)."""
        room = self.tolerance * self.unit + 1e-9 * max(1.0, abs(self.value))
        values = (value, -value) if self.value >= 0 else (value,)
        return any(abs(candidate - self.value) <= room for candidate in values)


@dataclass
class Sources:
    """Numbers that text may use: plain values, and those followed by a percent sign."""

    plain: set[float] = field(default_factory=set)
    percent: set[float] = field(default_factory=set)

    def hold(self, number: Number) -> bool:
        """Return whether ``number`` is one of these, rounded; shares and percentages count as equal."""
        candidates = self.plain | self.percent | {value / 100 for value in self.percent}
        if number.percent:
            candidates |= {100 * value for value in self.plain}
        return any(number.is_rounding_of(value) for value in candidates)

    def add(self, other: "Sources") -> None:
        """Take over the numbers of ``other``."""
        self.plain |= other.plain
        self.percent |= other.percent


# --- numbers in outputs and code


def numbers_in(text: str) -> Sources:
    """Return every number of an output or of a cell's source, thousands separators or not."""
    found = Sources()
    for match in SEPARATED.finditer(text):
        found.plain.add(float(match.group().replace(",", "")))
    for match in IN_CODE.finditer(text):
        value = float(match["digits"].replace("_", "") + (f"e{match['power']}" if match["power"] else ""))
        (found.percent if match["rest"] else found.plain).add(-value if match["sign"] else value)
    return found


def constants_in(source: str) -> set[float]:
    """Return the values of constant expressions in Python code, such as ``2**20`` and ``1 / 81``."""
    try:
        tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M))
    except SyntaxError:
        return set()
    values = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            try:
                values.add(float(evaluate(node)))
            except (ValueError, ArithmeticError, TypeError):
                continue
    return values


def outputs_of(cells: Iterable[NotebookNode]) -> Sources:
    """Return the numbers that code cells have printed, in outputs of text."""
    found = Sources()
    for cell in cells:
        texts = [output.get("text", "") for output in cell.outputs]
        for output in cell.outputs:
            texts += [str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
        for text in texts:
            found.add(numbers_in(re.sub(r"</?[a-z][^>]*>", " ", text)))
    return found


def typed_in(notebook: NotebookNode) -> Sources:
    """Return the numbers that the code cells of a chapter have in their source, but for the setup cell."""
    found = Sources()
    for cell in notebook.cells:
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", []):
            found.plain |= constants_in(cell.source)
            found.add(numbers_in(re.sub(r"</?[a-z][^>]*>", " ", cell.source)))
    return found


def sources_of(notebook: NotebookNode) -> Sources:
    """Return the numbers that the code cells of a chapter hold, in their source and in what they printed."""
    found = typed_in(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found.add(outputs_of(cell for cell in cells if "setup" not in cell.metadata.get("tags", [])))
    return found


def headings(cell: NotebookNode) -> list[tuple[int, str]]:
    """Return place and title of every ``##`` heading in a cell."""
    text = re.sub(r"^(`{3,}).*?^\1", blank, cell.source, flags=re.M | re.S) if cell.cell_type == "markdown" else ""
    return [(match.start(), match[1].strip()) for match in re.finditer(r"^## (.+)$", text, flags=re.M)]


def section_at(notebook: NotebookNode, index: int, start: int) -> str:
    """Return the title of the ``##`` section that a place in a cell belongs to; empty before the first."""
    found = ""
    for cell in notebook.cells[:index]:
        found = ([found] + [title for _, title in headings(cell)])[-1]
    return ([found] + [title for place, title in headings(notebook.cells[index]) if place <= start])[-1]


def sections_of(notebook: NotebookNode) -> dict[str, Sources]:
    """Return what each ``##`` section prints, by its title; empty the one before the first."""
    found: dict[str, Sources] = {"": Sources()}
    title = ""
    for cell in notebook.cells:
        for _, title in headings(cell):
            found.setdefault(title, Sources())
        if cell.cell_type == "code":
            found[title].add(outputs_of([cell]))
    return found


def evaluate(node: ast.AST) -> Any:
    """Return the value of an expression that consists of numbers, + - * / **, comparisons and a few functions."""
    if isinstance(node, ast.Expression):
        return evaluate(node.body)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        left, right = evaluate(node.left), evaluate(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > 100:
            raise ValueError("an exponent above 100")
        return OPERATIONS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATIONS:
        return OPERATIONS[type(node.op)](evaluate(node.operand))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATIONS:
        return OPERATIONS[type(node.ops[0])](evaluate(node.left), evaluate(node.comparators[0]))
    if isinstance(node, ast.Name) and node.id == "pi":
        return math.pi
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in FUNCTIONS
        and not node.keywords
    ):
        return FUNCTIONS[node.func.id](*(evaluate(argument) for argument in node.args))
    raise ValueError(f"not arithmetic: {ast.unparse(node)!r}")


# --- numbers in text


def blank(match: re.Match[str]) -> str:
    """Return spaces in place of what matched, so that all else stays where it is."""
    return re.sub(r"[^\n]", " ", match.group())


def without_code(text: str) -> str:
    """Blank blocks of code, fences and options of directives; what directives say stays."""
    lines, directives, code, options = text.split("\n"), [], "", False
    for index, line in enumerate(lines):
        fence = FENCE.match(line)
        ends = fence and not fence["name"] and not fence["rest"].strip()
        if code:
            code = "" if ends and fence["ticks"].startswith(code) else code
            lines[index] = ""
        elif ends and directives and fence["ticks"].startswith(directives[-1]):
            directives.pop()
            lines[index] = ""
        elif fence and fence["name"] and fence["name"] not in CODE_DIRECTIVES:
            directives.append(fence["ticks"])
            lines[index] = fence["rest"]  # a title
            options = True
        elif fence:
            code = fence["ticks"]
            lines[index] = ""
        elif options and re.match(r"\s*:[\w-]+:", line):
            lines[index] = ""
        else:
            options = options and not line.strip()
        lines[index] = lines[index].rjust(len(line))
    return "\n".join(lines)


def prose(text: str) -> str:
    """Return Markdown with all but its prose blanked, at the same places."""
    text = ONLY_A_NUMBER.sub(lambda match: f" {match[1]} ", without_code(text))
    for cut in PROSE_CUTS:
        text = cut.sub(blank, text)
    return text


def written(text: str, *, everything: bool = False) -> Iterator[Number]:
    """Yield the numbers of a text that have to be traced (or ``everything`` that is a number)."""
    plain = text if everything else prose(text)
    for match in NUMBER.finditer(plain):
        digits = re.sub(r"[,\u2009\u202f]", "", match["digits"])
        whole, _, decimals = digits.partition(".")
        percent, start = bool(match["percent"]), match.start("digits")
        scale = 10.0 ** int((match["power"] or "0").replace("−", "-"))
        scale *= 10.0 ** int((match["ten"] or "0").translate(SUPERSCRIPT)) * {"k": 1e3, "M": 1e6}.get(
            match["thousand"], 1
        )
        power_of_ten = not decimals and not percent and re.fullmatch(r"10*", whole)
        dimensions = re.match(r"[\s-]?dim(?:ension|s?\b)", plain[match.end() :])
        checked = decimals or "%" in (match["percent"] or "") or "cent" in (match["percent"] or "") or len(whole) >= 3
        if not everything and (not checked or power_of_ten or dimensions):
            continue
        before = plain[: match.start()].rstrip(" $")
        hedged = ABOUT.search(before + " ") or BEYOND.search(before + " ")
        zeros = len(whole) - len(whole.rstrip("0")) if hedged and not decimals else 0
        yield Number(
            text=match.group().strip(),
            value=(-1 if match["sign"] else 1) * float(digits) * scale,
            unit=10.0 ** (zeros - len(decimals)) * scale,
            percent=percent,
            start=start,
            tolerance=1.0 if BEYOND.search(before + " ") else 0.5,
        )


def sentence(text: str, start: int) -> str:
    """Return the sentence, table row or list item around a place, on one line and not too long."""
    ends = [match.end() for match in re.finditer(r"[.?!]\s|\n\s*\n|\n(?=[|>*-])|-->", text)]
    begin = max((end for end in ends if end <= start), default=0)
    stop = min((end for end in ends if end > start), default=len(text))
    words = " ".join(text[begin:stop].split())
    return words if len(words) <= 160 else f"{words[:157]}…"


# --- declarations


@dataclass
class Declarations:
    """What the comments of one Markdown cell say: numbers with a source of their own, and what is wrong with them."""

    numbers: list[Number] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@cache
def bibliography() -> frozenset[str]:
    """Return the keys of references.bib."""
    text = (ROOT / "references.bib").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^@\w+\{([^,]+),", text, flags=re.M))


@cache
def chapter_sources(number: int) -> Sources | None:
    """Return the numbers of the chapter with that number, None if there is no such chapter (0: the introduction)."""
    names = sorted(notebooks.CHAPTERS.glob("intro.ipynb" if number == 0 else f"{number:02d}_*.ipynb"))
    return sources_of(notebooks.read(names[0])) if names else None


def cited_keys(notebook: NotebookNode) -> set[str]:
    """Return the keys a chapter cites."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return {key.strip() for keys in re.findall(r"\{cite[:\w]*\}`([^`]+)`", text) for key in keys.split(",")}


def declarations(
    text: str, known: Sources, cited: Iterable[str], sections: Mapping[str, Sources] | None = None
) -> Declarations:
    """Read and check the comments of a Markdown cell.

    ``known`` holds the numbers of the chapter's cells, ``sections`` what each of its sections prints.
    """
    found = Declarations()
    entries = [entry for comment in DECLARATION.findall(text) for entry in comment.split(";")]
    for entry in sorted((" ".join(entry.split()) for entry in entries), key=lambda entry: "by arithmetic" in entry):
        match = ENTRY.fullmatch(entry)
        values = list(written(match["values"], everything=True)) if match else []
        if match is None or not values:
            found.wrong.append(
                f"'{entry}' is not 'NUMBERS from SOURCE', 'NUMBER by arithmetic: …' or 'NUMBER as an example'"
            )
            continue
        if match["sum"]:
            problem = wrong_arithmetic(match["sum"], values, known, found.numbers)
        elif match["example"]:
            problem = ""
        else:
            problem = wrong_source(match["source"], values, cited, sections or {})
        if problem:
            found.wrong.append(problem)
        found.numbers += values
    return found


def wrong_source(source: str, values: list[Number], cited: Iterable[str], sections: Mapping[str, Sources]) -> str:
    """Return what is wrong with a source of numbers, nothing if it is as it has to be."""
    if source.startswith("section "):
        title = source.removeprefix("section ")
        if title not in sections:
            return f"there is no section '{title}'"
        missing = [value.text for value in values if not sections[title].hold(value)]
        return f"section '{title}' does not print {', '.join(missing)}" if missing else ""
    if source == "the introduction" or (chapter := CHAPTER.fullmatch(source)):
        held = chapter_sources(0 if source == "the introduction" else int(chapter[1]))
        if held is None:
            return f"there is no {source}"
        missing = [value.text for value in values if not held.hold(value)]
        return f"{source} has no cell with {', '.join(missing)}" if missing else ""
    keys = [key.strip() for key in source.split(",")]
    unknown = [key for key in keys if key not in bibliography()]
    if unknown:
        return f"'{', '.join(unknown)}' is no key of references.bib and no 'Chapter N'"
    uncited = [key for key in keys if key not in set(cited)]
    return f"the chapter takes numbers from '{', '.join(uncited)}' and does not cite it" if uncited else ""


def wrong_arithmetic(expression: str, values: list[Number], known: Sources, declared: list[Number]) -> str:
    """Return what is wrong with a calculation that is said to give a number, nothing if it is right."""
    try:
        tree = ast.parse(expression.replace("−", "-"), mode="eval")
        result = evaluate(tree)
    except (SyntaxError, ValueError, ArithmeticError, TypeError) as error:
        return f"cannot calculate '{expression}': {error}"
    constants = [str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    own = {number.value for number in values}
    operands = [number for text in constants for number in written(text) if number.value not in own]
    elsewhere = Sources(plain={number.value for number in declared})
    missing = [number.text for number in operands if not known.hold(number) and not elsewhere.hold(number)]
    if missing:
        return f"'{expression}' uses {', '.join(missing)}, which no cell of this chapter has"
    if isinstance(result, bool):
        named = all(number.text.replace(",", "") in expression for number in values)
        return "" if result and named else f"'{expression}' is not true of {', '.join(value.text for value in values)}"
    results = Sources(plain={float(result)})
    different = [value.text for value in values if not results.hold(value)]
    return f"'{expression}' is {result:.6g}, not {', '.join(different)}" if different else ""


# --- the rule


def figure_texts(cell: NotebookNode) -> list[tuple[str, str]]:
    """Return caption and alternative text of a code cell's figure."""
    settings = cell.metadata.get("mystnb", {})
    caption, alt = settings.get("figure", {}).get("caption", ""), settings.get("image", {}).get("alt", "")
    return [("caption", str(caption)), ("alternative text", str(alt))]


def neighbours(notebook: NotebookNode, index: int) -> list[int]:
    """Return the indices of the Markdown cells before and after a cell that are nearest to it."""
    found = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"]
    before, after = [i for i in found if i < index], [i for i in found if i > index]
    return [*before[-1:], *after[:1]]


def untraced(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield the index of a cell and what is wrong with one of its numbers."""
    known, cited, sections = sources_of(notebook), cited_keys(notebook), sections_of(notebook)
    said = {
        index: declarations(cell.source, known, cited, sections)
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
    }
    used: dict[int, set[float]] = {index: set() for index in said}
    for index, cell in enumerate(notebook.cells):
        texts = [("text", cell.source)] if index in said else figure_texts(cell) if cell.cell_type == "code" else []
        places = [index] if index in said else neighbours(notebook, index)
        for kind, text in texts:
            for number in written(text):
                declared = Sources(plain={other.value for place in places for other in said[place].numbers})
                for place in places:
                    used[place] |= {o.value for o in said[place].numbers if Sources(plain={o.value}).hold(number)}
                if not known.hold(number) and not declared.hold(number):
                    yield (
                        index,
                        f"{kind}: {number.text} is in no cell, and no comment says where it is from: "
                        + repr(sentence(text, number.start)),
                    )
    for index, found in said.items():
        yield from ((index, f"comment: {problem}") for problem in found.wrong)
        for number in found.numbers:
            if number.value not in used[index]:
                yield index, f"comment: it names {number.text}, which the text does not use"
