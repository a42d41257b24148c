"""An exported folder works without this package, and a plain U-Net of diffusers says what it would lose."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils import dynamic_modules_utils

from drip_lightning.nn.attention import IndependentAttention
from drip_lightning.nn.half_size import HalfSizeUNetDecoder
from drip_lightning.nn.noise import GaussianNoise
from drip_lightning.nn.plain_pipeline import PlainMattingPipeline
from drip_lightning.nn.skip_decoder import SkipDecoder
from drip_lightning.nn.transparency import UNetDecoder
from drip_lightning.nn.two_unets import TwoUNets
from drip_lightning.ops.hints.choice import (
    ClosedFormAndColours,
    NoHints,
    PropagatedColours,
    SampledAndPropagatedColours,
    SampledColours,
)
from drip_lightning.pipeline import MattingPipeline
from drip_lightning.standalone import standalone_source
from tests.exports import export_denoiser, export_matting
from tests.networks import matting_batch

_WITHOUT = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {blocked}
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path = [Hiding(finder) for finder in sys.meta_path]
import torch
from diffusers import DiffusionPipeline

torch.set_num_threads(1)
image, trimap = torch.load("pictures.pt")
*folders, hinted = sys.argv[1:]
for folder in folders:
    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    matte = pipe(image, trimap, generator=torch.Generator().manual_seed(3), output_type="pt")
    torch.save([matte.rgba, [one.__module__ for one in (type(pipe), type(pipe.unet))]], f"{{folder}}/found.pt")
loaded = set(sys.modules) & {blocked}
assert not loaded, loaded
DiffusionPipeline.from_pretrained(hinted, custom_pipeline=hinted, trust_remote_code=True)
"""
OURS = {
    "drip_lightning", "accelerate", "transformers", "peft", "psutil", "scipy", "kornia", "tifffile", "imagecodecs",
    "lightning", "webdataset", "torchmetrics", "jsonargparse", "matplotlib", "numba", "pymatting",
}  # fmt: skip
"""What `pip install torch diffusers` does not bring along."""


@pytest.mark.slow
def test_folders_matte_with_diffusers_and_torch_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit-equal with this package, each in turn in one process; only classical hints need more, and say so."""
    choices = {"half": HalfSizeUNetDecoder(), "skip": SkipDecoder(), "unet": UNetDecoder()}
    for name, decoder in choices.items():
        export_matting(tmp_path / name, decoder=decoder)
    two = {"switcher": TwoUNets(), "attention": IndependentAttention(), "inference_noise": GaussianNoise()}
    export_denoiser(tmp_path / "two", **two)
    export_matting(tmp_path / "hinted", decoder=HalfSizeUNetDecoder(), hints=PropagatedColours())
    batch = matting_batch(3, size=24)
    pictures = batch["image"], batch["trimap"]
    torch.save(pictures, tmp_path / "pictures.pt")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(blocked=OURS), *choices, "two", "hinted"],
        cwd=tmp_path,
        env=os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip().splitlines()[-1] == "ModuleNotFoundError: No module named 'numba'", done.stderr
    assert re.findall("pip install (.*)`", done.stderr) == ["numba"], done.stderr
    assert "not expected and will be ignored" not in done.stderr
    assert "Expected types" not in done.stderr

    def matte(pipe: DiffusionPipeline) -> torch.Tensor:
        pipe.set_progress_bar_config(disable=True)
        return pipe(*pictures, generator=torch.Generator().manual_seed(3), output_type="pt").rgba[0]

    for name in (*choices, "two"):
        found, modules = torch.load(tmp_path / name / "found.pt")
        assert all(module.startswith("diffusers_modules.local.") for module in modules)
        assert torch.equal(found[0], matte(MattingPipeline.from_pretrained(tmp_path / name))), name
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    hinted = str(tmp_path / "hinted")
    with_numba = DiffusionPipeline.from_pretrained(hinted, custom_pipeline=hinted, trust_remote_code=True)
    assert torch.equal(matte(with_numba), matte(MattingPipeline.from_pretrained(hinted)))


def test_a_plain_unet_says_that_cross_domain_attention_is_not_in_it(tmp_path: Path) -> None:
    export_denoiser(tmp_path / "joint")
    with pytest.raises(ValueError, match="unknown mid_block_type : UNetMidBlock2DCrossDomainAttn"):
        UNet2DConditionModel.from_pretrained(tmp_path / "joint", subfolder="unet")


def test_a_card_and_the_code_agree_on_the_packages_that_hints_need() -> None:
    for hints in (ClosedFormAndColours, PropagatedColours, SampledColours, SampledAndPropagatedColours, NoHints):
        source = standalone_source([PlainMattingPipeline, hints], title="A test.", version="1")
        assert sorted(set(re.findall(r"^import (numba|pymatting)$", source, re.MULTILINE))) == list(hints.packages)


def test_the_same_classes_make_the_same_source_in_every_process() -> None:
    """Sets are in another order in each."""
    program = (
        "from drip_lightning.standalone import standalone_source as cut\n"
        "own = {'__module__': 'drip_lightning.nn.plain_pipeline'}\n"
        "print(cut([type('PlainMattingPipeline', (), own)], title='A test.', version='1'))"
    )
    seeds = [os.environ | {"PYTHONHASHSEED": str(seed)} for seed in (1, 2)]
    first, second = (subprocess.check_output([sys.executable, "-c", program], env=one, text=True) for one in seeds)
    assert "class PlainMattingPipeline" in first
    assert first == second


def test_one_source_has_no_name_twice_and_strangers_are_refused() -> None:
    source = standalone_source([PlainMattingPipeline, PropagatedColours], title="A test.", version="1")
    assert "drip_lightning." not in source.replace("# drip_lightning.", "")
    compile(source, "pipeline.py", "exec")
    with pytest.raises(ValueError, match=r"pathlib\.Path is not of drip_lightning"):
        standalone_source([Path], title="", version="")
