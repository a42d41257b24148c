"""Classical guesses of foreground, background and alpha, for networks to start from."""
