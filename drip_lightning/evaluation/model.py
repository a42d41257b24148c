"""Trained networks as methods: the sampler with every decoder, and the ceiling that the VAE sets."""

from collections.abc import Sequence

import torch
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.evaluation.method import Method
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn.digest import weights_digest
from drip_lightning.nn.picture import PictureInTiles
from drip_lightning.nn.sampler import Matte, MattingSampler, median_matte
from drip_lightning.nn.transparency import LatentDecoder, VaeDecoderModule
from drip_lightning.ops.domains import stack_domains
from drip_lightning.ops.geometry import reduce_picture
from drip_lightning.ops.randomness import sample_generator
from drip_lightning.ops.windows import Window


class Model(Method):
    """A trained stage; its own decoder's row bears its name, the plain VAE decoder's comes before it."""

    def __init__(self, stage: MattingStage, *, name: str, source: str) -> None:
        """Take a loaded stage.

        Args:
            stage: In evaluation mode.
            name: What the table calls it.
            source: Where its weights came from, for the reader of the protocol.
        """
        super().__init__(name)
        self.networks = stage
        self.default_steps = stage.sampling_steps
        self._stage = stage
        self._source = source
        self._weights = weights_digest(stage)

    @property
    def sampler(self) -> MattingSampler:
        """The stage's networks, on whatever device they are."""
        return self._stage.sampler

    @property
    def takes_known_alpha(self) -> bool:
        """As the stage's `known` says."""
        return self.sampler.known.alpha == "trimap"

    @property
    def decoders(self) -> dict[str, LatentDecoder]:
        """Row to decoder: all decode the same latents."""
        own = self.sampler.decoder
        plain = {} if isinstance(own, VaeDecoderModule) else {f"{self.name}, VAE decoder": VaeDecoderModule()}
        return plain | {self.name: own}

    @property
    def rows(self) -> tuple[str, ...]:
        """The plain VAE decoder's, if that is another, and its own."""
        return tuple(self.decoders)

    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Sample once for each seed, decode by every decoder, and take the median."""
        assert steps is not None
        (number,) = batch["number"]
        members = []
        for seed in seeds:
            generator = sample_generator(seed, number, "sampling")
            arguments = batch["image"], batch["trimap"], list(self.decoders.values())
            members.append(
                self.sampler.compare(*arguments, steps=steps, generators=[generator], progress=self.progress)
            )
        return tuple(median_matte(row) for row in zip(*members, strict=True))

    def describe(self) -> dict[str, str | int | float]:
        """Where the weights came from, whether they are averages, their digest, and how pictures are worked on."""
        known, memory = self.sampler.known, self._stage.memory
        return {
            "kind": type(self._stage).__name__,
            "source": self._source,
            "weights": self._weights,
            "weights are": self._stage.weights,
            "processing size": self._stage.processing_size or "native",
            "tile size": self._stage.tile_size or "whole",
            **({"memory": memory} if memory else {}),
            "known": f"alpha {known.alpha}, foreground {known.foreground}",
        }


class VaeCeiling(Model):
    """What the VAE lets through at best: the truth encoded and decoded, without a denoiser."""

    def __init__(self, stage: MattingStage, *, name: str, source: str) -> None:
        super().__init__(stage, name=f"{name}, true latents", source=source)
        self.default_steps = None

    @torch.no_grad()
    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Encode the true foreground (the image, where it is not known) and alpha, and decode them."""
        sampler = self.sampler

        def shown(place: Window, reduction: int) -> tuple[Tensor, Tensor]:
            truth = batch.get("foreground", batch["image"]), batch["alpha"]
            return reduce_picture(place.cut(truth[0]), reduction), reduce_picture(place.cut(truth[1]), reduction)

        def latents(picture: PictureInTiles, place: int) -> Tensor:
            return stack_domains(*picture.encode(sampler.codec, shown))

        maps, decoders = (batch["image"], batch["trimap"]), list(self.decoders.values())
        return sampler.decode_pictures(*maps, decoders, latents=latents, passes=1, progress=self.progress)
