"""The LightningCLI behind `drip fit | validate | test | predict`."""

import logging
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import SLURMEnvironment

from drip_lightning.choices import import_all, with_paths
from drip_lightning.cli.class_values import adapt_class_values
from drip_lightning.cli.config_parser import OneLineArgumentParser, one_line
from drip_lightning.cli.environment import with_environment
from drip_lightning.cli.integers import keep_integers
from drip_lightning.cli.trainer_settings import as_list, check_end, check_run_folder, check_trainer_settings
from drip_lightning.data.evaluation_sets import sets_by_name
from drip_lightning.errors import DripError, InputError, raised_as
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.callbacks.compilation import Compilation
from drip_lightning.lit.callbacks.finite_guard import FiniteGuard
from drip_lightning.lit.callbacks.gradient_audit import GradientAudit
from drip_lightning.lit.callbacks.keep_config import KeepConfig
from drip_lightning.lit.callbacks.learning_rate_range import refuse_to_set_the_rate
from drip_lightning.lit.callbacks.matte_panels import MattePanels
from drip_lightning.lit.callbacks.progress import RunProgressBar
from drip_lightning.lit.callbacks.step_log import PhaseClock, StepLog
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.ranks.parallel import ComparesRanks, check_devices, ddp_that_compares_ranks
from drip_lightning.lit.ranks.preflight import facts_of_run
from drip_lightning.lit.ranks.watchdog import Watchdog
from drip_lightning.lit.resume.checkpoint_io import (
    CheckpointFiles,
    best_folder,
    checkpoint_to_resume_from,
    checkpoint_to_use,
)
from drip_lightning.lit.resume.checkpoints import Checkpoints
from drip_lightning.lit.stage import Stage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.moved import MOVED_HELP, moved_paths, moved_places
from drip_lightning.shipped import with_found_configs

STAGES = (Autoencoder, Denoiser, TransparencyDecoder)
"""Imported so that a configuration may name a stage by its class's name alone."""

_EXPECTED_WARNINGS = (
    "does not have many workers",
    "Found .* module.s. in eval mode at the start of training",  # the frozen networks
    "isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own
    "The `srun` command is available on your system but is not used",
    "It is recommended to use .*, sync_dist=True",  # scores are means over ranks as they are
    "The `local_dir_use_symlinks` argument is deprecated",  # diffusers' own
)


class DripCLI(LightningCLI):
    """Stages by class, one data module, checkpoints and panels always there and settable by overlays."""

    def __init__(self, args: list[str]) -> None:
        import_all()  # a parser knows those subclasses by name that are imported
        args = [with_paths(word) for word in with_found_configs(with_environment(args))]
        adapt_class_values()
        keep_integers()
        self._verb = args[0]
        super().__init__(
            Stage,
            MattingDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=KeepConfig,
            seed_everything_default=0,
            parser_class=OneLineArgumentParser,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=args,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The verb that is asked for alone: each takes a parser of its own, which takes its time to be built."""
        return {self._verb: super().subcommands()[self._verb]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks, and tie what must agree: one seed, one run folder."""
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(MattePanels, "panels")
        parser.add_lightning_class_args(Watchdog, "watchdog")
        parser.add_lightning_class_args(Compilation, "compilation")
        parser.add_lightning_class_args(GradientAudit, "gradient_audit")
        parser.add_argument("--moved", type=str | None, default=None, metavar="OLD=NEW,…", help=MOVED_HELP)
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=_seed)
        parser.link_arguments("seed_everything", "model.init_args.seed", compute_fn=_seed)
        parser.link_arguments("trainer.default_root_dir", "checkpoint.dirpath", compute_fn=_checkpoint_folder)

    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint that is meant; the settings stay as given, for a checkpoint brings weights alone.

        Raises:
            InputError: there is none to validate, test or predict with, or training would mix two runs in a folder.
        """
        config = self.config[self.config.subcommand]
        if config.ckpt_path in ("last", "hpc"):
            raise InputError(f"ckpt_path: {config.ckpt_path!r} means nothing here; give auto, a run folder or a file")
        if self.config.subcommand == "fit":
            if config.ckpt_path == "best":
                raise InputError("ckpt_path: training resumes from the newest checkpoint, auto, never from the best")
            file = checkpoint_to_resume_from(config.ckpt_path, Path(config.checkpoint.dirpath))
        else:
            own = config.ckpt_path in (None, "auto", "best")
            folder = Path((config.trainer.default_root_dir or ".") if own else config.ckpt_path)
            if config.ckpt_path == "best" and best_folder(folder) is None:
                raise InputError(f"ckpt_path: {folder} has no best checkpoint: checkpoint.best.score has one kept")
            file = checkpoint_to_use(folder)
        config.ckpt_path = None if file is None else str(file)

    def _set_seed(self) -> None:
        with raised_as(InputError, ValueError, message=lambda reason: f"seed_everything: {reason}"):
            super()._set_seed()

    def instantiate_classes(self) -> None:
        """Make stage, data and trainer of the configuration."""
        config = self.config[self.subcommand]
        moved = moved_places(config.moved)
        for key, value in config.model.items():
            config.model[key] = moved_paths(value, moved)
        try:
            super().instantiate_classes()
        except DripError:
            raise
        except ValueError as error:  # a class that refuses its arguments
            raise InputError(one_line(str(error))) from error
        self.model.resumes = self._get(self.config, "ckpt_path") is not None
        self.model.moved = moved
        if isinstance(self.trainer.strategy, ComparesRanks):
            self.trainer.strategy.facts = facts_of_run(self.config[self.subcommand])

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; a run is only over when all of its ranks are."""
        super()._run_subcommand(subcommand)
        if isinstance(self.trainer.strategy, ComparesRanks):
            self.trainer.strategy.await_ranks()

    def before_fit(self) -> None:
        """Refuse what would never end, and a folder that nothing can be written to."""
        settings = self._get(self.config_init, "trainer")
        check_end(settings)
        self.before_validate()

    def before_validate(self) -> None:
        """Refuse a folder that nothing can be written to."""
        check_run_folder(Path(self.trainer.default_root_dir))

    def before_test(self) -> None:
        """Refuse what makes no mattes."""
        if not isinstance(self.model, MattingStage):
            stage = type(self.model).__name__
            raise InputError(f"the stage {stage} makes no mattes to {self.subcommand}: `drip validate` scores it")

    before_predict = before_test

    def test(self, *, ckpt_path: str, **options: Any) -> None:
        """Measure the configured stage with a checkpoint's weights, in `test` in the run folder."""
        from drip_lightning.evaluation.method import Trimap
        from drip_lightning.evaluation.model import Model
        from drip_lightning.evaluation.plan import EvaluationPlan
        from drip_lightning.evaluation.run import conclude, evaluate

        self.datamodule.setup("test")
        changes = self.model.as_config()["init_args"] | {"memory": self.model.memory}
        stage = type(self.model).from_checkpoint(ckpt_path, moved=self.model.moved, **changes)
        out = Path(self.trainer.default_root_dir)
        method = Model(stage, name=type(stage).__name__.lower(), source=ckpt_path)
        plan = EvaluationPlan(data="", out=out / "test", seeds=(stage.seed,))
        for one in plan.of_sets(sets_by_name(self.datamodule.evaluation)):
            conclude(evaluate([Trimap(), method], one, trainer=self.trainer), one)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to `tensorboard` in the run folder and show progress, unless the configuration says how.

        A profiler of the configuration's own takes the place of what is logged of each step's cost.
        """
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=f".*{message}")
        logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
        settings = self._get(self.config_init, "trainer")
        check_devices(settings["accelerator"], settings["devices"])
        check_trainer_settings(settings)
        callbacks = [*as_list(settings["callbacks"]), FiniteGuard()]
        refuse_to_set_the_rate(callbacks)
        if settings["enable_progress_bar"] is not False and not any(isinstance(own, ProgressBar) for own in callbacks):
            callbacks.append(RunProgressBar())
        if settings["profiler"] is None:
            kwargs["profiler"] = clock = PhaseClock()
            callbacks.append(StepLog(clock))
        kwargs["callbacks"] = callbacks
        if isinstance(every := settings["val_check_interval"], int):  # Lightning counts batches, everything here steps
            kwargs["val_check_interval"] = every * settings["accumulate_grad_batches"]
        kwargs["plugins"] = [*as_list(settings["plugins"]), CheckpointFiles()]
        if SLURMEnvironment.detect():  # Lightning would save within a step, and requeue by itself
            kwargs["plugins"].append(SLURMEnvironment(auto_requeue=False))
            _refuse_foreign_checkpoints(Path(settings["default_root_dir"] or "."))
        if settings["logger"] in (None, True):
            part = "" if self.subcommand == "fit" else self.subcommand  # training's steps are its own
            folder = settings["default_root_dir"] or "."
            kwargs["logger"] = TensorBoardLogger(folder, name="tensorboard", version=part, default_hp_metric=False)
        with ddp_that_compares_ranks(), raised_as(InputError, TypeError, message="trainer: {}".format):
            return super().instantiate_trainer(**kwargs)


def _refuse_foreign_checkpoints(folder: Path) -> None:
    found = next(folder.glob("hpc_ckpt_*.ckpt"), None)
    if found:
        raise InputError(
            f"{found}: Lightning would silently resume from it under Slurm; remove it, or take a new folder"
        )


class _ConfiguredCLI(DripCLI):
    """Stage, data and trainer of a `fit`'s arguments, and nothing run."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def configured(arguments: list[str]) -> DripCLI:
    """What `drip fit` with these arguments would train, for other work with the same configuration."""
    return _ConfiguredCLI(["fit", *arguments])


def _checkpoint_folder(default_root_dir: str | None) -> str:
    return f"{default_root_dir or '.'}/checkpoints"


def _seed(seed_everything: int | bool) -> int:
    if isinstance(seed_everything, bool):
        raise InputError(f"seed_everything: expected a number, got {str(seed_everything).lower()}: all draws follow it")
    return seed_everything


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage()
