"""The sampler as a pipeline of diffusers: what an exported folder carries, so that it works without this package."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.utils.outputs import BaseOutput
from PIL import Image
from torch import Tensor, nn

from drip_lightning.errors import InputError
from drip_lightning.nn.described import choice_of
from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.noise import NoiseSampler
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.sampler import KnownPixels, MattingSampler, median, median_matte
from drip_lightning.nn.transparency import VaeDecoderModule
from drip_lightning.ops.given_pictures import Picture, image_tensors, trimap_tensors
from drip_lightning.ops.hints.choice import Hints, NoHints
from drip_lightning.ops.picture import as_picture
from drip_lightning.ops.sizes import Sizes

Values = list[Image.Image] | list[np.ndarray] | list[Tensor]
"""Of each picture: as PIL, (H, W, C) of NumPy, or (C, H, W) of torch."""


@dataclass
class MattingOutput(BaseOutput):
    """What a matting pipeline answers: of each field a list with an entry for each picture.

    Attributes:
        alpha: The matte, one channel in [0, 1].
        foreground: Straight colour, three channels in [0, 1].
        rgba: Both as one picture, to be put over anything; its colour is 0 where alpha is.
        uncertainty: Median absolute deviation of the ensemble's mattes, one channel; none unless asked for.
    """

    alpha: Values
    foreground: Values
    rgba: Values
    uncertainty: Values | None = None


class PlainMattingPipeline(DiffusionPipeline):
    """Foreground and alpha of pictures, given trimaps (DRIP, NeurIPS 2024).

    Args:
        vae: Frozen autoencoder. It never runs in float16, which overflows in Stable Diffusion's.
        unet: The joint-domain denoiser, with its cross-domain attention (DRIP Eq. 4).
        scheduler: How to sample: DPM-Solver++, unless there is a `noise_schedule`.
        transparency_decoder: What mends the VAE's pictures (DRIP Eq. 6); none for the VAE alone.
        noise: What sampling starts from, as `choice_of` takes it.
        noise_schedule: In the same way, a schedule or solver that `scheduler` cannot say; none for what that says.
        hints: What the transparency decoder is given beside picture and trimap, in the same way; none for nothing.
        reduction: How many times smaller than the picture the denoiser sees it.
        one_step: Whether the denoiser was taught a single step.
        alpha_decoding: Whether alpha is the `mean` of the three channels that the VAE decodes it to, or the `first`.
        vae_precision: Whether the VAE heeds an autocast (`trainer`), or runs in `float32` whatever that is.
        known: What results have where the trimap is sure, see `KnownPixels`.
        default_denoising_steps: Steps where a call names none.
        default_processing_size: Longest side of what the denoiser sees, where a call names none; none for every
            picture's own.
        default_tile_size: Side of the tiles that larger pictures are worked on in; none for whole pictures.
        drip: What the trained stages are, for `drip_lightning`.
    """

    model_cpu_offload_seq = "unet->vae->transparency_decoder"  # type: ignore[assignment]
    _optional_components = ["transparency_decoder"]  # noqa: RUF012 - diffusers' own type

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: ModelMixin,
        scheduler: DPMSolverMultistepScheduler,
        transparency_decoder: ModelMixin | None = None,
        noise: dict[str, Any] | None = None,
        noise_schedule: dict[str, Any] | None = None,
        hints: dict[str, Any] | None = None,
        reduction: int = 1,
        one_step: bool = False,
        alpha_decoding: str = "mean",
        vae_precision: str = "trainer",
        known: dict[str, str] | None = None,
        default_denoising_steps: int = 10,
        default_processing_size: int | None = None,
        default_tile_size: int | None = 512,
        drip: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, unet=unet, scheduler=scheduler, transparency_decoder=transparency_decoder)
        self.register_to_config(
            noise=noise,
            noise_schedule=noise_schedule,
            hints=hints,
            reduction=reduction,
            one_step=one_step,
            alpha_decoding=alpha_decoding,
            vae_precision=vae_precision,
            known=known,
            default_denoising_steps=default_denoising_steps,
            default_processing_size=default_processing_size,
            default_tile_size=default_tile_size,
            drip=drip,
        )
        self._vae_decoder = VaeDecoderModule()
        for network in (vae, unet, transparency_decoder):
            if network is not None:
                _align(network.requires_grad_(False).eval())
        nn.Module.to(unet, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._spare_vae()

    def to(self, *args: Any, **kwargs: Any) -> "PlainMattingPipeline":
        """Move to a device or dtype; the VAE stays out of float16."""
        super().to(*args, **kwargs)
        self._spare_vae()
        return self

    def _spare_vae(self) -> None:
        if self.vae.dtype == torch.float16:
            nn.Module.to(self.vae, dtype=torch.float32)

    def sampler(self, *, processing_size: int | None = None, tile_size: int | None = None) -> MattingSampler:
        """The sampler of these components.

        Args:
            processing_size: See `__call__`.
            tile_size: See `__call__`.

        Raises:
            InputError: no picture could be brought to these sizes, or the scheduler is of another kind.
        """
        config = self.config
        own = config["noise_schedule"]
        processing_size = config["default_processing_size"] if processing_size is None else processing_size or None
        tile_size = config["default_tile_size"] if tile_size is None else tile_size or None
        return MattingSampler(
            codec=LatentCodec(self.vae, alpha_decoding=config["alpha_decoding"], precision=config["vae_precision"]),
            joint_unet=self.unet,
            noise=choice_of(config["noise"] or {"class_path": "AnnealedMultiResolutionNoise"}, NoiseSampler),
            schedule=choice_of(own, NoiseSchedule) if own else NoiseSchedule.of(self.scheduler.config),
            decoder=self.transparency_decoder or self._vae_decoder,
            one_step=config["one_step"],
            hints=choice_of(config["hints"], Hints) if config["hints"] else NoHints(),
            reduction=config["reduction"],
            sizes=Sizes(processing_size, tile_size),
            known=KnownPixels(**config["known"] or {}),
        )

    @torch.no_grad()
    def __call__(
        self,
        image: Picture | Sequence[Picture],
        trimap: Picture | Sequence[Picture],
        *,
        num_inference_steps: int | None = None,
        ensemble_size: int = 1,
        processing_size: int | None = None,
        tile_size: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        output_uncertainty: bool = False,
        return_dict: bool = True,
    ) -> MattingOutput | tuple[Values | None, ...]:
        """Matte pictures of any size, one by one.

        Args:
            image: One or a list, as PIL, NumPy or torch; see `image_tensors`.
            trimap: One for each picture; see `trimap_tensors`.
            num_inference_steps: Denoising steps; none for the model's own number.
            ensemble_size: Mattes to sample of each picture, of which the median is taken.
            processing_size: Longest side of what the denoiser sees, 0 for every picture's own; none for the model's.
            tile_size: Side of the tiles that larger pictures are worked on in, 0 for whole ones; none for the model's.
            generator: On the CPU, one for all that is drawn or a list of one for each matte, a picture's ensemble
                together; none draws from torch's own.
            output_type: `pil`, `np` for arrays (H, W, C) or `pt` for tensors (C, H, W), both in [0, 1].
            output_uncertainty: Also tell where the ensemble differs.
            return_dict: Answer with a `MattingOutput`, else with its fields as a tuple.

        Raises:
            InputError: something does not fit, or a picture does not fit into memory.
        """
        images, trimaps = image_tensors(image), trimap_tensors(trimap)
        steps = self.config["default_denoising_steps"] if num_inference_steps is None else num_inference_steps
        sampler = self.sampler(processing_size=processing_size, tile_size=tile_size)
        _check(images, trimaps)
        _check_options(steps, sampler.schedule.num_train_timesteps, ensemble_size, output_type, output_uncertainty)
        generators = _generators(generator, len(images) * ensemble_size)
        results = []
        for place, pair in enumerate(zip(images, trimaps, strict=True)):
            moved = [one.to(self._execution_device) for one in pair]
            own = generators[place * ensemble_size : (place + 1) * ensemble_size]
            members = [self._member(sampler, moved, steps, one) for one in own]
            matte = median_matte(members)
            away = [(member.alpha - matte.alpha).abs() for member in members] if output_uncertainty else []
            maps = [matte.alpha, matte.foreground, _rgba(matte.foreground, matte.alpha, output_type)]
            results.append([_as(output_type, one) for one in (*maps, *([median(away)] if away else []))])
        self.maybe_free_model_hooks()
        output = MattingOutput(*(list(values) for values in zip(*results, strict=True)))
        return output if return_dict else (output.alpha, output.foreground, output.rgba, output.uncertainty)

    def _member(self, sampler: MattingSampler, pair: Sequence[Tensor], steps: int, generator: torch.Generator) -> Any:
        bars: list[Any] = []

        def tell(done: int, total: int) -> None:
            if not bars:
                bars.append(self.progress_bar(total=total))
            bars[0].update(done - bars[0].n)

        try:
            return sampler(*pair, steps=steps, generators=[generator], progress=tell)
        finally:
            for bar in bars:
                bar.close()


def _align(network: nn.Module) -> None:
    """Copy weights that lie as they do in a mapped file: by their place in memory a CPU rounds otherwise."""
    for weight in (*network.parameters(), *network.buffers()):
        if weight.device.type == "cpu" and weight.data_ptr() % 64:
            weight.data = weight.data.clone()


def _check(images: Sequence[Tensor], trimaps: Sequence[Tensor]) -> None:
    if len(images) != len(trimaps) or not images:
        raise InputError(f"expected a trimap for each picture, at least one, got {len(images)} and {len(trimaps)}")
    for image, trimap in zip(images, trimaps, strict=True):
        (height, width), (own_height, own_width) = image.shape[-2:], trimap.shape[-2:]
        if (height, width) != (own_height, own_width):
            raise InputError(f"a picture of {width}×{height} came with a trimap of {own_width}×{own_height}")


def _check_options(steps: int, most: int, ensemble_size: int, output_type: str, output_uncertainty: bool) -> None:
    if not 1 <= steps <= most:
        raise InputError(f"num_inference_steps: expected 1 to {most}, got {steps}")
    if ensemble_size < 1:
        raise InputError(f"ensemble_size: expected at least 1, got {ensemble_size}")
    if output_type not in ("pil", "np", "pt"):
        raise InputError(f"output_type: expected pil, np or pt, got {output_type}")
    if output_uncertainty and ensemble_size == 1:
        raise InputError("output_uncertainty needs an ensemble: set ensemble_size to 3 or more")


def _generators(given: torch.Generator | Sequence[torch.Generator] | None, count: int) -> list[torch.Generator]:
    if given is None:
        given = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    generators = [given] * count if isinstance(given, torch.Generator) else list(given)
    if len(generators) != count:
        raise InputError(f"generator: expected one, or {count} (pictures × ensemble_size), got {len(generators)}")
    if any(one.device.type != "cpu" for one in generators):
        raise InputError("generator: expected generators on the CPU, so that every device draws the same noise")
    return generators


def _rgba(foreground: Tensor, alpha: Tensor, output_type: str) -> Tensor:
    seen = (alpha * 255).round() > 0 if output_type == "pil" else alpha > 0
    return torch.cat([foreground * seen, alpha], dim=1)


def _as(output_type: str, values: Tensor) -> Any:
    if output_type == "pil":
        return as_picture(values[0].float())
    return values[0] if output_type == "pt" else values[0].permute(1, 2, 0).float().cpu().numpy()
