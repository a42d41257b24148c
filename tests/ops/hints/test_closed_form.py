"""The closed-form hint is PyMatting's, and never ends a training."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from drip_lightning.evaluation.classical import Classical
from drip_lightning.ops.hints.choice import ClosedFormAndColours
from drip_lightning.ops.hints.closed_form import closed_form_colours
from drip_lightning.ops.hints.colours import propagated_colours
from drip_lightning.ops.solvers import pymatting
from tests.ops.hints.test_colours import picture


def test_it_is_pymatting_s() -> None:
    image, trimap = picture(4)
    foreground, background, alpha = closed_form_colours(image, trimap)
    pixels, sides = image[0].permute(1, 2, 0).double().numpy(), trimap[0, 0].double().numpy()
    expected = pymatting.estimate_alpha_cf(pixels, sides)
    np.testing.assert_allclose(alpha[0, 0], expected, atol=1e-5)  # solved to as much, by another preconditioner
    for found, colours in zip(
        (foreground, background),
        pymatting.estimate_foreground_ml(pixels, expected, return_background=True),
        strict=True,
    ):
        np.testing.assert_allclose(found[0].permute(1, 2, 0), colours.clip(0, 1), atol=1e-5)


def test_the_answered_foreground_is_averaged_with_that_of_the_answered_alpha_if_wanted() -> None:
    image, _ = picture(4)
    alpha = torch.linspace(0, 1, image.shape[-1]).expand(1, 1, *image.shape[-2:])
    pixels, matte = image[0].permute(1, 2, 0).double().numpy(), alpha[0, 0].double().numpy()
    estimated = torch.from_numpy(pymatting.estimate_foreground_ml(pixels, matte).clip(0, 1)).permute(2, 0, 1)[None]
    answered = torch.full_like(image, 0.25)
    assert torch.equal(ClosedFormAndColours().foreground(image, alpha, answered), answered)
    averaged = ClosedFormAndColours(average_foreground=True).foreground(image, alpha, answered)
    torch.testing.assert_close(averaged, (answered + estimated.float()) / 2)


@pytest.mark.slow
def test_a_forked_worker_makes_hints_after_its_parent_did() -> None:
    """In a process of its own, where nothing ran before: validation makes hints, and then training forks workers."""
    code = """
import os, torch
from drip_lightning.evaluation.classical import Classical
from drip_lightning.ops.hints.closed_form import closed_form_colours
from tests.ops.hints.test_colours import picture
closed_form_colours(*picture(0))
child = os.fork()
if child == 0:
    closed_form_colours(*picture(1))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), ValueError("did not converge")])
def test_what_cannot_be_solved_falls_back_to_propagated_colours(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pymatting, "estimate_foreground_ml", fails)
    image, trimap = picture(5)
    for found, expected in zip(closed_form_colours(image, trimap), propagated_colours(image, trimap), strict=True):
        assert torch.equal(found, expected)


def test_what_pymatting_prints_stays_off_the_users_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chatty(image: np.ndarray, trimap: np.ndarray, *others: object, **settings: object) -> np.ndarray:
        print("PERFORMANCE WARNING: Thresholded incomplete Cholesky decomposition failed")
        return trimap

    monkeypatch.setattr(pymatting, "estimate_alpha_cf", chatty)
    image, trimap = picture(4)
    closed_form_colours(image, trimap)
    batch = {"image": image, "trimap": trimap}
    Classical("closed-form").mattes(batch, steps=None, seeds=())
    assert capsys.readouterr().out == ""
