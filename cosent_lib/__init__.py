"""The shared library of the book *From Softmax to Ranking*.

Start at :func:`cosent_lib.ranking.rank_loss`; every other line follows from it.
"""

from cosent_lib.version import __version__

__all__ = ["__version__"]
