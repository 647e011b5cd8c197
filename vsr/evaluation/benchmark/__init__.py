"""Benchmarks: models and interpolation side by side on a set of clips."""
