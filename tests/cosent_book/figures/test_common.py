"""The house style and the shared figures: contrast, determinism, and what the marks stand for."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")
import matplotlib.pyplot as plt
from contrast import contrast_ratio

from cosent_book.figures import common as plotting
from cosent_book.figures import style


@pytest.fixture(autouse=True)
def styled():
    with mpl.rc_context():
        style.house_style()
        yield
    plt.close("all")


def test_contrast_ratio_matches_wcag_examples():
    assert contrast_ratio("#000000", "#ffffff") == pytest.approx(21)
    assert contrast_ratio("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)
    assert contrast_ratio("#ffffff", "#ffffff") == 1


@pytest.mark.parametrize("ground", ["#ffffff", "#121212"])
@pytest.mark.parametrize("colour", [style.INK, *style.PALETTE])
def test_colours_are_legible_on_light_and_dark(colour, ground):
    assert contrast_ratio(colour, ground) >= 3.5


def test_all_inks_of_the_style_are_the_ink():
    for name in ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"):
        assert mpl.rcParams[name] == style.INK, name
    assert [mpl.colors.to_hex(c["color"]) for c in mpl.rcParams["axes.prop_cycle"]] == list(style.PALETTE)


def test_text_is_at_least_eleven_points():
    figure, ax = plt.subplots()
    ax.plot([0, 1], label="a")
    ax.set(title="t", xlabel="x", ylabel="y")
    ax.legend(title="legend")
    figure.canvas.draw()
    sizes = {text.get_text(): text.get_fontsize() for text in figure.findobj(mpl.text.Text) if text.get_text()}
    assert {"t", "x", "y", "a", "legend"} <= set(sizes)
    assert min(sizes.values()) >= 11


def test_style_does_not_depend_on_earlier_settings():
    mpl.rcParams["lines.marker"] = "x"
    style.house_style()
    assert mpl.rcParams["lines.marker"] == "None"


def test_saved_figure_is_transparent(tmp_path):
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    figure.savefig(tmp_path / "a.png")
    image = plt.imread(tmp_path / "a.png")
    assert image[0, 0, 3] == 0
    assert image[..., 3].max() == 1


SCRIPT = """
import sys, matplotlib; matplotlib.use("agg")
import numpy as np, pandas as pd, matplotlib.pyplot as plt
from cosent_book.figures import common as plotting, comparisons, style
style.house_style()
_, axes = plt.subplots(2, 2)
cosines, labels = np.linspace(-1, 1, 30) ** 3, np.arange(30) % 3
plotting.plot_cosine_distributions(cosines, labels, axes[0, 0])
frame = pd.DataFrame({"row": ["a", "a", "b"], "test_spearman": [0.1, 0.2, 0.3]})
comparisons.plot_runs(frame, axes[0, 1])
comparisons.plot_runs_by_task(frame.assign(task="t"), [axes[1, 0]], rows=["a", "b"], tasks={"t": "T"})
plotting.plot_items_on_line(cosines, labels, axes[1, 1], pushes=-cosines)
plt.savefig(sys.argv[1], metadata={"Date": None, "Creator": None})
"""


def test_svg_is_the_same_in_two_processes_and_has_no_date(tmp_path):
    for name, seed in (("a.svg", "1"), ("b.svg", "2")):
        env = {"PYTHONHASHSEED": seed, "PATH": "", "MPLCONFIGDIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", SCRIPT, tmp_path / name], check=True, env=env)
    a = (tmp_path / "a.svg").read_bytes()
    assert a == (tmp_path / "b.svg").read_bytes()
    assert b"dc:date" not in a
    assert b"dc:creator" not in a
    assert b"<text" not in a  # outlines only: no viewer's font


def test_notebook_shows_the_same_svg_twice():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    source = (
        "from cosent_book.figures.style import house_style\nhouse_style(notebook=True)\n"
        "import matplotlib.pyplot as plt\nplt.plot([0, 1], marker='o')\nplt.fill_between([0, 1], [0, 1])\nplt.show()"
    )

    def run() -> str:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        (output,) = notebook.cells[0].outputs
        assert "image/png" not in output.data
        return output.data["image/svg+xml"]

    first = run()
    assert first == run()
    assert "dc:date" not in first


def test_notebook_style_outside_a_notebook_says_so():
    with pytest.raises(RuntimeError, match="notebook"):
        style.house_style(notebook=True)


def test_distributions_have_area_one_per_level_and_distinct_lines():
    rng = np.random.default_rng(0)
    cosines, labels = rng.uniform(-1, 1, 500), rng.integers(0, 3, 500)
    ax = plotting.plot_cosine_distributions(cosines, labels, names={0.0: "unrelated"})
    assert [line.get_label() for line in ax.lines] == ["unrelated", "1", "2"]
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    for line in ax.lines:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1)


def test_items_stand_at_their_scores_and_pushes_are_to_scale():
    scores, labels, pushes = [0.0, 1.0, 0.5], [0, 0, 1], [-1.0, -0.5, 2.0]
    ax = plotting.plot_items_on_line(scores, labels, pushes=pushes)
    marks = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert [line.get_xdata().tolist() for line in marks] == [[0, 1], [0.5]]
    assert len({line.get_marker() for line in marks}) == 2
    lengths = {text.xyann[0]: text.xy[0] - text.xyann[0] for text in ax.texts}
    assert lengths[0.5] == pytest.approx(-2 * lengths[0.0])
    assert lengths[1.0] == pytest.approx(0.5 * lengths[0.0])
    assert all(ax.get_xlim()[0] < text.xy[0] < ax.get_xlim()[1] for text in ax.texts)


@pytest.mark.parametrize("figure", [plotting.plot_cosine_distributions, plotting.plot_items_on_line])
def test_figures_refuse_what_cannot_be_drawn(figure):
    with pytest.raises(ValueError, match="one length"):
        figure([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="not empty"):
        figure([], [])
    with pytest.raises(ValueError, match="at most 6 label levels"):
        figure(np.zeros(7), np.arange(7))
