"""The exact averages over all pairs of rows, against the pairs themselves."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cosent_book.geometry import geometry, whitening

ROWS = np.random.default_rng(0).normal(size=(60, 5)) * [3, 1, 1, 1, 0.1] + [2, 0, 0, 0, 0]


def test_against_all_pairs_one_by_one() -> None:
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), k=1)]
    found = geometry(ROWS)
    assert found["mean_cosine"] == pytest.approx(cosines.mean(), rel=1e-12)
    assert found["std_cosine"] == pytest.approx(cosines.std(), rel=1e-10)
    spectrum = np.linalg.eigvalsh(np.cov(unit.T, bias=True))
    assert found["first_component"] == pytest.approx(spectrum[-1] / spectrum.sum(), rel=1e-10)
    assert found["effective_dimension"] == pytest.approx(spectrum.sum() ** 2 / (spectrum**2).sum(), rel=1e-10)
    assert found["mean_length"] == pytest.approx(np.linalg.norm(ROWS, axis=1).mean(), rel=1e-12)


def test_the_length_of_a_row_changes_its_length_only() -> None:
    stretched = geometry(ROWS * np.arange(1, 61)[:, None])
    same = {name: value for name, value in geometry(ROWS).items() if name != "mean_length"}
    assert {name: stretched[name] for name in same} == pytest.approx(same, rel=1e-10)


def test_directions_drawn_uniformly_use_every_dimension() -> None:
    found = geometry(np.random.default_rng(1).normal(size=(4000, 16)).astype(np.float32))
    assert abs(found["mean_cosine"]) < 0.01
    assert found["std_cosine"] == pytest.approx(1 / 4, rel=0.05)
    assert found["effective_dimension"] > 15.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((1, 3)), "at least two rows"),
        (np.ones(3), "at least two rows"),
        (np.array([[1.0, 0], [0, 0]]), "row 1 has length 0.0"),
        (np.array([[np.nan, 0], [1, 0]]), "row 0 has length nan"),
        (np.ones((4, 2)), "all rows point the same way"),
    ],
)
def test_what_has_no_geometry_is_refused(rows: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        geometry(rows)


def test_whitening_leaves_no_direction_ahead() -> None:
    centre, matrix = whitening(ROWS)
    white = (ROWS - centre) @ matrix
    assert np.allclose(white.mean(axis=0), 0)
    assert np.allclose(white.T @ white / len(ROWS), np.eye(5))
    theirs = PCA(whiten=True).fit_transform(ROWS) * np.sqrt(60 / 59)  # sklearn divides by n − 1
    assert np.allclose(white @ white.T, theirs @ theirs.T)  # the same up to a rotation, which no cosine sees


def test_whitening_drops_directions_without_variance() -> None:
    flat = np.c_[ROWS, np.full(60, 7.0), ROWS[:, 0]]  # a constant, and a copy
    centre, matrix = whitening(flat)
    white = (flat - centre) @ matrix
    assert np.isfinite(white).all()
    away = flat - flat.mean(axis=0)
    mahalanobis = away @ np.linalg.pinv(np.cov(flat.T, bias=True), rcond=1e-10) @ away.T
    assert np.allclose(white @ white.T, mahalanobis)


@pytest.mark.parametrize("rows", [np.ones((1, 3)), np.array([[np.nan, 0], [1, 0]]), np.ones(3)])
def test_what_cannot_be_whitened_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least two rows"):
        whitening(rows)
    with pytest.raises(ValueError, match="all rows are equal"):
        whitening(np.ones((4, 2)))
