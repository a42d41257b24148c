"""`drip demo --export-space`: the page, the package and a model as files that are served elsewhere."""

import argparse
import io
import re
import shutil
import sys
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

import drip_lightning
from drip_lightning.errors import InputError, RunError, raised_as
from drip_lightning.files import whole_folder
from drip_lightning.shipped import shipped_model

_APP = '''\
"""The page of `drip demo`: for a Space on Hugging Face, or `python app.py` anywhere."""

import os
import sys
from pathlib import Path

from drip_lightning.cli.main import run

host = os.environ.get("DRIP_HOST", "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")
port = os.environ.get("DRIP_PORT", "7860")
model = Path(__file__).parent / "model"
sys.exit(run(["demo", f"--checkpoint={model}", f"--host={host}", f"--port={port}"]))
'''
_README = """\
---
title: drip
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
license: apache-2.0
---

Cut an object out of a picture, its foreground colour and alpha together, with drip_lightning {version}.
About the model: [model/README.md](model/README.md).

Elsewhere: `pip install -r requirements.txt`, then `python app.py`; `DRIP_HOST` and `DRIP_PORT` say where it is served.
"""
_EXTRA = re.compile("extra == .demo.")


def export_space(folder: Path, options: argparse.Namespace) -> None:
    """Write `app.py`, `requirements.txt`, `README.md`, the package and the model, whole or not at all.

    Args:
        folder: Where to; a new one.
        options: What `add_model_options` has read.

    Raises:
        InputError: something is there already, or there is no such model.
        RunError: it cannot be written, or the model cannot be fetched.
    """
    from drip_lightning.cli.export import main as export
    from drip_lightning.nn.export_index import check_files, is_exported
    from drip_lightning.nn.hub import local_folder

    if folder.exists():
        raise InputError(f"{folder} exists: choose another place for --export-space")
    checkpoint = local_folder(options.checkpoint or shipped_model())
    if is_exported(checkpoint):
        check_files(checkpoint)
    advice = "free some space or choose another place, and run it again"
    with (
        raised_as(RunError, OSError, message=lambda why: f"cannot write {folder} ({why}): {advice}"),
        whole_folder(folder.absolute()) as partial,
    ):
        if is_exported(checkpoint):
            shutil.copytree(checkpoint, partial / "model")
        else:
            moved = [f"--moved={options.moved}"] if options.moved else []
            with redirect_stdout(io.StringIO()):  # it names what is there for the moment
                export([str(checkpoint), str(partial / "model"), *moved])
        shutil.copytree(Path(drip_lightning.__file__).parent, partial / "drip_lightning", ignore=_left_out)
        (partial / "app.py").write_text(_APP)
        (partial / "requirements.txt").write_text("\n".join(_requirements()) + "\n")
        python = ".".join(map(str, sys.version_info[:2]))
        filled = _README.format(gradio=metadata.version("gradio"), python=python, version=drip_lightning.__version__)
        (partial / "README.md").write_text(filled)
    print(f"{folder}: push it to a Space, or run python {folder / 'app.py'}")


def _requirements() -> list[str]:
    """What the package needs, and its page."""
    found = []
    for line in metadata.requires("drip_lightning") or ():
        requirement, _, marker = line.partition(";")
        if "extra" not in marker or _EXTRA.search(marker):
            found.append(requirement.strip())
    return found


def _left_out(folder: str, names: list[str]) -> list[str]:
    """What of the package does not go along: what Python makes by itself, the model, and evaluation pictures."""
    own = {"model"} if Path(folder) == Path(drip_lightning.__file__).parent else set()
    own |= {"evaluation"} if Path(folder).parent.name == "examples" else set()
    return [name for name in names if name == "__pycache__" or name in own]
