"""`drip data ACTION`, one file an action."""
