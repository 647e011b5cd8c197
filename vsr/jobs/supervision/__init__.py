"""Films of a batch in a process of their own, so that one that crashes does not end the batch."""
