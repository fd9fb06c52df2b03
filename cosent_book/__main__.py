"""``python -m cosent_book``: the book's experiments."""

import sys

from cosent_book.cli import main

if __name__ == "__main__":
    sys.exit(main())
