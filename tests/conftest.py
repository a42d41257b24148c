import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from drip_lightning.data.synth.folders import synthesise
from drip_lightning.data.synth.samples import SynthSettings
from tests.runs import train_all_stages
from tests.slurm import slurm as slurm
from tests.slurm import slurm_here as slurm_here

os.environ["HF_HUB_OFFLINE"] = "1"
_CACHE = tempfile.TemporaryDirectory(prefix="drip-cache-")
os.environ["DRIP_CACHE"] = _CACHE.name


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin each test alike: numba's threads (pymatting starts them) become torch's, and evaluations are quiet."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)


@pytest.fixture(scope="module", autouse=True)
def no_process_left() -> Iterator[None]:
    """Python would wait at its exit for a data worker that was left behind: fail instead."""
    yield
    left = multiprocessing.active_children()
    for process in left:
        process.kill()
    assert not left


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Procedural data of 64 pixels: seven foregrounds, four backgrounds, two evaluation pictures. Not to be changed."""
    folder = tmp_path_factory.mktemp("synth")
    counts = {"foregrounds": 7, "backgrounds": 4, "evaluation": 2}
    synthesise(folder, counts=counts, settings=SynthSettings(size=64), workers=1)
    return folder


@pytest.fixture(scope="session")
def runs(synth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folders of all three stages, two steps each, in order. Not to be changed."""
    return train_all_stages(synth, tmp_path_factory.mktemp("runs"))
