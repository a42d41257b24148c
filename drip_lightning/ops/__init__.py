"""Floor 0: pure tensor functions, without state, I/O, or randomness that no generator controls."""
