"""The method: from small frames to large ones."""
