"""Sentence embeddings that train on what they predict: CoSENT, its baselines, and the ranking loss beneath them.

    from cosent_lib import CoSENTLoss, load_encoder, load_pairs, train

Start at :func:`rank_loss`; every other line of the library follows from it. The book *From Softmax to Ranking* derives
it. The public names and where they are defined stand in ``__init__.pyi``; each is loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
