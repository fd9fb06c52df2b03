"""What the commands share: options that several have, and how values from the command line are read."""

import json
from typing import Annotated, Any

import typer


def examples(program: str, *calls: str) -> str:
    """Examples for a help page; the mark keeps their lines apart."""
    return "\b\nExamples:\n" + "\n".join(f"  {program} {call}" for call in calls)


TaskArgument = Annotated[
    str, typer.Argument(help="lcqmc, stsb_en, builtin … (all names: cosent data), or csv:FOLDER of your own.")
]
SourceOption = Annotated[str, typer.Option(help="Where pairs come from: auto, dir (COSENT_DATA_DIR), hub, builtin.")]
RangeOption = Annotated[
    str | None, typer.Option(help="Lowest and highest score of a csv: task, such as 0,5. They are scaled to [0, 1].")
]


UNTRAINED = ("static", "small")  # encoders that begin with the texts they are trained on


class Interrupted(Exception):  # noqa: N818
    """Ctrl-C in a command that knows how to go on; the message says how."""


def given(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not given, so that the library's default holds."""
    return {name: value for name, value in settings.items() if value is not None}


def is_untrained(encoder: str) -> bool:
    """Whether an encoder, or a cross-encoder, takes its vocabulary from the texts that it is trained on."""
    return encoder.removeprefix("cross:") in UNTRAINED


def check_trained(encoder: str) -> None:
    """Refuse the encoders that know nothing before they are trained, where a trained one is needed."""
    if is_untrained(encoder):
        raise ValueError(
            f"encoder {encoder!r} takes its vocabulary from training texts, and there are none here: train it, with "
            f"cosent train TASK --encoder {encoder} --output FOLDER, and name that FOLDER instead"
        )


def named(settings: list[str], others: dict[str, Any]) -> dict[str, Any]:
    """Settings given as name=value, the value as JSON (6, 0.5, true, ["u", "v"]) or else as text, beside ``others``.

    Raises:
        ValueError: one that is no name=value, or that is given twice.
    """
    options = dict(others)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ValueError(f"--loss-option {setting!r}: expected name=value, such as num_labels=6")
        if name in options:
            raise ValueError(f"--loss-option {setting!r}: {name} is given already, as {options[name]!r}")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def score_limits(text: str | None) -> tuple[float, float] | None:
    """Read ``--score-range``."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--score-range {text!r}: expected two numbers such as 0,5") from None
    return low, high
