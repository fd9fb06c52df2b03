"""``python -m cosent_lib``, the same as the command ``cosent``."""

import sys

from cosent_lib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
