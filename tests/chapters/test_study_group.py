"""The study-group page agrees with the chapters: what to read, how long it takes, which exercises there are."""

import re
from pathlib import Path

import pytest
import yaml
from skeleton import markdown

import notebooks

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "chapters" / "study_group.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.*?) \|$", re.M)
LINK = re.compile(r"\[[^\]]+\]\((\w+)\.ipynb\)(?: \((\d+) min\))?")
WEEKS = {int(week): (read, exercises) for week, read, exercises in ROW.findall(PAGE)}
READ = {name: minutes for read, _ in WEEKS.values() for name, minutes in LINK.findall(read)}
NOTES = re.compile(r"^:::\{admonition\} What a good discussion brings out\n:class: dropdown\n(.+?)\n:::$", re.M | re.S)


def chapters() -> list[str]:
    """Return the names of the book's notebooks, in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    return [Path(page).name for page in pages if (ROOT / f"{page}.ipynb").is_file()]


def text(name: str) -> str:
    return markdown(notebooks.read(ROOT / "chapters" / f"{name}.ipynb"))


def section(week: int) -> str:
    """Return what stands below the heading of a week."""
    match = re.search(rf"^## Week {week}: .+?$(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)
    return match[1] if match else ""


def test_eleven_weeks_hold_every_chapter_in_order() -> None:
    assert list(WEEKS) == list(range(1, 12))
    assert list(READ) == chapters()


@pytest.mark.parametrize("name", [name for name in READ if name != "intro"])
def test_minutes_are_the_chapters_own(name: str) -> None:
    minutes = re.search(r"\*\*Minutes:\*\* (\d+) to read", text(name))
    assert minutes is not None
    assert READ[name] == minutes[1]


@pytest.mark.parametrize("week", WEEKS)
def test_exercises_are_those_of_the_weeks_chapters(week: int) -> None:
    read, exercises = WEEKS[week]
    asked = re.findall(r"\{ref\}`([\w-]+)`", exercises)
    for name, _ in LINK.findall(read):
        own = re.findall(r"\{exercise-start\}.*\n:label: ([\w-]+)", text(name))
        assert name == "intro" or set(asked) & set(own), f"week {week} has no exercise of {name}"
        asked = [label for label in asked if label not in own]
    assert asked == [], f"week {week} asks for exercises that its chapters do not have"


@pytest.mark.parametrize("week", WEEKS)
def test_each_week_has_three_questions_with_what_a_discussion_brings_out(week: int) -> None:
    questions = re.findall(r"^\*\*(\d)\. (.+)\*\*$", section(week), flags=re.M)
    assert [number for number, _ in questions] == ["1", "2", "3"]
    assert all("?" in question for _, question in questions)
    notes = NOTES.findall(section(week))
    assert len(notes) == 3
    assert all(2 <= len(re.findall(r"[.?!:](?:\s|$)", note)) <= 8 for note in notes)
