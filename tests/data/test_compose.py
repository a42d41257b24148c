import colorsys

import pytest
import torch

from drip_lightning.data.augment import Distortion
from drip_lightning.data.compose import Composer, ForegroundPadding, Layers, distort, quantise, stack_layers
from drip_lightning.ops.compositing import over

NOTHING = Distortion(0.0, 1.0, 1.0, 0.0)


def _layers(number: int, distortion: Distortion = NOTHING, dilation: int = 2, erosion: int = 1) -> Layers:
    random = torch.Generator().manual_seed(number)
    axis = torch.arange(24) - 12
    alpha = ((8 - torch.hypot(axis[:, None].float(), axis.float())) / 3 + 0.5).clamp(0, 1)
    foreground, background = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8, generator=random)
    return Layers(
        foreground=foreground,
        alpha=(alpha * 255).round().to(torch.uint8)[None],
        background=background,
        foreground_distortion=distortion,
        background_distortion=distortion,
        dilation=dilation,
        erosion=erosion,
        key=str(number),
        number=number,
    )


@pytest.mark.parametrize("padding", ["push_pull", "blur", "none"])
def test_batch_is_a_composite_of_8_bit_maps(padding: ForegroundPadding) -> None:
    layers = stack_layers([_layers(i, Distortion(0.05 * i, 1.1, 0.8, 0.1 * i), dilation=i) for i in range(4)])
    before = {name: value.clone() for name, value in layers.items() if isinstance(value, torch.Tensor)}
    batch = Composer(foreground_padding=padding)(layers)
    composite = over(batch["foreground"], batch["alpha"], batch["background"])
    assert (batch["image"] - composite).abs().max() <= 0.5 / 255 + 1e-6
    for name in ("image", "alpha", "foreground", "background"):
        picture = batch[name]
        assert torch.equal(picture, quantise(picture))
        assert 0 <= picture.min() <= picture.max() <= 1
    assert (batch["alpha"][batch["trimap"] == 1] == 1).all()
    assert (batch["alpha"][batch["trimap"] == 0] == 0).all()
    unknown = (batch["trimap"] == 0.5).sum(dim=(1, 2, 3))
    assert (unknown.diff() > 0).all()  # each sample has its own, larger, dilation
    assert (batch["key"], batch["number"]) == (["0", "1", "2", "3"], [0, 1, 2, 3])
    assert all(torch.equal(layers[name], value) for name, value in before.items())


def test_no_distortion_keeps_every_level() -> None:
    layers = stack_layers([_layers(0)])
    batch = Composer(foreground_padding="none")(layers)
    assert torch.equal(batch["background"] * 255, layers["background"].float())
    known = layers["alpha"] > 0
    assert torch.equal(batch["foreground"] * 255, layers["foreground"] * known.float())


def test_padding_fills_only_where_alpha_is_zero() -> None:
    layers = stack_layers([_layers(0)])
    black, filled = (Composer(foreground_padding=padding)(layers)["foreground"] for padding in ("none", "push_pull"))
    hidden = (layers["alpha"] == 0).expand_as(black)
    assert torch.equal(black[~hidden], filled[~hidden])
    assert (black[hidden] == 0).all()
    assert filled[hidden].min() > 0.1


def test_distortion_by_hand() -> None:
    picture = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1)
    affine = distort(picture, torch.tensor([[0.1, 0.5, 1.0, 0.0]]))
    torch.testing.assert_close(affine.flatten(), torch.tensor([0.15, 0.25, 0.35]), atol=1e-6, rtol=0)
    turned = distort(picture, torch.tensor([[0.0, 1.0, 0.5, 2.0]]))
    hue, saturation, value = colorsys.rgb_to_hsv(0.2, 0.4, 0.6)
    expected = colorsys.hsv_to_rgb((hue + 2.0 / (2 * torch.pi)) % 1, saturation * 0.5, value)
    torch.testing.assert_close(turned.flatten(), torch.tensor(expected), atol=1e-5, rtol=0)


def test_samples_do_not_see_each_other() -> None:
    samples = [_layers(i, Distortion(0.1, 1.0 + i / 10, 1.0, 0.2), dilation=3 * i) for i in range(3)]
    together = Composer()(stack_layers(samples))
    for i, sample in enumerate(samples):
        alone = Composer()(stack_layers([sample]))
        for name in ("image", "alpha", "trimap", "foreground", "background"):
            assert (together[name][i : i + 1] - alone[name]).abs().max() <= 1 / 255 + 1e-6
