"""Store shots at three anchors with the frames of a strong network, for the recipe join.

The same as `vsr data shards`.
"""

import sys

from vsr.training.preparation.commands.shards import main

if __name__ == "__main__":
    sys.exit(main())
