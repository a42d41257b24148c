"""Diffusion-prior image matting in PyTorch Lightning: foreground colour and alpha matte together (DRIP, NeurIPS 2024)."""

__version__ = "0.1.0"
