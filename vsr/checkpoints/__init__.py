"""How a model gets into memory: finding, loading and converting its files."""
