"""Measures videos: against a ground truth, or by themselves."""
