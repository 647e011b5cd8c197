"""SeedVR and SeedVR2: a shot passes the autoencoder as a stream, the transformer in segments."""

SEEDVR_PIPELINE = "SeedVRPipeline"
"""The class in the index of a model folder."""
