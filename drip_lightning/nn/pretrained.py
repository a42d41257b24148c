"""Where the networks come from: Stable Diffusion 2, or built from scratch at any size."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.moved import MissingSource
from drip_lightning.nn import stable_diffusion_2
from drip_lightning.nn.sources import SD2_MIRROR, contradiction, is_local, loading

_CLASS = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
_NONE_OF = {
    "unet": ("addition_embed_type", "class_embed_type", "encoder_hid_dim", "num_class_embeds", "time_cond_proj_dim"),
    "vae": ("shift_factor", "latents_mean"),
}
"""Entries of `config.json` that Stable Diffusion 1 and 2 lack; SDXL's U-Net, SD 3's and FLUX's VAE have some."""


class Networks(ABC):
    """The sizes and sources of every network: a run's `networks` setting."""

    transparency_channels: tuple[int, ...]
    """Features of each level of the transparency decoder, from full size down by halves."""
    transparency_layers: int
    """Residual blocks in each level of the transparency decoder."""
    has_pretrained_unet: ClassVar[bool]
    """Whether `unet` gives the same weights every time, or else random ones."""

    @abstractmethod
    def new_vae(self) -> AutoencoderKL:
        """A randomly initialised autoencoder to be trained."""

    @abstractmethod
    def trained_vae(self, *, pretrained: bool = True) -> AutoencoderKL:
        """The autoencoder whose latents the denoiser works on.

        Args:
            pretrained: Whether its weights are wanted; false where its architecture is, to be counted.
        """

    @abstractmethod
    def unet(self, *, pretrained: bool = True) -> UNet2DConditionModel:
        """The latent U-Net that becomes the joint denoiser.

        Args:
            pretrained: Whether its weights matter; false where a checkpoint's take their place at once, or where they
                are only counted: they are on the meta device then.
        """

    @abstractmethod
    def prompt_embedding(self, *, pretrained: bool = True) -> Tensor:
        """The empty prompt's embedding (1, tokens, C).

        Args:
            pretrained: Whether its values matter; false where a checkpoint's replace them at once.
        """

    def base_schedule(self) -> dict[str, Any] | None:
        """The scheduler's settings, as diffusers has them, of a pretrained U-Net; none where none is pretrained."""
        return None


@dataclass(frozen=True)
class StableDiffusion(Networks):
    """Stable Diffusion 2 from a folder in diffusers' format or from the Hub.

    Attributes:
        source: A local folder, or a Hub id. The environment variable HF_HUB_OFFLINE=1 keeps to what is cached.
        revision: Hub revision to pin; none means the newest.
        variant: Such as fp16, of files named `NAME.fp16.safetensors`; what is computed is float32 all the same.
        prompt: The empty prompt's tokens: `padded` to the text encoder's length, 77, as Stable Diffusion is trained and
            run, or `unpadded`, start and end alone, as in Marigold.
        transparency_channels: Features of each level of the transparency decoder, after LayerDiffuse.
        transparency_layers: Residual blocks in each level of the transparency decoder.
    """

    source: str = SD2_MIRROR
    revision: str | None = None
    variant: str | None = None
    prompt: Literal["padded", "unpadded"] = "padded"
    transparency_channels: tuple[int, ...] = (32, 32, 64, 128, 256, 512, 512)
    transparency_layers: int = 2

    has_pretrained_unet = True

    @property
    def _where(self) -> dict[str, Any]:
        local = is_local(self.source)
        return {"pretrained_model_name_or_path": self.source, "revision": self.revision, "local_files_only": local}

    def new_vae(self) -> AutoencoderKL:
        """Refuse: Stable Diffusion brings its own autoencoder.

        Raises:
            InputError: always.
        """
        raise InputError("networks StableDiffusion brings a trained autoencoder; train one with networks FromScratch")

    def trained_vae(self, *, pretrained: bool = True) -> AutoencoderKL:
        """Load the VAE in float32.

        Raises:
            InputError: it cannot be loaded, or is of another kind.
        """
        with loading(self.source, "vae", variant=self.variant):
            config = self._config("vae", known=not pretrained)
            if pretrained:
                return _complete(
                    AutoencoderKL, subfolder="vae", variant=self.variant, low_cpu_mem_usage=False, **self._where
                )
            with init_empty_weights():
                return AutoencoderKL.from_config(config)

    def unet(self, *, pretrained: bool = True) -> UNet2DConditionModel:
        """Load the U-Net in float32.

        Raises:
            InputError: it cannot be loaded, or is of another kind.
        """
        with loading(self.source, "unet", variant=self.variant):
            config = self._config("unet", known=not pretrained)
            if pretrained:
                return _complete(
                    UNet2DConditionModel, subfolder="unet", variant=self.variant, low_cpu_mem_usage=False, **self._where
                )
            with init_empty_weights():
                return UNet2DConditionModel.from_config(config)

    @property
    def _has_known_architecture(self) -> bool:
        return self.source in stable_diffusion_2.SOURCES

    def _config(self, part: str, *, known: bool = False) -> dict[str, Any]:
        """The configuration of `unet` or `vae`, once it is certain that it can become a joint denoiser's.

        Args:
            part: Which.
            known: Whether what is known of Stable Diffusion 2 will do.

        Raises:
            InputError: it cannot.
        """
        if known and self._has_known_architecture:
            return dict(stable_diffusion_2.PARTS[part])
        read = partial(UNet2DConditionModel.load_config, **self._where)
        found, latent = read(subfolder=part), read(subfolder="vae")["latent_channels"]
        unlike = {name: found[name] for name in ("_class_name", *_NONE_OF[part]) if found.get(name) is not None}
        if unlike.get("_class_name") == _CLASS[part]:
            del unlike["_class_name"]
        if part == "unet" and {found["in_channels"], found["out_channels"]} != {latent}:
            unlike["channels"] = f"{found['in_channels']} in, {found['out_channels']} out, {latent} in a latent"
        if unlike:
            name, value = next(iter(unlike.items()))
            raise InputError(
                f"{part} of {self.source!r} is not Stable Diffusion 1's or 2's ({name}: {value}), and others do not "
                f"fit here: give one such as {SD2_MIRROR}"
            )
        return found

    @torch.no_grad()
    def prompt_embedding(self, *, pretrained: bool = True) -> Tensor:
        """Run the text encoder on the empty prompt, once; nothing else ever needs it."""
        from transformers import CLIPTextModel, CLIPTokenizer  # seconds, and mostly not needed

        with loading(self.source, "text_encoder", variant=self.variant):
            if not pretrained:
                length, channels = self._text_size()
                return torch.zeros(1, length if self.prompt == "padded" else 2, channels)
            tokenizer = CLIPTokenizer.from_pretrained(subfolder="tokenizer", **self._where)
            text_encoder = _complete(
                CLIPTextModel, subfolder="text_encoder", variant=self.variant, dtype=torch.float32, **self._where
            )
            known, expected = tokenizer.vocab_size, text_encoder.config.vocab_size
            if known != expected:  # without its files a tokenizer knows two tokens and says nothing
                raise ValueError(f"tokenizer knows {known} tokens, expected {expected}")
        length = text_encoder.config.max_position_embeddings
        padding = "max_length" if self.prompt == "padded" else "do_not_pad"
        tokens = tokenizer("", padding=padding, max_length=length, truncation=True, return_tensors="pt")
        return text_encoder(tokens.input_ids)[0]

    def _text_size(self) -> tuple[int, int]:
        """Length and width of the text encoder's answer."""
        if self._has_known_architecture:
            return stable_diffusion_2.TOKENS, stable_diffusion_2.TEXT_CHANNELS
        from transformers import CLIPTextConfig

        config = CLIPTextConfig.from_pretrained(subfolder="text_encoder", **self._where)
        return config.max_position_embeddings, config.hidden_size

    def base_schedule(self) -> dict[str, Any]:
        """Read `scheduler/scheduler_config.json`."""
        with loading(self.source, "scheduler"):
            return dict(DDPMScheduler.load_config(subfolder="scheduler", **self._where))


@dataclass(frozen=True)
class FromScratch(Networks):
    """Randomly initialised networks in Stable Diffusion 2's shape, at any size.

    Attributes:
        vae: Folder in diffusers' format whose `vae/` holds the trained autoencoder: `drip fit` of the autoencoder
            stage writes one. Read by the denoiser and later stages.
        vae_channels: Features of the autoencoder's levels; one level less than this many halvings of the picture.
        latent_channels: Channels of a latent.
        unet_channels: Features of the U-Net's levels; all but the last attend.
        unet_layers_per_block: Residual blocks in each of the U-Net's levels.
        attention_head_width: Channels of one attention head.
        prompt_channels: Channels of the stand-in for the text embedding.
        norm_groups: Groups of each group normalisation; divides every number of features.
        transparency_channels: Features of each level of the transparency decoder, from full size down by halves.
        transparency_layers: Residual blocks in each level of the transparency decoder.
    """

    vae: str = "runs/autoencoder/pretrained"
    vae_channels: tuple[int, ...] = (64, 128, 128, 128)
    latent_channels: int = 4
    unet_channels: tuple[int, ...] = (128, 256, 384)
    unet_layers_per_block: int = 2
    attention_head_width: int = 32
    prompt_channels: int = 64
    norm_groups: int = 16
    transparency_channels: tuple[int, ...] = (32, 32, 64, 128)
    transparency_layers: int = 2

    has_pretrained_unet = False

    def new_vae(self) -> AutoencoderKL:
        """Build the autoencoder."""
        levels = len(self.vae_channels)
        return AutoencoderKL(
            block_out_channels=self.vae_channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=1,
            latent_channels=self.latent_channels,
            norm_num_groups=self.norm_groups,
            mid_block_add_attention=False,
        )

    def trained_vae(self, *, pretrained: bool = True) -> AutoencoderKL:
        """Load the autoencoder that the first stage trained."""
        if not pretrained:
            with init_empty_weights():
                return self.new_vae()
        if not (Path(self.vae) / "vae" / "config.json").is_file():
            raise MissingSource(
                f"no trained autoencoder at {self.vae}/vae",
                source=self.vae,
                remedy="train one with `drip fit --config configs/autoencoder.yaml`, or name its folder with "
                "--model.init_args.networks.init_args.vae",
            )
        with loading(self.vae, "vae"):
            return _complete(
                AutoencoderKL, pretrained_model_name_or_path=self.vae, subfolder="vae", low_cpu_mem_usage=False
            )

    def unet(self, *, pretrained: bool = True) -> UNet2DConditionModel:
        """Build the U-Net; if its weights matter they are random."""
        if pretrained:
            return self._new_unet()
        with init_empty_weights():
            return self._new_unet()

    def _new_unet(self) -> UNet2DConditionModel:
        inner = len(self.unet_channels) - 1
        return UNet2DConditionModel(
            in_channels=self.latent_channels,
            out_channels=self.latent_channels,
            block_out_channels=self.unet_channels,
            down_block_types=("CrossAttnDownBlock2D",) * inner + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * inner,
            layers_per_block=self.unet_layers_per_block,
            attention_head_dim=tuple(max(1, width // self.attention_head_width) for width in self.unet_channels),
            cross_attention_dim=self.prompt_channels,
            norm_num_groups=self.norm_groups,
            use_linear_projection=True,
        )

    def prompt_embedding(self, *, pretrained: bool = True) -> Tensor:
        """Two fixed random tokens in place of the text: two, so that the text attention's weights get gradients."""
        return torch.randn(1, 2, self.prompt_channels, generator=torch.Generator().manual_seed(0))


def _complete(kind: type[Any], **where: Any) -> Any:
    """Load a network whose weights are all there, and no others: of what is missing the libraries only warn.

    Raises:
        ValueError: the configuration is another network's.
    """
    network, found = kind.from_pretrained(output_loading_info=True, **where)
    strange = [name for name in found["unexpected_keys"] if not name.endswith("position_ids")]  # of older CLIPs
    if wrong := sorted([*found["missing_keys"], *strange]):
        raise ValueError(contradiction(wrong))
    return network
