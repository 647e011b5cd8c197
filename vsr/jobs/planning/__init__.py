"""What a run would do and take."""
