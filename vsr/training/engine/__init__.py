"""Parts of every run: optimisers, state, checkpoints, records."""
