"""``python -m recbench``: the same as the command ``recbench``."""

import sys

from recbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
