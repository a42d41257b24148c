"""`torch.compile` as a setting of the run, not of the stage: its checkpoints are those of a run without it."""

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from lightning.pytorch import Callback, LightningModule, Trainer

from drip_lightning.nn.transparency import LatentDecoder


class Compilation(Callback):
    """Compiles the U-Nets of a stage in place when a fit starts; the first steps then take minutes."""

    def __init__(self, enabled: bool = False, backend: str = "inductor") -> None:
        """Say whether to compile.

        Args:
            enabled: Whether to compile. Pays on GPUs in long runs.
            backend: Of `torch.compile`.
        """
        self.enabled = enabled
        self.backend = backend

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile what is called as a whole: names and weights stay."""
        if self.enabled:
            for module in pl_module.modules():
                if isinstance(module, UNet2DConditionModel | LatentDecoder):
                    module.compile(backend=self.backend)
