"""The sizes of configs/scale/ with random weights, and batches of random pictures to feed them."""

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.nn.pretrained import FromScratch, Networks, StableDiffusion
from drip_lightning.nn.stable_diffusion_2 import PARTS, TEXT_CHANNELS, TOKENS
from drip_lightning.ops.compositing import over

CONFIGS = Path(__file__).parents[1] / "configs"


class RandomSmall(FromScratch):
    """`FromScratch` whose autoencoder nobody trained."""

    def trained_vae(self, *, pretrained: bool = True) -> AutoencoderKL:
        return self.new_vae() if pretrained else super().trained_vae(pretrained=False)


class RandomStableDiffusion2(StableDiffusion):
    """Stable Diffusion 2's exact architecture, nothing downloaded."""

    def trained_vae(self, *, pretrained: bool = True) -> AutoencoderKL:
        return AutoencoderKL.from_config(PARTS["vae"]) if pretrained else super().trained_vae(pretrained=False)

    def unet(self, *, pretrained: bool = True) -> UNet2DConditionModel:
        return UNet2DConditionModel.from_config(PARTS["unet"]) if pretrained else super().unet(pretrained=False)

    def prompt_embedding(self, *, pretrained: bool = True) -> Tensor:
        return torch.randn(1, TOKENS, TEXT_CHANNELS, generator=torch.Generator().manual_seed(0))

    def base_schedule(self) -> None:  # type: ignore[override]
        """None to contradict."""


@dataclass(frozen=True)
class Scale:
    """Networks with random weights, and the size of their training pictures and batches."""

    networks: Networks
    image_size: int
    batch_size: int


def load_scale(name: str) -> Scale:
    """Read configs/scale/NAME.yaml."""
    config = yaml.safe_load((CONFIGS / "scale" / f"{name}.yaml").read_text())
    chosen = config["model"]["init_args"]["networks"]
    kind = {"FromScratch": RandomSmall, "StableDiffusion": RandomStableDiffusion2}[chosen["class_path"].split(".")[-1]]
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in chosen["init_args"].items()}
    return Scale(kind(**sizes), config["data"]["image_size"], config["data"]["batch_size"])


def random_batch(batch_size: int, image_size: int, device: torch.device | str = "cpu") -> MattingBatch:
    """Smooth random maps: what a step costs does not depend on what is in the pictures."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch_size, 7, 4, 4, generator=generator)
    maps = torch.nn.functional.interpolate(coarse, size=(image_size, image_size), mode="bilinear").to(device)
    foreground, background, alpha = maps.split([3, 3, 1], dim=1)
    return MattingBatch(
        image=over(foreground, alpha, background),
        foreground=foreground.contiguous(),
        background=background.contiguous(),
        alpha=alpha.contiguous(),
        trimap=((alpha * 3).floor() / 2).clamp(0, 1),
        key=[str(number) for number in range(batch_size)],
        number=list(range(batch_size)),
    )
