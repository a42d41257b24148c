"""The training step as it is usually written: what `benchmarks/train_step.py` compares with.

Four encoder calls in float32, keys and values of both domains duplicated for each domain, torch's default memory layout
and the optimizer at its defaults. Weights, random draws and loss are those of the stage that it is made from.
"""

from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from benchmarks.stopwatch import Stopwatch
from drip_lightning.data.sample import MattingBatch
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.objectives import draw_diffusion
from drip_lightning.ops.randomness import sample_generator


class DuplicatingAttention:
    """DRIP Eq. 4 to the letter, after the joint attention of Wonder3D and GeoWizard.

    Args:
        fused: With `scaled_dot_product_attention`; otherwise with scores and softmax, as those projects have it where
            xformers is not installed.
    """

    def __init__(self, *, fused: bool) -> None:
        self.fused = fused

    def __call__(self, attn: Attention, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        key, value = (torch.cat([torch.cat(one.chunk(2), dim=1)] * 2) for one in (key, value))
        query, key, value = (one.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for one in (query, key, value))
        if self.fused:
            attended = nn.functional.scaled_dot_product_attention(query, key, value)
        else:
            attended = (attn.scale * query @ key.transpose(-1, -2)).softmax(dim=-1).to(value.dtype) @ value
        return attn.to_out[0](attended.transpose(1, 2).flatten(2))


class PlainStep:
    """Takes over a denoiser's networks, lays them out plainly and trains them."""

    def __init__(self, stage: Denoiser, *, fused: bool) -> None:
        self.stage = stage.to(memory_format=torch.contiguous_format)
        self.vae, self.unet = stage.codec.vae, stage.joint_unet.unet
        self.unet.set_attn_processor(
            {
                name: DuplicatingAttention(fused=fused) if name.endswith("attn1.processor") else AttnProcessor2_0()
                for name in self.unet.attn_processors
            }
        )
        self.prompt = stage.joint_unet.prompt_embedding
        self.optimizer = torch.optim.Adam(self.unet.parameters(), lr=1e-5)

    @torch.no_grad()
    def encode(self, picture: Tensor) -> Tensor:
        picture = picture.repeat(1, 3 // picture.shape[1], 1, 1)
        with torch.autocast(picture.device.type, enabled=False):
            return self.vae.encode(2 * picture - 1).latent_dist.mode() * self.vae.config["scaling_factor"]

    def loss(self, batch: MattingBatch, watch: Stopwatch) -> Tensor:
        with watch.part("VAE encode"):
            image, trimap = self.encode(batch["image"]), self.encode(batch["trimap"])
            foreground, alpha = self.encode(batch["foreground"]), self.encode(batch["alpha"])
        generators = [sample_generator(self.stage.seed, number, "diffusion") for number in batch["number"]]
        timestep, noise = draw_diffusion(
            self.stage.noise, self.stage.noise_schedule, torch.cat([foreground, alpha]), generators
        )
        alphas_cumprod = self.stage.alphas_cumprod[timestep].view(-1, 1, 1, 1)
        noises = noise.chunk(2)
        noisy = [
            alphas_cumprod.sqrt() * z + (1 - alphas_cumprod).sqrt() * n
            for z, n in zip((foreground, alpha), noises, strict=True)
        ]
        with watch.part("U-Net forward"):
            prediction = self.unet(
                torch.cat([torch.cat([one, image, trimap], dim=1) for one in noisy]),
                torch.cat([timestep, timestep]),
                encoder_hidden_states=self.prompt.repeat(2 * len(timestep), 1, 1),
                class_labels=self.stage.switcher.labels(len(timestep), noise.device),
            ).sample
        errors = [p.float() - n for p, n in zip(prediction.chunk(2), noises, strict=True)]
        return errors[0].square().mean() + errors[1].square().mean()
