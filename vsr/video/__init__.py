"""Video files in and out: probing, reading, shots and clips, writing; no torch here."""
