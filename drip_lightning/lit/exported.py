"""Reading what `drip export` wrote, as if it were a checkpoint."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from drip_lightning.errors import InputError
from drip_lightning.nn.pipeline_folder import INDEX, read_index, read_weights


def is_exported(path: Path) -> bool:
    """Whether a path is a folder in diffusers' format, and so no run folder."""
    return (path / INDEX).is_file()


def read_exported(folder: Path, stages: Collection[str]) -> dict[str, Any]:
    """The checkpoint that an exported folder stands for.

    Args:
        folder: What `drip export` wrote.
        stages: Class names that will do: of a transparency decoder's folder, the denoiser can be read alone.

    Raises:
        InputError: it is damaged, or of another program.
    """
    written = read_index(folder)["drip"]
    try:
        fitting = [stage for stage in written["stages"] if stage["class_path"].rsplit(".", 1)[-1] in stages]
        stage = (fitting or written["stages"])[-1]
        init_args = dict(stage["init_args"])
        networks = init_args["networks"]
        init_args["networks"] = networks | {"init_args": networks["init_args"] | {"folder": str(folder)}}
        parts = stage["parts"].items()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{folder / INDEX} is damaged ({error}): copy or export the folder again") from error
    if "denoiser" in init_args:
        init_args["denoiser"] = str(folder)
    weights = {prefix + name: value for prefix, file in parts for name, value in read_weights(folder, file).items()}
    return {"drip": stage | {"init_args": init_args}, "state_dict": weights}
