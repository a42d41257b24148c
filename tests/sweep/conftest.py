from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drip_lightning.sweep.plan import SweepPlan, make_plan
from drip_lightning.sweep.settings import read_sweep
from tests.sweep import fake_drip

STAGES = {
    "autoencoder": {"configs": ["base.yaml"], "seed": 0},
    "denoiser": {"configs": ["base.yaml", "{scale}.yaml"], "inputs": {"model.vae": "{autoencoder}/pretrained"}},
    "decoder": {"configs": ["base.yaml"], "inputs": {"model.denoiser": "{denoiser}"}},
}
FACTORS = {
    "variant": {
        "full": {},
        "without attention": {"overlays": {"denoiser": ["worse.yaml"]}},
        "without decoder": {"without": ["decoder"]},
    }
}
OVERLAYS: dict[str, Any] = {
    "base": {"trainer": {"max_steps": 3}, "model": {"width": 8}},
    "tiny": {"trainer": {"max_steps": 2}},
    "small": {"trainer": {"max_steps": 5}},
    "worse": {"model": {"worse": 40}},
    "zero": {"model": {"worse": 0}},
    "sets": {"data": {"init_args": {"evaluation": {"one": "there", "two": "here"}}}},
    "vae": {"model": {"vae": "none"}},
    "noise": {"model": {"noise": {"init_args": {"discount": 0.8, "deviation": "sample"}}}},
    "fail": {"model": {"behaviour": "fail"}},
    "break": {"model": {"behaviour": "break"}},
    "die": {"model": {"behaviour": "die"}},
    "stuck": {"model": {"behaviour": "stuck"}},
    "wait": {"model": {"behaviour": "wait"}},
}


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a sweep file that trains nothing real, with these keys in place of the usual ones."""
    folder = tmp_path / "configs"
    folder.mkdir()
    for name, content in OVERLAYS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))

    def write(**changes: Any) -> Path:
        usual = {"title": "A sweep", "scale": "tiny", "stages": STAGES, "factors": FACTORS, "seeds": [0, 1]}
        usual["report"] = {"metrics": ["alpha_sad_unknown"], "pictures": 0}
        path = folder / "sweep.yaml"
        path.write_text(yaml.safe_dump(usual | changes, sort_keys=False))
        return path

    return write


@pytest.fixture
def plan(sweep_file: Callable[..., Path]) -> Callable[..., SweepPlan]:
    def make(**changes: Any) -> SweepPlan:
        return make_plan(read_sweep(sweep_file(**changes)), fake_drip.resolve)

    return make
