"""Work on manifests and their clips that the scripts of data_prep share."""
