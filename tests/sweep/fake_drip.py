"""A `drip` that trains and tests in no time: for what sweeps do around it."""

import csv
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from drip_lightning.errors import ExitStatus

PICTURES = [f"p{number}" for number in range(8)]


def resolve(arguments: Sequence[str]) -> str:
    """Merge configurations and settings as `drip fit` does."""
    shards = dict.fromkeys(("foregrounds", "backgrounds", "evaluation"))
    merged: dict[str, Any] = {"trainer": {}, "data": {"init_args": shards}}
    for argument in arguments:
        key, _, value = argument.removeprefix("--").partition("=")
        if key == "config":
            _merge(merged, yaml.safe_load(Path(value).read_text()) or {})
        else:
            setting = yaml.safe_load(value)
            for name in reversed(key.split(".")):
                setting = {name: setting}
            _merge(merged, setting)
    return yaml.safe_dump(merged)


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def run_drip(arguments: list[str]) -> int:
    """`fit --config=FILE …` or `test RUN --out=DIR …`; each call leaves a line in the folder's `calls`."""
    return _fit(arguments) if arguments[0] == "fit" else _test(arguments)


def _fit(arguments: list[str]) -> int:
    config = yaml.safe_load(Path(arguments[1].removeprefix("--config=")).read_text())
    folder = Path(config["trainer"]["default_root_dir"])
    with (folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()}\n")
    attempts = len((folder / "calls").read_text().split())
    print(f"attempt {attempts}", flush=True)
    behaviour = config["model"].get("behaviour", "")
    if behaviour == "fail":
        print("the last words", flush=True)
        return 1
    if behaviour == "break":
        raise ZeroDivisionError("ours")
    if behaviour == "die" and attempts == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "stuck":  # as the watchdog ends it
        os._exit(ExitStatus.STUCK)
    if behaviour == "wait":
        while not (folder.parent / "go").exists():
            time.sleep(0.02)
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / f"step={config['trainer']['max_steps']:07d}.ckpt").touch()
    return 0


def _test(arguments: list[str]) -> int:
    config = yaml.safe_load((Path(arguments[1]) / "config.yaml").read_text())
    parts = {arguments[1], config["model"].get("denoiser", arguments[1])}
    configs = [yaml.safe_load((Path(part) / "config.yaml").read_text()) for part in parts]
    worse = sum(part["model"].get("worse", 0) for part in configs)
    folder = Path(arguments[2].removeprefix("--out="))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()}\n")
    seed = config["seed_everything"]
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        columns = ["row", "seed", "key", "height", "width", "unknown_pixels", "alpha_sad_unknown", "seconds"]
        writer.writerow(columns)
        for row, more in (("denoiser, VAE decoder", 100), ("denoiser", 0)):
            for number, key in enumerate(PICTURES):
                writer.writerow([row, 0, key, 8, 8, 30, 1000 + 10 * number + 2 * seed + worse + more, 0.1])
    return 0
