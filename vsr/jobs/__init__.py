"""From file to file: the work of the commands."""
