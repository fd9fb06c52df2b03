"""The house style for matplotlib and seaborn.

It is legible on a light and on a dark page (transparent ground, mid-tone ink and palette) and draws the same
SVG, byte for byte, whenever it draws the same data.
"""

from typing import Any

import matplotlib as mpl

INK = "#767f88"
PALETTE = ("#3584d6", "#d26a22", "#2a9a63", "#c0599b", "#8f73cc", "#9a8420")

RC: dict[str, Any] = {
    "figure.figsize": (5.4, 3.2), "figure.dpi": 100, "savefig.dpi": 200, "figure.constrained_layout.use": True,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "savefig.transparent": True,
    "legend.facecolor": "none", "legend.framealpha": 0.0, "legend.frameon": False,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "legend.labelcolor": INK, "grid.color": INK, "grid.alpha": 0.25, "patch.edgecolor": INK,
    # 5.4 inches are shown about 320 pixels wide on a phone: text below 11 points cannot be read there
    "font.size": 12.0, "axes.titlesize": 13.0, "axes.labelsize": 12.0, "legend.fontsize": 11.0,
    "legend.title_fontsize": 11.0, "xtick.labelsize": 11.0, "ytick.labelsize": 11.0,
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "mathtext.fontset": "dejavusans",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "lines.linewidth": 2.0, "lines.markersize": 7.0,
    # text as outlines, so that the picture does not depend on the viewer's fonts; ids from a fixed salt
    "svg.fonttype": "path", "svg.hashsalt": "from-softmax-to-ranking", "path.simplify": True,
}  # fmt: skip


def house_style(notebook: bool = False) -> None:
    """Set the style for all figures drawn from now on, seaborn's included.

    Args:
        notebook: Also make the running notebook show figures as SVG without date or program name.

    Raises:
        RuntimeError: ``notebook`` outside IPython.
    """
    import seaborn as sns

    mpl.rcdefaults()  # whatever was set before must not shine through
    sns.set_theme(style="ticks", palette=list(PALETTE), rc=RC)
    if notebook:
        from IPython import get_ipython

        if get_ipython() is None:
            raise RuntimeError("house_style(notebook=True) works in a notebook; elsewhere call house_style()")
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg", metadata={"Date": None, "Creator": None})
