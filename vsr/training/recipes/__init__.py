"""Training recipes, one for each kind of network."""
