from pathlib import Path
from typing import Any

import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn.attention import IndependentAttention
from drip_lightning.nn.channel_order import ChannelOrder
from drip_lightning.nn.exported_sampler import exported_sampler, is_known
from drip_lightning.nn.noise import MarigoldNoise
from drip_lightning.nn.sampler import KnownPixels, Matte, MattingSampler
from tests.exports import export_denoiser, export_matting
from tests.networks import matting_batch


def _matte(sampler: MattingSampler) -> Matte:
    batch = matting_batch(3, size=24)
    generators = [torch.Generator().manual_seed(1)]
    return sampler(batch["image"][:1], batch["trimap"][:1], steps=2, generators=generators)


@pytest.mark.parametrize(
    ("export", "choices"),
    [
        (export_matting, {"processing_size": 16, "known": KnownPixels("predicted", "predicted")}),
        (export_denoiser, {"switcher": ChannelOrder(), "attention": IndependentAttention(), "noise": MarigoldNoise()}),
    ],
)
def test_it_is_the_stages_bit_for_bit(export: Any, choices: dict[str, Any], tmp_path: Path) -> None:
    export(tmp_path / "model", **choices)
    assert is_known(tmp_path / "model")
    sampler, steps = exported_sampler(tmp_path / "model")
    stage = MattingStage.from_checkpoint(tmp_path / "model")
    assert (steps, sampler.sizes, sampler.known) == (stage.sampling_steps, stage.sizes, stage.known)
    found, expected = _matte(sampler), _matte(stage.sampler)
    assert torch.equal(found.alpha, expected.alpha)
    assert torch.equal(found.foreground, expected.foreground)
    assert found.alpha.unique().numel() > 3


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    export_denoiser(tmp_path / "model")
    weights = tmp_path / "model" / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{weights} is damaged"):
        exported_sampler(tmp_path / "model")
