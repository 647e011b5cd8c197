"""The finished work of a run on the disk, so that a killed run can continue."""
