"""Pages and pictures that show videos side by side."""
