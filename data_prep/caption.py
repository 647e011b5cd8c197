"""Describe the kept clips in words, by an image-to-text model.

The same as `vsr data caption`.
"""

import sys

from vsr.training.preparation.commands.caption import main

if __name__ == "__main__":
    sys.exit(main())
