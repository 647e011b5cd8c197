"""The networks of SeedVR and SeedVR2: a transformer in windows, and a causal video autoencoder."""
