"""The base of a run: time, memory, devices, launchers, locks, files. No networks, no video."""
