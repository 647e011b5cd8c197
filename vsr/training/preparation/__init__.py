"""Preparation of training data: manifests, captions, pairs and latents, for `vsr data`."""
