"""What survives a crash, so that a killed run goes on."""
