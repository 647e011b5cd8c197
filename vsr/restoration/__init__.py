"""Repairs of old films: pure functions over a window of frames, and the stage that applies them."""
