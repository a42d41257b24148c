"""Diffusion-prior image matting in PyTorch Lightning: foreground colour and alpha together (DRIP, NeurIPS 2024)."""

__version__ = "0.1.0"
