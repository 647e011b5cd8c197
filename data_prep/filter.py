"""Measure the clips of a manifest and select those to keep.

The same as `vsr data filter`.
"""

import sys

from vsr.training.preparation.commands.filter import main

if __name__ == "__main__":
    sys.exit(main())
