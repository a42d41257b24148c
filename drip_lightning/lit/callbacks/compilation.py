"""`torch.compile` as a setting of the run, not of the stage: its checkpoints are those of a run without it."""

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from lightning.pytorch import Callback, LightningModule, Trainer

from drip_lightning.nn.transparency import LatentDecoder


class Compilation(Callback):
    """Compiles the U-Nets of a stage in place when a fit starts; the first steps then take minutes."""

    def __init__(self, backend: str | None = None) -> None:
        """Choose the compiler.

        Args:
            backend: Of `torch.compile`, such as `inductor`; nothing is compiled without one. Pays on GPUs in long runs.
        """
        self.backend = backend

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile whole networks in place: parameters keep their names."""
        if self.backend is not None:
            for module in pl_module.modules():
                if isinstance(module, UNet2DConditionModel | LatentDecoder):
                    module.compile(backend=self.backend)
