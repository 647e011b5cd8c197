"""A pipeline with its choices made: clips in, finished frames out."""
