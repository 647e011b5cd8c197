"""Published SeedVR and SeedVR2 checkpoints as model folders."""
