from dataclasses import replace

import pytest
import torch

from drip_lightning.data.augment import Augmentation, SampleChoices, crop_background, crop_foreground
from drip_lightning.errors import InputError
from drip_lightning.ops.randomness import sample_generator


def _choices(**changes: object) -> SampleChoices:
    plain = Augmentation(crop_scale=(1, 1), flip_probability=0).draw(sample_generator(0, 0, "augmentation"))
    return replace(plain, background_place=(0.0, 0.0), **changes)


def test_draws_stay_in_their_ranges_and_fill_them() -> None:
    augmentation = Augmentation(trimap_dilation=(2, 5), trimap_erosion=(0, 0), brightness=0.0)
    draws = [augmentation.draw(sample_generator(0, number, "augmentation")) for number in range(300)]
    assert draws[7] == augmentation.draw(sample_generator(0, 7, "augmentation"))
    assert {draw.dilation for draw in draws} == {2, 3, 4, 5}
    assert {draw.erosion for draw in draws} == {0}
    assert {draw.foreground_distortion.brightness for draw in draws} == {0.0}
    scales = torch.tensor([draw.crop_scale for draw in draws])
    assert 0.75 <= scales.min() < 0.8
    assert 1.95 < scales.max() <= 2
    assert 100 < sum(draw.flip for draw in draws) < 200
    hues = torch.tensor([[d.foreground_distortion.hue, d.background_distortion.hue] for d in draws])
    assert hues.abs().max() <= 0.15
    assert torch.corrcoef(hues.T)[0, 1].abs() < 0.2


@pytest.mark.parametrize(
    "wrong", [{"crop_scale": (2.0, 1.0)}, {"trimap_erosion": (-1, 3)}, {"flip_probability": 1.5}, {"hue": 4.0}]
)
def test_impossible_ranges_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"^augmentation.{next(iter(wrong))}: expected"):
        Augmentation(**wrong)


def test_crop_at_scale_one_copies_pixels_around_the_edge() -> None:
    foreground = torch.randint(0, 256, (3, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    alpha = torch.full((1, 30, 40), 255, dtype=torch.uint8)
    alpha[0, 12, 20] = 128  # the one pixel a crop can be centred on
    colour, cropped = crop_foreground(foreground, alpha, _choices(), image_size=8)
    assert torch.equal(cropped, alpha[:, 8:16, 16:24])
    assert (colour.int() - foreground[:, 8:16, 16:24].int()).abs().max() <= 1
    flipped, flipped_alpha = crop_foreground(foreground, alpha, _choices(flip=True), image_size=8)
    assert torch.equal(flipped, colour.flip(-1))
    assert torch.equal(flipped_alpha, cropped.flip(-1))


def test_crop_stays_inside_a_larger_picture_and_surrounds_a_smaller_one() -> None:
    alpha = torch.full((1, 10, 10), 255, dtype=torch.uint8)
    alpha[0, 0, 9] = 7
    foreground = torch.full((3, 10, 10), 200, dtype=torch.uint8)
    _, corner = crop_foreground(foreground, alpha, _choices(), image_size=6)
    assert torch.equal(corner, alpha[:, :6, 4:])
    colour, surrounded = crop_foreground(foreground, alpha, _choices(), image_size=16)
    assert surrounded.sum() == alpha.sum()
    assert ((surrounded > 0).sum(), colour[:, surrounded[0] == 0].sum()) == (100, 0)


@pytest.mark.parametrize("scale", [0.5, 1.7, 2.6])
def test_undefined_colour_never_bleeds(scale: float) -> None:
    random = torch.Generator().manual_seed(0)
    alpha = torch.randint(0, 256, (1, 40, 40), dtype=torch.uint8, generator=random)
    alpha[:, :, ::3] = 0
    foreground = torch.where(alpha > 0, torch.tensor([180, 60, 20]).view(3, 1, 1), 255).to(torch.uint8)
    colour, cropped = crop_foreground(foreground, alpha, _choices(crop_scale=scale), image_size=16)
    expected = torch.tensor([180, 60, 20]).view(3, 1, 1).expand_as(colour)
    known = (cropped > 0).expand_as(colour)
    assert (colour.int() - expected)[known].abs().max() <= 1
    assert (colour[~known] == 0).all()


def test_resize_keeps_the_mean_of_alpha() -> None:
    alpha = torch.randint(0, 256, (1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    colour = torch.zeros(3, 32, 32, dtype=torch.uint8)
    _, resized = crop_foreground(colour, alpha, _choices(crop_scale=2.0), image_size=16)
    assert abs(resized.float().mean() - alpha.float().mean()) < 2


def test_picture_without_soft_pixels_or_without_any() -> None:
    alpha = torch.zeros(1, 20, 20, dtype=torch.uint8)
    colour = torch.zeros(3, 20, 20, dtype=torch.uint8)
    assert crop_foreground(colour, alpha, _choices(), image_size=6)[1].sum() == 0
    alpha[0, 3, 17] = 255
    assert crop_foreground(colour, alpha, _choices(), image_size=6)[1].sum() == 255


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (90, 5), (40, 40)])
def test_background_of_any_size_fills_the_output(size: tuple[int, int]) -> None:
    background = torch.full((3, *size), 77, dtype=torch.uint8)
    assert torch.equal(
        crop_background(background, _choices(), image_size=16), torch.full((3, 16, 16), 77, dtype=torch.uint8)
    )


def test_background_crop_copies_pixels_from_its_place() -> None:
    background = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    choices = replace(_choices(), background_place=(0.99, 0.5))
    assert torch.equal(crop_background(background, choices, image_size=10), background[:, 10:20, 10:20])
    turned = crop_background(background, replace(choices, background_flip=True), image_size=10)
    assert torch.equal(turned, background[:, 10:20, 10:20].flip(-1))
