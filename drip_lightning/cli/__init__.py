"""Floor 7: the command `drip`, one file a verb."""
