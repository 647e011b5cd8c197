"""Loading models: find them, load them, convert published checkpoints."""
