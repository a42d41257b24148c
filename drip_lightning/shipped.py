"""What comes with the package: configurations, found by name and copied out, a trained model, and example pictures."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from drip_lightning.errors import InputError

MODEL = Path(__file__).parent / "model"
"""The trained model, a folder as `drip export` writes one."""
EXAMPLES = Path(__file__).parent / "examples"
"""Pictures to try things on; in the repository a link to the top level's `examples`."""
FOLDER = Path(__file__).parent / "configs"
"""In the repository a link to the top level's `configs`, in an installed package a folder of its own."""


def shipped_model() -> Path:
    """The folder of the trained model that comes with the package.

    Raises:
        InputError: this copy of the package is without.
    """
    if not (MODEL / "model_index.json").is_file():
        raise InputError(
            f"no checkpoint is named, and {MODEL} holds no model: name one; `make fit` trains a toy one in "
            "minutes, `make model` one worth its hours"
        )
    return MODEL


def find_config(name: str) -> str:
    """A configuration file by its path or, where there is no such file, by its name among the shipped ones.

    Args:
        name: Such as `mine.yaml`, `denoiser.yaml` or `scale/tiny.yaml`; `configs/` in front may be there.

    Returns:
        The path of the file; of one that is nowhere, the name as it is, for whoever opens it to complain.
    """
    shipped = FOLDER / Path(name).as_posix().removeprefix("configs/")
    return str(shipped) if not Path(name).exists() and shipped.is_file() else name


def with_found_configs(arguments: Iterable[str]) -> Iterator[str]:
    """The arguments of a command line, each `--config` found by `find_config`."""
    is_value = False
    for word in arguments:
        option, equals, value = word.partition("=")
        if is_value:
            yield find_config(word)
        elif option == "--config" and equals:
            yield f"--config={find_config(value)}"
        else:
            yield word
        is_value = word == "--config"


def copy_configs(folder: Path) -> list[Path]:
    """Copy every shipped configuration.

    Args:
        folder: Where to; made if it is not there.

    Returns:
        The copies.

    Raises:
        InputError: the folder holds a file of one of their names, or cannot be written.
    """
    names = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.yaml"))
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise InputError(f"{folder / there[0]} is there already: give another folder, or move it away")
    try:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(FOLDER / name, folder / name)
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror})") from error
    return [folder / name for name in names]
