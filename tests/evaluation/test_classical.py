import numpy as np
import pymatting
import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.evaluation.classical import Classical, TrueAlpha
from tests.networks import matting_batch


def test_closed_form_and_its_foreground_are_pymattings() -> None:
    batch = matting_batch(4, size=24)
    (matte,) = Classical("closed-form").mattes(batch, steps=None, seeds=[0])
    image = batch["image"][0].permute(1, 2, 0).double().numpy()
    alpha = pymatting.estimate_alpha_cf(image, batch["trimap"][0, 0].double().numpy())
    np.testing.assert_allclose(matte.alpha[0, 0].numpy(), alpha, atol=1e-6)
    foreground = pymatting.estimate_foreground_ml(image, alpha)
    np.testing.assert_allclose(matte.foreground[0].permute(1, 2, 0).numpy(), foreground, atol=1e-5)


def test_the_foreground_of_the_true_alpha_explains_the_image_better_than_the_image_itself() -> None:
    batch = matting_batch(4, size=24)
    (matte,) = TrueAlpha().mattes(batch, steps=None, seeds=[0])
    torch.testing.assert_close(matte.alpha, batch["alpha"])
    error, nothing = (
        (batch["alpha"] * (colour - batch["foreground"])).abs().sum() for colour in (matte.foreground, batch["image"])
    )
    assert error < nothing / 2


def test_a_trimap_without_known_background_is_told() -> None:
    batch = matting_batch(4)
    batch["trimap"] = batch["trimap"].clamp_min(0.5)
    with pytest.raises(InputError, match="wants known foreground and known background"):
        Classical("closed-form").mattes(batch, steps=None, seeds=[0])
