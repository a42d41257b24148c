"""Floor 4: the command `drip`, one file a verb."""
