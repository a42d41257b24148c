"""The project's own training step, its parts timed: nothing of it is written again here."""

from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks.scales import CONFIGS, Scale
from benchmarks.stopwatch import Stopwatch
from drip_lightning.data.sample import MattingBatch
from drip_lightning.lit.denoiser import Denoiser


def build_denoiser(scale: Scale, *, device: str, **options: Any) -> Denoiser:
    """The denoiser stage with random weights, ready to train outside of a `Trainer`."""
    torch.manual_seed(0)
    stage = Denoiser(networks=scale.networks, **options)
    stage.configure_model()
    stage.log = stage.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]
    return stage.to(device).train()


class OwnStep:
    """`Denoiser.training_step` and the optimizer of configs/denoiser.yaml."""

    def __init__(self, stage: Denoiser) -> None:
        self.stage = stage
        self.watch: Stopwatch | None = None
        settings = yaml.safe_load((CONFIGS / "denoiser.yaml").read_text())["model"]["init_args"]["optimizer"]
        kind = getattr(torch.optim, settings["class_path"].split(".")[-1])
        self.optimizer = kind(stage.joint_unet.parameters(), **settings["init_args"] | {"lr": 1e-5})
        stage.codec.encode = self._timed("VAE encode", stage.codec.encode)  # type: ignore[method-assign]
        stage.joint_unet.forward = self._timed("U-Net forward", stage.joint_unet.forward)  # type: ignore[method-assign]

    def loss(self, batch: MattingBatch, watch: Stopwatch) -> Tensor:
        self.watch = watch
        return self.stage.training_step(batch, 0)

    def _timed(self, part: str, function: Any) -> Any:
        def timed(*args: Any) -> Any:
            assert self.watch is not None
            with self.watch.part(part):
                return function(*args)

        return timed
