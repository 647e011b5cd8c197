"""From file to file: what the commands do."""
