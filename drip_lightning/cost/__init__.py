"""Floor 4: what a training will cost, from its configuration alone."""
