"""How vectors lie in their space: anisotropy in exact numbers over all pairs of them."""

import numpy as np
from numpy.typing import NDArray


def geometry(vectors: NDArray[np.floating]) -> dict[str, float]:
    """What cosines between *all* pairs of different rows look like, and how many directions the rows use.

    Everything is computed on rows scaled to length 1, in float64, from d × d matrices: linear in n.

    Args:
        vectors: ``[n, dim]``, n ≥ 2, no zero row.

    Returns:
        dict: ``mean_cosine`` and ``std_cosine`` over all n(n−1)/2 pairs (0 and about 1/√dim where directions are
        uniform); ``first_component``, the share of the variance about the mean along its main direction;
        ``effective_dimension``, the participation ratio (Σλ)²/Σλ² of the covariance's eigenvalues λ, between 1 and
        dim; ``mean_length`` of the rows as given.

    Raises:
        ValueError: fewer than two rows, a zero or a non-finite one, or rows that all point the same way.

    Example:
        >>> round(geometry(np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]))["mean_cosine"], 4)  # (0 + 0 − 1)/3
        -0.3333

    Source: Ethayarajh 2019 (arXiv 1909.00512) for the mean cosine; Chapter 5.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"vectors must be a matrix of at least two rows, got shape {rows.shape}")
    lengths = np.linalg.norm(rows, axis=1)
    odd = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if odd.size:
        raise ValueError(f"row {odd[0]} has length {lengths[odd[0]]}: its cosines are undefined ({odd.size} such rows)")
    unit, n = rows / lengths[:, None], len(rows)
    gram, centre, pairs = unit.T @ unit, unit.mean(axis=0), n * (n - 1)
    mean = ((n * centre) @ (n * centre) - n) / pairs  # the sum of all n² cosines, less the n of rows with themselves
    mean_square = ((gram**2).sum() - n) / pairs
    eigenvalues = np.clip(np.linalg.eigvalsh(gram / n - np.outer(centre, centre)), 0, None)
    if eigenvalues.sum() < 1e-12:
        raise ValueError("all rows point the same way, so they have no main direction")
    return {
        "mean_cosine": float(mean),
        "std_cosine": float(np.sqrt(max(mean_square - mean**2, 0.0))),
        "first_component": float(eigenvalues[-1] / eigenvalues.sum()),
        "effective_dimension": float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum()),
        "mean_length": float(lengths.mean()),
    }


def whitening(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centre ``[dim]`` and the matrix ``[dim, dim]`` for which ``(x − centre) @ matrix`` has mean 0 and
    covariance I over the given vectors: every direction counts the same.

    Directions without variance (fewer vectors than dimensions, a dead coordinate) are mapped to 0.

    Args:
        vectors: ``[n, dim]``, n ≥ 2, as the encoder gives them; no labels are needed.

    Raises:
        ValueError: fewer than two rows, one that is not finite, or rows that are all equal.

    Example:
        >>> rows = np.array([[1.0, 0.0], [3.0, 1.0], [5.0, -1.0]])
        >>> centre, matrix = whitening(rows)
        >>> np.allclose(np.cov((rows - centre) @ matrix, rowvar=False, bias=True), np.eye(2))
        True

    Source: Su 2021 (Scientific Spaces 8069); Chapter 5.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2 or not np.isfinite(rows).all():
        raise ValueError(f"vectors must be a finite matrix of at least two rows, got shape {rows.shape}")
    centre = rows.mean(axis=0)
    eigenvalues, directions = np.linalg.eigh((rows - centre).T @ (rows - centre) / len(rows))
    if eigenvalues[-1] <= 0:
        raise ValueError("all rows are equal, so there is nothing to whiten")
    kept = eigenvalues > 1e-12 * eigenvalues[-1]
    return centre, directions * np.where(kept, 1 / np.sqrt(np.where(kept, eigenvalues, 1.0)), 0.0)
