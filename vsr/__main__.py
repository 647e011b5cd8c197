"""`python -m vsr` is `vsr`."""

import sys

from vsr.cli import main

if __name__ == "__main__":
    sys.exit(main())
