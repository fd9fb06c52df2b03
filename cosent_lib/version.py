"""The one place where the version of the book and of the library stands."""

__version__ = "0.1.0"
