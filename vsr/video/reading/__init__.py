"""From files to frames, shots and clips."""
