"""Tensors in, tensors out: pure functions that know no network."""
