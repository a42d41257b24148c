"""Procedural matting data: families of foregrounds, textures, evaluation pictures."""
