"""Whether two run folders hold the same run: last checkpoints bit for bit, and every logged value."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint


def differences(first: Path, second: Path) -> list[str]:
    """What two runs' last checkpoints and logs do not share; nothing for runs that are the same, bit for bit."""
    mine, theirs = (read_checkpoint(newest_checkpoint(folder)) for folder in (first, second))
    for checkpoint in (mine, theirs):
        del checkpoint["run"]["log"]  # names and lengths of files
    found = list(_unequal(mine, theirs, "checkpoint"))
    logs = [logged(folder) for folder in (first, second)]
    return found + ([] if logs[0] == logs[1] else [f"log: {sorted(set(logs[0]) ^ set(logs[1]))[:4]}"])


def logged(folder: Path) -> list[tuple[str, int, float]]:
    """Every scalar in a run's TensorBoard files that tells no time: name, step, value; doubles are there twice."""
    found = []
    for file in sorted((folder / "tensorboard").glob("events.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        for name in events.Tags()["scalars"]:
            if name.startswith(("train/", "val/", "optimizer/")):
                found += [(name, event.step, event.value) for event in events.Scalars(name)]
    return sorted(found)


def _unequal(first: Any, second: Any, name: str) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted({*first, *second}, key=str):
            yield from _unequal(first.get(key), second.get(key), f"{name}.{key}")
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        for place, pair in enumerate(zip(first, second, strict=True)):
            yield from _unequal(*pair, f"{name}.{place}")
    elif isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if not torch.equal(first, second):
            yield name
    elif first != second:
        yield name
