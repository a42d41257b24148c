"""Networks small enough for a test, and batches to feed them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from drip_lightning.data.sample import MattingBatch
from drip_lightning.lit.stage import Stage
from drip_lightning.nn.pretrained import FromScratch
from drip_lightning.ops.compositing import over

NETWORKS = FromScratch(
    vae_channels=(8, 16),
    unet_channels=(16, 32),
    unet_layers_per_block=1,
    attention_head_width=8,
    prompt_channels=8,
    norm_groups=4,
    transparency_channels=(8, 16),
    transparency_layers=1,
)
"""Latents have half the picture's size; pictures must be divisible by 4."""


def tiny_unet(seed: int = 0) -> UNet2DConditionModel:
    """A latent U-Net with every kind of attention layer."""
    torch.manual_seed(seed)
    return NETWORKS.unet().eval()


def tiny_vae(seed: int = 0) -> AutoencoderKL:
    torch.manual_seed(seed)
    return NETWORKS.new_vae()


def with_saved_vae(folder: Path, networks: FromScratch = NETWORKS) -> FromScratch:
    """The same networks, with a random autoencoder where `trained_vae` looks for one."""
    torch.manual_seed(0)
    networks.new_vae().save_pretrained(folder / "vae")
    return replace(networks, vae=str(folder))


def shake(module: nn.Module, seed: int = 0, scale: float = 0.1) -> None:
    """Add small random numbers to every parameter, so that none is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)


def fit(
    stage: Stage, batches: Sequence[MattingBatch], folder: Path | None = None, *, ckpt_path: Path | None = None
) -> Trainer:
    """Train until there were as many steps as batches, on the CPU; write nothing but what the stage itself does."""
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    trainer = Trainer(
        max_epochs=-1,
        max_steps=len(batches),
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(stage, train_dataloaders=loader, ckpt_path=ckpt_path)
    return trainer


def matting_batch(*numbers: int, size: int = 16) -> MattingBatch:
    """Soft discs on noise; a sample's content depends on its number alone."""
    maps = [_sample(number, size) for number in numbers]
    image, foreground, background, alpha, trimap = (torch.stack(items) for items in zip(*maps, strict=True))
    return {
        "image": image,
        "foreground": foreground,
        "background": background,
        "alpha": alpha,
        "trimap": trimap,
        "key": [f"sample{number}" for number in numbers],
        "number": list(numbers),
    }


def _sample(number: int, size: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(number)
    axis = (torch.arange(size) + 0.5) / size
    centre_y, centre_x = 0.35 + 0.3 * torch.rand(2, generator=generator)
    distance = ((axis[:, None] - centre_y).square() + (axis[None, :] - centre_x).square()).sqrt()
    alpha = ((0.4 - distance) / 0.25).clamp(0, 1)[None]
    trimap = torch.where((alpha > 0) & (alpha < 1), 0.5, alpha)
    foreground = torch.rand(3, 1, 1, generator=generator).expand(3, size, size)
    background = torch.rand(3, 2, 2, generator=generator).repeat(1, size // 2, size // 2)
    image = over(foreground[None], alpha[None], background[None])[0]
    return image, foreground, background, alpha, trimap
