"""The plan of a run: its output, and its cost in time, memory and disk."""
