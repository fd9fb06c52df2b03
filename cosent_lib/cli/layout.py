"""How the command line lays out what it prints."""

from collections import Counter
from collections.abc import Mapping, Sequence


def label_shares(counts: Counter[float], most: int = 6) -> str:
    """Say how often each label occurs, or, beyond ``most`` different ones, how many there are and their mean."""
    total = counts.total()
    if len(counts) > most:
        mean = sum(label * count for label, count in counts.items()) / total
        return f"{len(counts)} different values, mean {mean:.3f}"
    return "  ".join(f"{label:g}: {100 * counts[label] / total:.1f} %" for label in sorted(counts))


def metrics_table(metrics: Mapping[str, Mapping[str, float | None]]) -> str:
    """Lay out metrics with a column a split; a metric that a split lacks is a dash."""
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    lines = [["", *metrics]]
    for name in names:
        values = [values.get(name) for values in metrics.values()]
        lines.append([name, *("–" if value is None else f"{value:.4f}" for value in values)])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lay out rows of cells in columns of their own width."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
