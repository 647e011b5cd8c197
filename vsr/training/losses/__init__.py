"""The terms of the training loss, and the critics."""
