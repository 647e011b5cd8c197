"""Cut the videos of a manifest into shots.

The same as `vsr data split`.
"""

import sys

from vsr.training.preparation.commands.split import main

if __name__ == "__main__":
    sys.exit(main())
