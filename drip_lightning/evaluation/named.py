"""Methods by the words of a command line: baselines by name, trained stages by where they are."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from drip_lightning.choices import class_of
from drip_lightning.data.evaluation_sets import sets_by_name
from drip_lightning.errors import InputError, raised_as
from drip_lightning.evaluation.classical import SOLVERS, Classical, TrueAlpha
from drip_lightning.evaluation.hinted import Hinted
from drip_lightning.evaluation.method import Method, Trimap
from drip_lightning.evaluation.model import Model, VaeCeiling
from drip_lightning.evaluation.predictions import Predictions, prediction_files
from drip_lightning.lit.matting import MattingStage
from drip_lightning.moved import moved_paths
from drip_lightning.nn.export_index import is_exported
from drip_lightning.nn.hub import is_hub_id
from drip_lightning.ops.hints.closed_form import closed_form_colours
from drip_lightning.ops.hints.colours import propagated_colours, sampled_colours
from drip_lightning.shipped import shipped_model

SHIPPED = "shipped"
"""The word for the model that comes with the package."""
BASELINES: Mapping[str, Callable[[], Method]] = {
    "trimap": Trimap,
    "propagated-colours": partial(Hinted, "propagated-colours", propagated_colours),
    "sampled-colours": partial(Hinted, "sampled-colours", sampled_colours),
    "closed-form-colours": partial(Hinted, "closed-form-colours", closed_form_colours),
    **{solver: partial(Classical, solver) for solver in SOLVERS},
    "true-alpha": TrueAlpha,
}
"""What needs no training, by the name that the command line and the table call it."""


def methods_of(
    words: Sequence[str],
    *,
    vae_only: bool = False,
    moved: Mapping[str, str] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[Method]:
    """Make the methods that a command line names.

    Args:
        words: Each a baseline's name, `shipped`, a run folder, a checkpoint, an exported folder, a folder of predicted
            mattes or the dotted path of a `Method`, or any of these as `NAME=WORD`, to be called NAME.
        vae_only: Of trained stages, evaluate the ceiling that their VAE sets.
        moved: Where what their checkpoints name is now, as `moved_paths` takes it.
        changes: What is changed of trained stages, such as sizes, as `Stage.from_checkpoint` takes it.

    Raises:
        InputError: a word is neither, a checkpoint cannot be loaded, or a baseline's package is not installed.
    """
    named = [
        (name or SHIPPED, str(shipped_model())) if place == SHIPPED else (name, place)
        for name, place in map(_split, words)
    ]
    folders = [place for _, place in named if place not in BASELINES and not _is_dotted(place)]
    for place in folders:
        if not Path(place).exists() and not is_hub_id(place):
            raise InputError(
                f"no method {place!r}: neither a run folder nor a checkpoint, nor a folder of mattes, nor one of "
                + ", ".join((*BASELINES, SHIPPED))
            )
    kind = VaeCeiling if vae_only else Model
    methods: list[Method] = []
    for name, place in named:
        if place in BASELINES:
            method = BASELINES[place]()
            method.name = name or place
        elif _is_dotted(place):
            method = _own_method(place)
            method.name = name or method.name
        elif _is_of_predictions(Path(place)):
            method = Predictions(Path(place), name=name or _short_name(place, folders))
        else:
            stage = MattingStage.from_checkpoint(place, moved=moved, **(changes or {}))
            method = kind(stage, name=name or _short_name(place, folders), source=place)
        methods.append(method)
    return methods


def _is_dotted(place: str) -> bool:
    """Whether a word is the dotted path of a class, and no file's name."""
    return re.fullmatch(r"(\w+\.)+[A-Z]\w*", place) is not None and not Path(place).exists()


def _own_method(path: str) -> Method:
    kind = class_of(path, where="the command line")
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise InputError(f"{path} is no Method (drip_lightning.evaluation.method): it cannot be measured")
    with raised_as(InputError, TypeError, ValueError, message=f"{path}: {{}}".format):
        made: Method = kind()  # type: ignore[call-arg]  # of its own, without arguments
        return made


def _is_of_predictions(path: Path) -> bool:
    """A folder of pictures that is neither a run's nor an export's."""
    if not path.is_dir() or is_exported(path) or (path / "config.yaml").is_file() or (path / "checkpoints").is_dir():
        return False
    return bool(prediction_files(path))


def run_folder(word: str) -> Path | None:
    """The run folder that a word of the command line names, itself or by a checkpoint in it."""
    path = Path(_split(word)[1])
    above = [path] if path.is_dir() else path.parents[:3]
    return next((folder for folder in above if path.exists() and (folder / "config.yaml").is_file()), None)


def evaluation_data(folder: Path) -> dict[str, str]:
    """Name to folder of a run's evaluation sets by its configuration; a tree that was moved as a whole is found.

    Raises:
        InputError: it names none.
    """
    config = yaml.safe_load((folder / "config.yaml").read_text())
    data = config.get("data") or {}
    places = data.get("init_args", data).get("evaluation")  # earlier versions named no class
    if not places:
        raise InputError(f"{folder}/config.yaml names no evaluation shards: give them with --data")
    return moved_paths(sets_by_name(places), file=folder / "config.yaml")


def _split(word: str) -> tuple[str | None, str]:
    """The name that a word gives its method, if any, and the method; a checkpoint's own name holds an equals sign."""
    name, equals, place = word.partition("=")
    is_path = "/" in name or Path(word).exists() or (place.endswith(".ckpt") and not Path(place).exists())
    return (name, place) if equals and not is_path else (None, word)


def _short_name(place: str, places: Sequence[str]) -> str:
    """A folder's own name, or as much of its path as tells it from the others."""
    own, others = Path(place).resolve().parts, [Path(other).resolve().parts for other in places if other != place]
    for length in range(1, len(own) + 1):
        if all(other[-length:] != own[-length:] for other in others):
            return "/".join(own[-length:])
    return place
