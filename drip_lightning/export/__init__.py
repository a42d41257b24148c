"""Floor 4: a trained stage as one self-contained folder in diffusers' format."""
