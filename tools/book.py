"""Execute and render the book: ``python tools/book.py book | stored | notebooks | live | convert``.

Sphinx never sees the working tree. The pages are staged in a folder of their own with the executed chapters and
MathJax beside them, so that building leaves the tree clean and nothing but the book's own pages can get into it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import notebooks
from notebooks import CHAPTERS, ROOT, ChapterFailedError

BUILD = ROOT / "_build"
PAGE_FILES = ("_config.yml", "_toc.yml", "references.bib", "genindex.md")


def run_chapters(paths: list[Path], folder: Path, live: bool = False) -> None:
    """Execute the chapters and write the results into ``folder``.

    Without ``live`` they run offline, against the clock, and must not write to stderr. All chapters are run even if
    one fails; then :class:`ChapterFailedError` says which, where and why.
    """
    environment = notebooks.live_environment() if live else notebooks.offline_environment()
    failures = []
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        notebook = notebooks.normalise(notebooks.read(path))
        try:
            seconds = notebooks.execute(notebook, name, CHAPTERS, environment, None if live else notebooks.CELL_TIMEOUT)
            stray = notebooks.stray_output(notebooks.normalise(notebook))
            if stray and not live:
                raise ChapterFailedError(f"{name}: {stray}")
        except ChapterFailedError as failure:
            failures.append(str(failure))
            print(f"  {name}  FAILED", flush=True)
            continue
        changed = notebooks.write(notebook, folder / path.name)
        note = "" if folder != CHAPTERS else "  changed" if changed else "  unchanged"
        print(f"  {name}  {seconds:.1f} s{note}", flush=True)
    if failures:
        raise ChapterFailedError("\n".join(failures))


def vendor_mathjax(folder: Path) -> None:
    """Copy MathJax from the installed package sphinx-mathjax-offline: the combined component, the macros it
    loads on demand, and its fonts (not the other 46 MB).
    """
    files = distribution("sphinx-mathjax-offline").files or []
    copied = 0
    for file in files:
        name = file.as_posix().partition("static/mathjax/")[2]
        wanted = name == "tex-mml-chtml.js" or name.startswith(("input/tex/extensions/", "output/chtml/fonts/"))
        if not wanted or name.endswith("/all-packages.js"):
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.locate(), target)
        copied += 1
    if not (folder / "tex-mml-chtml.js").is_file() or copied < 20:
        raise FileNotFoundError("the package sphinx-mathjax-offline holds no MathJax where version 0.0.2 has it")


def stage(folder: Path) -> Path:
    """Lay out afresh in ``folder`` all that Sphinx needs but the notebooks; return its folder of chapters."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "chapters").mkdir(parents=True)
    for name in PAGE_FILES:
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "_static", folder / "_static")
    for page in sorted(CHAPTERS.glob("*.md")):
        shutil.copyfile(page, folder / "chapters" / page.name)
    (folder / "_ext").mkdir()
    for extension in sorted((ROOT / "tools").glob("sphinx_*.py")):
        shutil.copyfile(extension, folder / "_ext" / extension.name)
    vendor_mathjax(folder / "_vendor" / "_static" / "vendor" / "mathjax")
    return folder / "chapters"


def remove_setup(chapters: Path) -> None:
    """Take the setup cells off the pages: they do something in Colab only, where they stand."""
    for path in sorted(chapters.glob("*.ipynb")):
        notebook = notebooks.read(path)
        for cell in notebook.cells:
            if "setup" in cell.metadata.get("tags", []):
                cell.metadata["tags"] = [*cell.metadata["tags"], "remove-cell"]
        notebooks.write(notebook, path)


def render(staged: Path, output: Path) -> Path:
    """Render the staged book with warnings as errors; return the folder of the html pages."""
    remove_setup(staged / "chapters")
    html = output / "_build" / "html"
    for old in (html, html.parent / ".doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    builder = Path(sys.executable).with_name("jupyter-book")
    command = [str(builder), "build", str(staged), "--path-output", str(output), "-W", "-n", "--keep-going", "-q"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=False)
    if done.returncode != 0:
        raise SystemExit("error: the book does not render without warnings; they stand above")
    return html


def check_pages(html: Path) -> None:
    """Run the checks of the rendered site."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "site", "tests/site"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"COSENT_SITE": str(html)}, check=False)
    if done.returncode != 0:
        raise SystemExit("error: the rendered site is not whole; see above")


def book() -> None:
    """Execute every chapter afresh without network, render the result, check the pages."""
    start = time.perf_counter()
    chapters = stage(BUILD / "source")
    print("executing the chapters, without network", flush=True)
    run_chapters(notebooks.chapter_paths(), chapters)
    executed = time.perf_counter()
    print("rendering", flush=True)
    html = render(BUILD / "source", ROOT)
    rendered = time.perf_counter()
    check_pages(html)
    print(f"executed in {executed - start:.0f} s, rendered in {rendered - executed:.0f} s")
    print(f"the book: {(html / 'index.html').relative_to(ROOT)}")


def stored() -> None:
    """Render the stored outputs, as they are in ``chapters/``, to ``_build/stored``."""
    chapters = stage(BUILD / "stored" / "source")
    for path in notebooks.chapter_paths():
        shutil.copyfile(path, chapters / path.name)
    render(BUILD / "stored" / "source", BUILD / "stored")


def in_place(prefix: str) -> None:
    """Execute the chapters in place, without network."""
    run_chapters(notebooks.chapter_paths(prefix), CHAPTERS)
    copy_picture()


def copy_picture() -> None:
    """Copy the figure of the introduction to where the README shows it."""
    cells = notebooks.read(CHAPTERS / "intro.ipynb").cells
    drawn = [output.data["image/svg+xml"] for cell in cells for output in cell.get("outputs", []) if "data" in output]
    (ROOT / "_static" / "before_after.svg").write_text(drawn[0], encoding="utf-8")


def live(prefix: str) -> None:
    """Execute copies of the chapters with ``COSENT_LIVE=1``: every experiment for real, as long as it takes."""
    folder = BUILD / "live"
    data = os.environ.get("COSENT_DATA_DIR")
    print(f"live: real data from {data}" if data else "live: no COSENT_DATA_DIR", flush=True)
    run_chapters(notebooks.chapter_paths(prefix), folder, live=True)
    print(f"the executed copies: {folder.relative_to(ROOT)}")


def convert(text: Path, notebook: Path) -> None:
    """Turn a chapter written as MyST Markdown into a notebook in the book's form (not executed)."""
    import jupytext

    notebooks.write(notebooks.normalise(jupytext.read(text, fmt="md:myst")), notebook)


def main() -> None:
    """Read the command line and do the one thing it names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    functions: dict[str, Callable[..., None]] = {
        "book": book,
        "stored": stored,
        "notebooks": in_place,
        "live": live,
        "convert": convert,
    }
    parsers = {
        name: commands.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
        for name, function in functions.items()
    }
    for command in (parsers["notebooks"], parsers["live"]):
        command.add_argument("prefix", nargs="?", default="", help="beginning of a chapter's file name, as 08")
    parsers["convert"].add_argument("text", type=Path, help="a chapter as MyST Markdown")
    parsers["convert"].add_argument("notebook", type=Path, help="chapters/NN_name.ipynb")
    options = vars(parser.parse_args())
    try:
        functions[options.pop("command")](**options)
    except (ChapterFailedError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
