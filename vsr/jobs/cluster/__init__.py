"""Films on an executor: a driver finds their shots and joins them, workers upscale the shots."""
