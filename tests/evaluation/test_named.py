"""What needs no training is named on the command line, and mattes."""

import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.evaluation.named import BASELINES
from tests.ops.hints.test_colours import picture


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_mattes_and_is_called_by_its_name(name: str) -> None:
    image, trimap = (maps.repeat_interleave(4, 2).repeat_interleave(4, 3) for maps in picture(4))
    truth = {"alpha": torch.rand_like(trimap), "foreground": image}
    method = BASELINES[name]()
    (matte,) = method.mattes({"image": image, "trimap": trimap, **truth}, steps=None, seeds=(0,))
    assert method.name == name
    assert matte.alpha.shape == trimap.shape
    assert matte.foreground.shape == image.shape
    assert matte.alpha.isfinite().all()
    if "colours" in name or "closed" in name:
        assert matte.alpha[trimap == 0.5].std() > 0
        assert torch.equal(matte.alpha[trimap == 1], trimap[trimap == 1])


def test_a_picture_that_a_solver_cannot_take_is_told() -> None:
    image, trimap = picture(4)
    with pytest.raises(InputError, match="large-kernel matting finds no solution: the picture is flat, or too small"):
        BASELINES["large-kernel"]().mattes({"image": image, "trimap": trimap}, steps=None, seeds=(0,))
