"""Store the latents of training samples and the embeddings of captions.

The same as `vsr data precompute`.
"""

import sys

from vsr.training.preparation.commands.precompute import main

if __name__ == "__main__":
    sys.exit(main())
