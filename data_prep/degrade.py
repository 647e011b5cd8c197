"""Write fixed pairs of good and bad clips, or a picture of examples.

The same as `vsr data degrade`.
"""

import sys

from vsr.training.preparation.commands.degrade import main

if __name__ == "__main__":
    sys.exit(main())
