"""What every run needs: optimisers, state, checkpoints, records."""
