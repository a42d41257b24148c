"""All that this project uses of Lightning without Lightning's promise to keep it: what its next release may break."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import pytest
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

import drip_lightning
from drip_lightning.lit.callbacks.step_log import _PHASES
from drip_lightning.lit.ranks import watchdog
from drip_lightning.shipped import MODEL

PRIVATE = {
    (DiffusionPipeline, "_execution_device"): "nn/plain_pipeline.py",  # where offloaded networks work
    (LightningCLI, "_get"): "cli/lightning_cli.py",  # a verb's part of the configuration
    (LightningCLI, "_parse_ckpt_path"): "cli/lightning_cli.py",  # replaced: a checkpoint changes no setting
    (LightningCLI, "_parser"): "cli/configuration.py",  # to print configurations without running them
    (LightningCLI, "_run_subcommand"): "cli/lightning_cli.py",  # replaced: a run is over when all of its ranks are
    (LightningCLI, "_set_seed"): "cli/lightning_cli.py",  # replaced: its error is the user's
    (LightningModule, "_trainer"): "lit/stage.py",  # `trainer` raises where there is none
    (RichProgressBar, "_get_train_description"): "lit/callbacks/progress.py",  # replaced: an epoch has no end
    (Trainer, "fit_loop.epoch_loop._batches_that_stepped"): "lit/resume/position.py",  # the loggers' step
    (TensorBoardLogger, "experiment.file_writer.event_writer._file_name"): "lit/resume/run_log.py",  # TensorBoard's
}
"""Class and attribute, private or below one that is, to the file that uses it."""
UNDOCUMENTED = (
    "fit_loop.epoch_loop.batch_progress.total.completed",
    "fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed",
    "fit_loop.epoch_loop.max_steps",
    "fit_loop.epoch_loop.val_loop.run",
)
"""What `lit/resume/position.py` reads and sets of a trainer's loops."""
OTHERS = {
    "_current_frames",
    "_exit",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention_for_cpu_backward",
    "_step_supports_amp_scaling",
    "_version",
}
"""Of Python and of torch."""
PACKAGE = Path(drip_lightning.__file__).parent


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[type, Any]:
    """An object of each class whose attributes only exist on objects."""
    return {
        Trainer: Trainer(accelerator="cpu", logger=False, enable_checkpointing=False),
        LightningModule: LightningModule(),
        TensorBoardLogger: TensorBoardLogger(tmp_path_factory.mktemp("log"), name="", version=""),
    }


def _follow(start: Any, path: str) -> Any:
    for name in path.split("."):
        start = getattr(start, name)
    return start


@pytest.mark.parametrize(("owner", "path"), PRIVATE, ids=str)
def test_what_is_private_of_lightning_is_there(owner: type, path: str, examples: dict[type, Any]) -> None:
    _follow(examples.get(owner, owner), path)


@pytest.mark.parametrize("path", UNDOCUMENTED)
def test_the_loops_are_what_they_were(path: str, examples: dict[type, Any]) -> None:
    _follow(examples[Trainer], path)


def test_the_watchdog_s_files_and_the_clock_s_actions_are_lightning_s() -> None:
    folder = Path(lightning.__file__).parents[1]
    paths = [path for path, _, _ in watchdog._PHASES if path.startswith("lightning/")]
    assert len(paths) >= 3
    assert [path for path in paths if not (folder / path).exists()] == []
    loops = (folder / "lightning/pytorch/loops/training_epoch_loop.py").read_text()
    assert 'profile("run_training_batch")' in loops
    assert 'profile("save_checkpoint")' in inspect.getsource(Trainer.save_checkpoint)
    assert {"run_training_batch", "save_checkpoint"} == set(_PHASES)


def test_nothing_else_is_used() -> None:
    """What starts with an underscore and is defined by no class of the package is somebody else's."""
    trees = {
        str(file.relative_to(PACKAGE)): ast.parse(file.read_text())
        for file in PACKAGE.rglob("*.py")
        if MODEL not in file.parents
    }
    own = {name for tree in trees.values() for name in _defined(tree)}
    foreign = {(name, file) for file, tree in trees.items() for name in _used(tree) if name not in own | OTHERS}
    replaced = {
        (name, file)
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for owner, name in PRIVATE
        if node.name == name and hasattr(owner, name)
    }
    listed = {(path.rpartition(".")[2], file) for (_, path), file in PRIVATE.items()}
    assert foreign - listed == set()
    assert listed - foreign - replaced == set()


def _defined(tree: ast.Module) -> Iterator[str]:
    """Attributes and methods that a file's classes define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield part.name
                targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
                yield from (target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def _used(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield node.attr
