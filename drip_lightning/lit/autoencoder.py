"""Stage 1, for those without a pretrained autoencoder: train a small AutoencoderKL from scratch."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection

from drip_lightning.data.sample import MattingBatch
from drip_lightning.files import whole_folder
from drip_lightning.lit.averaging import Averaging, NoAveraging
from drip_lightning.lit.parameter_groups import ParameterGroups
from drip_lightning.lit.scores import OfEachSet, validation_prefix
from drip_lightning.lit.stage import Stage
from drip_lightning.nn.latents import from_vae_range, stack_for_vae, vae_downsampling
from drip_lightning.nn.pretrained import FromScratch, Networks
from drip_lightning.ops.geometry import pad_to_multiple, unpad
from drip_lightning.ops.losses import laplacian_loss
from drip_lightning.ops.randomness import sample_generator

_MAPS = ("image", "trimap", "alpha", "foreground")


class Autoencoder(Stage):
    """Trains the VAE that later stages encode images, trimaps, foregrounds and alphas with.

    The loss is L1 plus a Laplacian pyramid plus a little KL divergence; all four maps are reconstructed. At the end
    the VAE is written to `<run folder>/pretrained/vae` in diffusers' format, with the scaling factor that gives its
    latents unit variance, where `FromScratch.vae` finds it.

    Args:
        networks: Sizes of the networks.
        kl_weight: Weight of the KL divergence to the standard normal distribution, per latent element.
        laplacian_weight: Weight of the Laplacian pyramid loss.
        seed: Decides, with the sample's number, the posterior samples.
        start_from: Run folder, checkpoint or export of this stage whose weights training starts from, without its
            optimizer and step count; none starts from the networks as they are built.
        averaging: What is kept beside the trained weights, to be used after training.
        optimizer: Makes the optimizer from the trainable parameters.
        parameter_groups: Which of them have another learning rate or weight decay.
        lr_scheduler: Makes the learning-rate schedule, advanced every step; none keeps the rate constant.
    """

    latent_variance: Tensor

    def __init__(
        self,
        networks: Networks = FromScratch(),  # noqa: B008 (frozen)
        kl_weight: float = 1e-5,
        laplacian_weight: float = 0.1,
        seed: int = 0,
        start_from: str | None = None,
        averaging: Averaging = NoAveraging(),  # noqa: B008
        optimizer: OptimizerCallable = lambda p: torch.optim.Adam(p, lr=1e-4),
        parameter_groups: tuple[ParameterGroups, ...] = (),
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            start_from=start_from,
            averaging=averaging,
            optimizer=optimizer,
            parameter_groups=parameter_groups,
            lr_scheduler=lr_scheduler,
        )
        self.networks = networks
        self.kl_weight = kl_weight
        self.laplacian_weight = laplacian_weight
        self.seed = seed
        self.register_buffer("latent_variance", torch.ones(()))
        self.errors = OfEachSet(_mean_errors)

    def build(self, *, pretrained: bool = True) -> None:
        """Make the autoencoder."""
        with nullcontext() if pretrained else init_empty_weights():
            self.vae: AutoencoderKL = self.networks.new_vae()

    def training_step(self, batch: MattingBatch, batch_index: int) -> Tensor:
        """Reconstruct image, trimap, foreground and alpha of a batch."""
        pictures = stack_for_vae(*_maps(batch))
        generators = [sample_generator(self.seed, number, "posterior") for number in batch["number"]]
        posterior = self.vae.encode(pictures).latent_dist
        latent = posterior.sample(generators * (len(pictures) // len(generators)))
        preds, target = from_vae_range(self.vae.decode(latent).sample), from_vae_range(pictures)

        l1 = (preds - target).abs().mean()
        laplacian = laplacian_loss(preds, target)
        kl = posterior.kl().mean() / latent[0].numel()
        loss = l1 + self.laplacian_weight * laplacian + self.kl_weight * kl

        with torch.no_grad():
            mode = posterior.mode().float()
            mean, mean_square = self.mean_over_ranks(torch.stack([mode.mean(), mode.square().mean()]))
            self._batch_variance = mean_square - mean.square()
        self.log_losses(loss, {"l1": l1, "laplacian": laplacian, "kl": kl})
        return loss

    def on_train_batch_end(self, outputs: Any, batch: MattingBatch, batch_idx: int) -> None:
        """Follow the latents' variance; not in `training_step`, for a step that fails must leave no trace."""
        self.latent_variance.lerp_(self._batch_variance, max(0.05, 1 / max(1, self.global_step)))

    def validation_step(self, batch: MattingBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Measure the mean absolute error of each map, encoded to the posterior's mode and decoded."""
        maps = _maps(batch)
        pictures, size = pad_to_multiple(stack_for_vae(*maps), vae_downsampling(self.vae))
        preds = unpad(self.vae.decode(self.vae.encode(pictures).latent_dist.mode()).sample, size)
        error = (from_vae_range(preds) - from_vae_range(unpad(pictures, size))).abs()
        errors = self.errors.of(dataloader_idx, self.device)
        for name, one in zip(_MAPS, error.chunk(len(maps)), strict=False):
            errors[f"{name}_l1"].update(one.mean(), weight=len(one))
        errors["loss"].update(error.mean(), weight=len(batch["key"]))

    def on_validation_epoch_end(self) -> None:
        """Log the errors' means over all pictures of all ranks; of the foreground, if some picture has one."""
        for number, errors in enumerate(self.errors.take()):
            prefix = validation_prefix(self.trainer, number)
            means = {name: error.compute() for name, error in errors.items()}
            loss = means.pop("loss")
            self.log_dict({f"{prefix}/{name}": mean for name, mean in means.items() if not mean.isnan()})
            self.log(f"{prefix}/loss", loss, prog_bar=True)

    def on_fit_end(self) -> None:
        """Write the autoencoder where the denoiser's configuration finds it."""
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.save_pretrained(Path(self.trainer.default_root_dir) / "pretrained")

    def save_pretrained(self, folder: Path) -> None:
        """Write `folder/vae` in diffusers' format, whole or not at all."""
        self.vae.register_to_config(scaling_factor=1 / self.latent_variance.sqrt().clamp_min(1e-6).item())
        with whole_folder(folder / "vae") as partial:
            self.vae.save_pretrained(partial)


def _mean_errors() -> MetricCollection:
    names = (*(f"{one}_l1" for one in _MAPS), "loss")
    return MetricCollection({name: MeanMetric() for name in names}, compute_groups=False)


def _maps(batch: MattingBatch) -> list[Tensor]:
    maps: list[Any] = [batch["image"], batch["trimap"], batch["alpha"]]
    return [*maps, batch["foreground"]] if "foreground" in batch else maps
