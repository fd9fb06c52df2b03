"""The base of this library's errors, in a module that imports nothing: a command line can catch it at no cost."""


class CosentError(Exception):
    """Something the caller can put right; the message is all there is to say.

    Every error of ``cosent_lib`` that is not a plain ``ValueError`` is one. Each also has the built-in type that fits
    it, so that ``except ValueError`` and the like go on working.
    """
