from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from drip_lightning.cli.matte_model import MatteModel, told_memory
from drip_lightning.cli.matte_options import build_parser
from drip_lightning.data.exr import write_exr
from drip_lightning.errors import InputError
from drip_lightning.nn.memory_bound import MemoryBound
from drip_lightning.nn.sampler import no_progress
from drip_lightning.ops.trimap import trimap_from_mask


def _matte(model: MatteModel, seed: int = 0) -> torch.Tensor:
    image = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(1))
    trimap = trimap_from_mask((image[:, :1] * 0 + torch.arange(44) / 44).round(), 12)
    return model.matte(image, trimap, steps=2, seed=seed, progress=no_progress).alpha


def test_another_processing_size_is_what_the_option_would_give(runs: Path) -> None:
    given = ["picture.png", "--out=out", f"--checkpoint={runs / 'transparency'}"]
    native, small = (
        MatteModel.of(build_parser().parse_args([*given, f"--processing-size={size}"]), prog="drip matte")
        for size in ("native", 16)
    )
    assert torch.equal(_matte(native.with_processing_size(16)), _matte(small))
    assert torch.equal(_matte(small.with_processing_size(None)), _matte(native))
    assert not torch.equal(_matte(small), _matte(native))
    assert not torch.equal(_matte(native, seed=1), _matte(native))
    with pytest.raises(InputError, match="processing size: expected at least"):
        native.with_processing_size(1)


def test_what_is_too_big_for_a_gpu_may_go_to_the_cpu_and_a_defect_stays_one() -> None:
    on_gpu, on_cpu = (
        f"^a.png is too big for the memory of {place}$"
        for place in ("cuda:1: try --device cpu", "cpu: make it smaller")
    )
    with pytest.raises(InputError, match=on_gpu), told_memory("a.png", torch.device("cuda:1")):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(InputError, match=on_cpu), told_memory("a.png", "cpu"):
        raise MemoryError
    with pytest.raises(RuntimeError, match="shapes"), told_memory("a.png", "cpu"):
        raise RuntimeError("shapes")


def test_a_picture_that_memory_cannot_hold_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for name, side in (("large", 3000), ("small", 300)):
        Image.new("L", (side, side)).save(tmp_path / f"{name}.png")
        content = (tmp_path / f"{name}.png").read_bytes()
        (tmp_path / f"{name}.png").write_bytes(content[:60])  # the size is there, the pixels are not
    tight, plenty = (
        MatteModel(SimpleNamespace(memory=MemoryBound(limit)), 1, torch.device("cpu"), Namespace())  # type: ignore[arg-type]
        for limit in (1, 10**15)
    )
    (tmp_path / "large.exr").write_bytes(write_exr(colour=None, alpha=np.zeros((3000, 3000)))[:-60])
    for large in ("large.png", "large.exr"):
        with pytest.raises(
            InputError, match=r"^a picture of 3000×3000 needs 0.58 GB .* allow \S+ GB more \(--memory\)"
        ):
            tight.require_memory(tmp_path / large)
    tight.require_memory(tmp_path / "small.png")  # the sampler says what it needs
    plenty.require_memory(tmp_path / "large.png")
