from dataclasses import replace

import pytest
import torch

from drip_lightning.data import compose, degradations
from drip_lightning.data.augment import Augmentation, ColourJitter
from drip_lightning.data.compose import Composer, ForegroundPadding, LayerBatch, Layers, as_batch, stack_layers
from drip_lightning.data.degradations import Blur, Jpeg, Noise, Shrink
from drip_lightning.ops import colour, compositing, degrade, jpeg, padding, trimap
from drip_lightning.ops.compositing import over

CLEAN = Augmentation()


def _layers(number: int, augmentation: Augmentation = CLEAN, size: int = 24, **changes: object) -> Layers:
    random = torch.Generator().manual_seed(number)
    axis = torch.arange(size) - size / 2
    alpha = ((size / 3 - torch.hypot(axis[:, None].float(), axis.float())) / 3 + 0.5).clamp(0, 1)
    foreground, background = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=random)
    choices = augmentation.draw(0, number)
    return Layers(
        foreground=foreground,
        alpha=(alpha * 255).round().to(torch.uint8)[None],
        background=background,
        choices=replace(choices, **changes),
        key=str(number),
        number=number,
    )


@pytest.mark.parametrize("padding_name", ["push_pull", "blur", "hidden_blur", "normalised_blur", "none"])
def test_batch_is_a_composite_of_8_bit_maps(padding_name: ForegroundPadding) -> None:
    layers = stack_layers([_layers(i, dilation=i) for i in range(4)])
    before = {name: value.clone() for name, value in layers.items() if isinstance(value, torch.Tensor)}
    batch = Composer(foreground_padding=padding_name)(layers)
    composite = over(batch["foreground"], batch["alpha"], batch["background"])
    assert (batch["image"] - composite).abs().max() <= 0.5 / 255 + 1e-6
    for name in ("image", "alpha", "foreground", "background"):
        picture = batch[name]
        assert torch.equal(picture, (picture * 255).round() / 255)
    assert (batch["alpha"][batch["trimap"] == 1] == 1).all()
    assert (batch["alpha"][batch["trimap"] == 0] == 0).all()
    assert set(batch["trimap"].unique().tolist()) <= {0, 0.5, 1}
    assert (batch["key"], batch["number"]) == (["0", "1", "2", "3"], [0, 1, 2, 3])
    assert all(torch.equal(layers[name], value) for name, value in before.items())


def test_no_distortion_keeps_every_value() -> None:
    nothing = ColourJitter()
    plain = replace(CLEAN, foreground_jitter=nothing, background_jitter=nothing, joint_jitter=nothing)
    layers = stack_layers([_layers(0, plain)])
    batch = Composer(foreground_padding="none")(layers)
    assert torch.equal(batch["background"] * 255, layers["background"].float())
    assert torch.equal(batch["foreground"] * 255, layers["foreground"] * (layers["alpha"] > 0).float())


def test_padding_fills_only_where_alpha_is_zero() -> None:
    layers = stack_layers([_layers(0)])
    black, filled = (Composer(foreground_padding=name)(layers)["foreground"] for name in ("none", "push_pull"))
    hidden = (layers["alpha"] == 0).expand_as(black)
    assert torch.equal(black[~hidden], filled[~hidden])
    assert (black[hidden] == 0).all()
    assert filled[hidden].min() > 0.1


def test_samples_do_not_see_each_other() -> None:
    samples = [_layers(i, Augmentation(degradations=(Blur(0.5), Noise(0.5)))) for i in range(6)]
    together = Composer()(stack_layers(samples))
    for i, sample in enumerate(samples):
        alone = Composer()(stack_layers([sample]))
        for name in ("image", "alpha", "trimap", "foreground", "background"):
            assert torch.equal(together[name][i : i + 1], alone[name])


def test_degradation_touches_the_image_alone() -> None:
    every = (Blur(1, (1, 1)), Shrink(1, (0.5, 0.5)), Noise(1, (4, 4)), Jpeg(1, (60, 60)))
    spoiled, clean = (
        Composer()(stack_layers([_layers(0, replace(CLEAN, degradations=chosen))])) for chosen in (every, ())
    )
    assert 0.01 < (spoiled["image"] - clean["image"]).abs().mean() < 0.3
    for name in ("alpha", "trimap", "foreground", "background"):
        assert torch.equal(spoiled[name], clean[name])


def test_the_tensors_of_other_devices_make_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on a GPU, run here: equal, not only within 1, over many draws and odd sizes."""
    everything = Augmentation(
        linear_light_probability=0.5,
        trimap_dilation=(0, 9),
        degradations=(Blur(0.5), Shrink(0.5), Noise(0.5), Jpeg(0.5)),
    )

    def batches() -> list[LayerBatch]:
        sizes = (1, 16, 24, 37, 53)
        return [stack_layers([_layers(10 * size + i, everything, size) for i in range(6)]) for size in sizes]

    composers = [Composer(trimap_structuring_element=name) for name in ("square", "disc")]
    kernels = [composer.compose(batch) for batch in batches() for composer in composers]
    monkeypatch.setattr(compose, "distort", colour._distort_tensors)
    monkeypatch.setitem(compose._PADDINGS, "push_pull", padding._fill_tensors)
    monkeypatch.setattr(compose, "composite_uint8", compositing._composite_tensors)
    monkeypatch.setattr(trimap, "_near_other", trimap._near_other_tensors)
    monkeypatch.setattr(degradations, "filter_picture", degrade._filter_picture_tensors)
    monkeypatch.setattr(degradations, "add_noise", degrade._noise_tensors)
    monkeypatch.setattr(degradations, "jpeg_artefacts", jpeg._jpeg_tensors)
    tensors = [composer.compose(batch) for batch in batches() for composer in composers]
    for one, other in zip(kernels, tensors, strict=True):
        for name in ("image", "alpha", "trimap", "foreground", "background"):
            assert torch.equal(one[name], other[name]), name
        assert torch.equal(as_batch(one)["image"], as_batch(other)["image"])


def test_hidden_blur_is_alg_2_on_what_alpha_hides() -> None:
    layers = stack_layers([_layers(0)])
    distorted = compose.distort(layers["foreground"], layers["foreground_colours"])
    expected = padding.pad_foreground_blur(distorted, layers["alpha"])
    found = Composer(foreground_padding="hidden_blur").compose(layers)["foreground"]
    black = Composer(foreground_padding="blur").compose(layers)["foreground"]
    assert torch.equal(found, expected)
    assert not torch.equal(found, black)
