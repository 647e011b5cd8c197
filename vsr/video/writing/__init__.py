"""From frames to files, with every stream of the source."""
