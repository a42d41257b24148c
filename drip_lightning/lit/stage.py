"""What the three stages share: what a checkpoint holds, how one is loaded, and how weights are optimised."""

import inspect
from abc import abstractmethod
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import torch
from accelerate import init_empty_weights
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from drip_lightning.choices import class_of
from drip_lightning.errors import InputError, raised_as
from drip_lightning.lit.averaging import Averaging
from drip_lightning.lit.callbacks.step_log import is_logged
from drip_lightning.lit.description import check_rebuilt, choice_to_config, config_to_choice
from drip_lightning.lit.learning_rate import schedule_for
from drip_lightning.lit.parameter_groups import ParameterGroups, check_rates_kept, make_optimizer
from drip_lightning.lit.resume.checkpoint_io import BEST, read_to_use
from drip_lightning.lit.resume.optimizer import describe_optimization
from drip_lightning.lit.resume.same_run import check_same_model
from drip_lightning.lit.weights import check_same_autoencoder, check_sizes, laid_out_as
from drip_lightning.moved import MissingSource, moved_paths
from drip_lightning.nn.export_index import is_exported
from drip_lightning.nn.hub import local_folder
from drip_lightning.nn.pipeline_folder import read_exported
from drip_lightning.nn.pretrained import Networks
from drip_lightning.nn.without_weights import WithoutWeights
from drip_lightning.shipped import shipped_model

FORMAT_VERSION = 3
"""Of what a checkpoint holds. Read, too: 1, without the run's place and random state, and 2, with dotted paths."""

_NOT_DESCRIBED = {"averaging", "latents", "loss", "lr_scheduler", "memory", "optimizer", "parameter_groups"}
"""Arguments that decide how weights come about, or what the machine gives: no part of what a stage is."""
_KEPT_TO_IN_TRAINING = ("averaging", "loss")
"""Those of them that a resumed run may not change; of the others, latents are the same from anywhere."""


class Stage(LightningModule):
    """One of the three trainings: autoencoder, denoiser, transparency decoder.

    A stage's constructor takes plain values and choices (small objects that hold plain values under their argument's
    names), keeps each under its own name, and builds no network; `build` does. A checkpoint thus tells in plain
    values how to build its stage again, and holds the trained weights alone: frozen ones are loaded from where they
    came from.

    Args:
        start_from: Run folder, checkpoint or export of the same stage whose weights training starts from, without its
            optimizer and step count; none starts from the networks as they are built.
        averaging: What is kept beside the trained weights, to be used after training.
        optimizer: Makes the optimizer from the trainable parameters.
        parameter_groups: Which of them have another learning rate or weight decay.
        lr_scheduler: Makes the learning-rate schedule, advanced every step; none keeps the rate constant.
    """

    def __init__(
        self,
        *,
        start_from: str | None = None,
        averaging: Averaging,
        optimizer: OptimizerCallable,
        parameter_groups: tuple[ParameterGroups, ...] = (),
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__()
        self.start_from = start_from
        self.averaging = averaging
        self.optimizer = optimizer
        self.parameter_groups = parameter_groups
        self.lr_scheduler = lr_scheduler
        self.weights = "not loaded"
        """Which of a checkpoint's weights these are, in words."""
        self.optimization: dict[str, Any] | None = None
        """What decides this training's steps, once that is made: see `describe_optimization`."""
        self.resumes = False
        """Whether a checkpoint of this run follows, and what it started from is not to be read again."""
        self.moved: Mapping[str, str] = {}
        """Where what its sources' checkpoints name is now, as `moved_paths` takes it."""
        self._built = False

    @property
    def reloaded(self) -> tuple[str, ...]:
        """Names of the submodules whose frozen weights `build` loads again: checkpoints leave those out."""
        return ()

    @abstractmethod
    def build(self, *, pretrained: bool = True) -> None:
        """Make the networks.

        Args:
            pretrained: Whether the trainable weights' starting values matter; false where a checkpoint's take their
                place, for which they may be on the meta device.
        """

    def build_without_weights(self) -> None:
        """Make the networks on the meta device, to be counted: sizes alone are read, and nothing can be computed."""
        networks = getattr(self, "networks", None)
        if isinstance(networks, Networks):
            self.networks: Networks = WithoutWeights(networks)
        with _making("networks"), init_empty_weights():
            self.build()
        if isinstance(networks, Networks):
            self.networks = networks
        self._built = True

    def configure_model(self) -> None:
        """Lightning's hook before training or loading: build once."""
        if not self._built:
            description = self.as_config()  # what no checkpoint could bring back is refused now, not at the first one
            check_rebuilt(description, config_to_choice(description, type(self)).as_config())
            self.training_config()
            try:
                with _making("networks"):
                    self.build(pretrained=self.start_from is None)
                self._built = True
                if self.start_from is not None and not self.resumes:
                    self.take_weights(type(self).from_checkpoint(self.start_from), where=self.start_from)
            finally:
                _allocate(self)

    def take_weights(self, source: Self, *, where: str) -> None:
        """Start from another stage's weights, averaged ones where there are any; frozen parts stay this stage's own.

        Args:
            source: The other, loaded.
            where: Where it was loaded from.

        Raises:
            InputError: its weights do not fit, or are of another autoencoder's latents.
        """
        found, own = source.state_dict(), self.state_dict()
        left_out = set(self.left_out(own))
        check_same_autoencoder(found, {name: own[name] for name in left_out}, where=where)
        left_out.update(self.left_out(found))  # the other's may be of other sizes
        found, own = ({name: one[name] for name in one if name not in left_out} for one in (found, own))
        check_sizes(found, own, where=where)
        is_empty = any(weight.is_meta for weight in own.values())
        self.load_state_dict(laid_out_as(found, own), strict=False, assign=is_empty)
        rank_zero_info(f"{type(self).__name__}: starts from {where}, whose weights are {source.weights}")

    def configure_callbacks(self) -> list[Callback]:
        """Add the callbacks that keep the averages."""
        return self.averaging.callbacks()

    def configure_optimizers(self) -> Any:
        """Optimise every parameter that is not frozen, if there are any."""
        trained = {name: weight for name, weight in self.named_parameters() if weight.requires_grad}
        if not trained:
            return None
        with _making("optimizer"):
            optimizer = make_optimizer(self.optimizer, trained, self.parameter_groups)
            _check_takes_steps(optimizer)
        # a fused optimizer would undo a gradient scaler's factor itself, too late for clipping
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        if self.lr_scheduler is None:
            self.optimization = describe_optimization(optimizer, None, self.parameter_groups)
            return optimizer
        rates = [group["lr"] for group in optimizer.param_groups]
        with _making("lr_scheduler"):
            schedule = schedule_for(self.trainer, optimizer, self.lr_scheduler)
        if self.parameter_groups:
            check_rates_kept(optimizer, rates, schedule["scheduler"])
        self.optimization = describe_optimization(optimizer, schedule["scheduler"], self.parameter_groups)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_start(self) -> None:
        """A stage without anything to train ends at once, with a checkpoint that says what it is."""
        if not any(parameter.requires_grad for parameter in self.parameters()):
            rank_zero_info(f"{type(self).__name__}: nothing to train")
            self.trainer.should_stop = True

    def log_losses(self, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Log a training step's loss and its terms, all scalars, as `train/…`: means over the ranks.

        Ranks wait for each other, and for their GPUs, on the steps that are written alone.
        """
        values = torch.stack([loss, *terms.values()]).detach().float()
        if self._trainer is not None and is_logged(self.global_step + 1, self.trainer):
            values = self.mean_over_ranks(values)
        self.log("train/loss", values[0])
        self.log_dict({f"train/{name}": value for name, value in zip(terms, values[1:], strict=True)})

    def mean_over_ranks(self, values: Tensor) -> Tensor:
        """The mean of every rank's `values`; every rank must ask for it."""
        return values if self._trainer is None else cast(Tensor, self.trainer.strategy.reduce(values, reduce_op="mean"))

    def describe(self) -> dict[str, Any]:
        """What the stage is and which weights it has, in plain values."""
        return {"format": FORMAT_VERSION, "weights": self.weights, **self.as_config()}

    def as_config(self) -> dict[str, Any]:
        """The class and the arguments that decide what the stage is: `{class_path, init_args}`."""
        return choice_to_config(self, leave_out=_NOT_DESCRIBED)

    def training_config(self) -> dict[str, Any]:
        """The arguments that decide what training makes of the stage, beside its optimizer: as in `init_args`."""
        return {name: choice_to_config(getattr(self, name)) for name in _KEPT_TO_IN_TRAINING if hasattr(self, name)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the stage and its training are; leave out frozen weights."""
        checkpoint["drip"] = {"format": FORMAT_VERSION, **self.as_config()}
        checkpoint["training"] = self.training_config()
        checkpoint["optimization"] = self.optimization
        left_out = self.left_out(checkpoint["state_dict"])
        checkpoint["state_dict"] = {
            name: value for name, value in checkpoint["state_dict"].items() if name not in left_out
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint is of this stage and size; put the frozen weights back: loading stays strict.

        Everything but further training gets the averaged weights, where there are any; the log says so. Further
        training is of the model that the checkpoint describes.
        """
        where = str(self.trainer.ckpt_path) if self._trainer is not None else "the checkpoint"
        _check_stage(checkpoint, type(self), where=where)
        own = self.state_dict()
        frozen = {name: own[name] for name in self.left_out(own)}
        averages = checkpoint.get("averages")
        weights = checkpoint["state_dict"]
        if self._trainer is None or self.trainer.state.fn != "fit":
            weights = weights | averages["weights"] if averages else weights
            exported = checkpoint["drip"].get("weights", "of the last step, not averaged")
            self.weights = f"averages of {averages['updates']} steps" if averages else exported
            rank_zero_info(f"{type(self).__name__} of {where}: weights are {self.weights}")
        checkpoint["state_dict"] = frozen | weights
        check_sizes(checkpoint["state_dict"], own, where=where)
        if self._trainer is not None and self.trainer.state.fn == "fit":
            if "optimizer_states" not in checkpoint:
                raise InputError(
                    f"{where} holds weights alone (save_weights_only), and a run resumes with its optimizer's state: "
                    "give a checkpoint of RUN/checkpoints"
                )
            recorded, configured = checkpoint["drip"], self.as_config()
            recorded = recorded | {"init_args": recorded["init_args"] | checkpoint.get("training", {})}
            configured["init_args"] |= self.training_config()
            check_same_model(recorded, configured, where=where)

    def left_out(self, names: Collection[str]) -> list[str]:
        """Those of the state's names that `build` loads again: frozen weights, and buffers of what is frozen whole."""
        frozen = {name: not parameter.requires_grad for name, parameter in self.named_parameters()}
        part_of = {name: name.split(".", 1)[0] for name in (*names, *frozen)}
        trained_parts = {part_of[name] for name, is_frozen in frozen.items() if not is_frozen}
        return [
            name
            for name in names
            if part_of[name] in self.reloaded and frozen.get(name, part_of[name] not in trained_parts)
        ]

    @classmethod
    def from_checkpoint(cls, path: str | Path, *, moved: Mapping[str, str] | None = None, **changes: Any) -> Self:
        """Load a trained stage, in evaluation mode, on the CPU.

        Weights are mapped from their files, not copied: processes of a machine share them, and what they do not use is
        not read.

        Args:
            path: Checkpoint of this stage or of a subclass, or a run folder, whose best checkpoint is meant if it keeps
                one, else its newest sound one, or a folder that `drip export` wrote, or `USER/NAME[@REVISION]` of one
                on the Hub.
            moved: Where what the checkpoint names is now, as `moved_paths` takes it.
            changes: Constructor arguments to change.

        Raises:
            InputError: no such file, a damaged file, or a checkpoint of another stage or program.
        """
        stage, file, checkpoint = cls._from_description(path, moved, changes)
        try:
            stage.build(pretrained=False)
        except MissingSource as missing:
            raise missing.named_by(file) from missing
        stage._built = True
        stage.on_load_checkpoint(checkpoint)
        stage.load_state_dict(laid_out_as(checkpoint["state_dict"], stage.state_dict()), assign=True)
        return stage.requires_grad_(False).eval()

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: str | torch.device | None = None, **changes: Any
    ) -> Self:
        """Lightning's name for `from_checkpoint`, to a device."""
        return cls.from_checkpoint(checkpoint_path, **changes).to(map_location or "cpu")

    @classmethod
    def described(cls, path: str | Path, *, moved: Mapping[str, str] | None = None) -> Self:
        """A trained stage as its checkpoint describes it, its networks not built: `build_without_weights` can follow.

        Args:
            path: As `from_checkpoint` takes it.
            moved: The same.

        Raises:
            InputError: as `from_checkpoint`.
        """
        return cls._from_description(path, moved, {})[0]

    @classmethod
    def _from_description(
        cls, path: str | Path, moved: Mapping[str, str] | None, changes: Mapping[str, Any]
    ) -> tuple[Self, Path, dict[str, Any]]:
        """A stage whose networks are not built, the file that describes it, and what that holds."""
        place = local_folder(path)
        if place != Path(path):
            rank_zero_info(f"{path}: taking revision {place.name} of the Hub's")
        if is_exported(place):
            file, checkpoint = place, read_exported(place, partial(_is_stage, expected=cls, where=str(place)))
        else:
            file, checkpoint = read_to_use(place)
        if file != place:
            kind = "best" if file.parent.name == BEST else "newest"
            rank_zero_info(f"{path}: taking its {kind} checkpoint, {file.name}")
        _check_stage(checkpoint, cls, where=str(file))
        description = checkpoint["drip"]
        init_args = moved_paths(description["init_args"], moved, file=file) | changes
        stage = config_to_choice({"class_path": description["class_path"], "init_args": init_args}, cls)
        stage.moved = moved or {}
        return stage, file, checkpoint


def load(path: str | Path | None = None, **changes: Any) -> Stage:
    """Load any trained stage: `Stage.from_checkpoint` as a function.

    Args:
        path: Run folder, checkpoint, a folder that `drip export` wrote, or one's name on the Hub; none means the model
            that comes with the package.
        changes: Constructor arguments to change.

    Raises:
        InputError: there is no such file, or it is damaged or of another program.
    """
    return Stage.from_checkpoint(shipped_model() if path is None else path, **changes)


def _allocate(module: nn.Module) -> None:
    """Give parameters on the meta device a place: Lightning loads into it, and moves them even after an error."""
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            if weight.is_meta:
                setattr(part, name, nn.Parameter(torch.empty_like(weight, device="cpu"), weight.requires_grad))


def _making(setting: str) -> AbstractContextManager[None]:
    """Turn what a library says of an impossible setting into one line that names it."""
    return raised_as(InputError, ValueError, TypeError, message=lambda reason: f"{setting}: {reason}")


def _check_takes_steps(optimizer: torch.optim.Optimizer) -> None:
    if isinstance(optimizer, torch.optim.SparseAdam):
        raise ValueError("SparseAdam takes sparse gradients alone, and these are dense; choose torch.optim.Adam")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ValueError(
            f"{type(optimizer).__name__} evaluates a step's loss several times, for which logs and checkpoints are not "
            "made; choose another, such as torch.optim.Adam"
        )


def _check_stage(checkpoint: dict[str, Any], expected: "type[Stage]", *, where: str) -> None:
    description = checkpoint["drip"]
    if description["format"] not in range(1, FORMAT_VERSION + 1):
        raise InputError(f"{where} has format {description['format']}, this version reads 1 to {FORMAT_VERSION}")
    if not _is_stage(description, expected, where=where):
        found = description["class_path"].rsplit(".", 1)[-1]
        own = [class_of(name, where=where) for name in ("Autoencoder", "Denoiser", "TransparencyDecoder")]
        wanted = [kind.__name__ for kind in own if issubclass(kind, expected)] or [expected.__name__]
        raise InputError(f"{where} is of the stage {found}, expected {' or '.join(wanted)}")


def _is_stage(description: dict[str, Any], expected: "type[Stage]", *, where: str) -> bool:
    """Whether a description is of the expected class or of one below it, wherever that comes from."""
    kind = class_of(description["class_path"], where=where)
    return isinstance(kind, type) and issubclass(kind, expected)
