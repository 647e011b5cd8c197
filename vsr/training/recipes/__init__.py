"""What is trained, and how: one recipe a kind of network."""
