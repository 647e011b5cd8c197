"""What a run stands on: time, memory, devices, launchers, files. No networks, no video."""
