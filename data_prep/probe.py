"""Make or update the manifest of a folder of videos and pictures.

The same as `vsr data probe`.
"""

import sys

from vsr.training.preparation.commands.probe import main

if __name__ == "__main__":
    sys.exit(main())
