from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.cache import LocalCache
from drip_lightning.data.chance import Chance
from drip_lightning.data.datasets import TrainingLayers
from drip_lightning.data.degradations import Blur, ImageChange, ImageDegradation, Jpeg, Noise, Shrink
from drip_lightning.data.foreground_degradations import Defocus, MotionBlur, Multiply, Tint
from drip_lightning.data.mixture import ShardMixture
from drip_lightning.lit.datamodule import MattingDataModule
from tests.shards import background_shards, disc_rgba, picture_bytes, write_shards

DISC = np.ascontiguousarray(disc_rgba(0, 40, 40).transpose(2, 0, 1))


@dataclass(frozen=True)
class Invert(ImageDegradation):
    """A researcher's own."""

    probability: float = 1.0

    def draw(self, chance: Chance) -> ImageChange:
        return partial(_inverted, top=chance.integer(254, 255))


def _inverted(image: Tensor, *, top: int) -> Tensor:
    return top - image.clamp(max=top)


def _drawn(*degradations: ImageDegradation) -> list[list[tuple[str, dict[str, object]]]]:
    augmentation = Augmentation(degradations=degradations)
    changes = [augmentation.draw(7, number).image_changes for number in range(60)]
    return [[(change.func.__name__, change.keywords) for change in one] for one in changes]  # type: ignore[attr-defined]


def test_adding_a_degradation_shifts_no_others_draws() -> None:
    few = _drawn(Blur(0.5), Noise(0.5))
    many = _drawn(Jpeg(0.5), Blur(0.5), Invert(), Shrink(0.0), Noise(0.5), Blur(0.5))
    names = {name for one in few for name, _ in one}
    kept = [[change for change in one if change[0] in names] for one in many]
    firsts = [one[: len(alone)] for one, alone in zip(kept, few, strict=True)]
    assert firsts == few
    assert sum(len(one) - len(alone) for one, alone in zip(kept, few, strict=True)) > 15  # the second Blur's own draws


def test_a_blur_of_premultiplied_colour_keeps_a_plain_colour_and_spreads_alpha() -> None:
    plain = DISC.copy()
    plain[:3] = np.array([200, 100, 50], np.uint8)[:, None, None]
    plain[:3, plain[3] == 0] = 0  # what alpha hides must not darken the rim
    for degradation in (Defocus(radius=(0.1, 0.1)), MotionBlur(length=(0.25, 0.25))):
        blurred = degradation.draw(Chance(0, 0, "test"))(plain)
        shown = blurred[3] > 8
        assert np.abs(blurred[:3, shown].astype(int) - np.array([[200], [100], [50]])).max() <= 1
        assert abs(blurred[3].astype(float).mean() - plain[3].astype(float).mean()) < 1
        assert np.count_nonzero((blurred[3] > 0) & (blurred[3] < 255)) > 1.5 * np.count_nonzero(plain[3] % 255)


def test_tint_multiplies_white_by_one_colour_and_leaves_alpha() -> None:
    white = DISC.copy()
    white[:3] = 255
    tinted = Tint(saturation=(0.5, 0.5), value=(0.8, 0.8)).draw(Chance(0, 3, "test"))(white)
    assert (tinted[3] == white[3]).all()
    colours = {tuple(pixel) for pixel in tinted[:3].reshape(3, -1).T.tolist()}
    ((red, green, blue),) = colours
    assert (max(red, green, blue), min(red, green, blue)) == (204, 102)  # 0.8 × 255, and half of it


def test_multiplied_strands_cover_as_layers_do() -> None:
    strand = np.full((4, 1, 8), 100, np.uint8)
    strand[3] = [0, 0, 0, 0, 128, 0, 0, 0]
    twice = Multiply(copies=(1, 1), shift=0.0).draw(Chance(0, 0, "test"))
    mirrored = twice.keywords["copies"][0][2]  # type: ignore[attr-defined]
    alpha = twice(strand)[3, 0]
    assert alpha.tolist() == ([0, 0, 0, 128, 128, 0, 0, 0] if mirrored else [0, 0, 0, 0, 192, 0, 0, 0])
    many = Multiply(copies=(3, 3)).draw(Chance(0, 1, "test"))(DISC)
    assert (many[3] >= DISC[3]).all()
    assert many[3].mean() > 1.2 * DISC[3].mean()


def test_a_foregrounds_kind_decides_what_is_done_to_it(tmp_path: Path) -> None:
    samples = [
        {"__key__": f"f{i}", "rgba.png": picture_bytes(disc_rgba(i, 40, 40)), "json": b'{"kind": "%s"}' % kind}
        for i, kind in enumerate((b"particle", b"hair"))
    ]
    write_shards(tmp_path / "foregrounds", samples)
    background_shards(tmp_path / "backgrounds")
    mixtures = [ShardMixture(f"{tmp_path}/{name}") for name in ("foregrounds", "backgrounds")]
    plain, tinted = (
        TrainingLayers(
            *mixtures,
            augmentation=Augmentation(second_foreground_probability=0.0, degradations=chosen),
            image_size=24,
            seed=0,
            cache=LocalCache(tmp_path / "cache"),
        )
        for chosen in ((), (Tint(probability=1.0, saturation=(0.5, 1.0)),))
    )
    for number in range(6):
        one, other = plain[number], tinted[number]
        assert torch.equal(one.alpha, other.alpha)
        assert torch.equal(one.foreground, other.foreground) == one.key.startswith("f1")


@pytest.mark.parametrize("path", [f"{__name__}.Invert", "drip_lightning.data.foreground_degradations.Multiply"])
def test_a_degradation_is_named_in_a_configuration(synth: Path, path: str) -> None:
    folders = {name: str(synth / name) for name in ("foregrounds", "backgrounds")}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(MattingDataModule, "data")
    section = {**folders, "image_size": 24, "augmentation": {"degradations": [{"class_path": path}]}}
    data = parser.instantiate_classes(parser.parse_object({"data": section})).data
    (degradation,) = data.augmentation.degradations
    assert f"{type(degradation).__module__}.{type(degradation).__name__}" == path
    plain = MattingDataModule(**folders, image_size=24).samples(range(2))
    batch = data.samples(range(2))
    if isinstance(degradation, Invert):
        assert (batch["image"] + plain["image"] - 1).abs().max() <= 1.01 / 255
    assert torch.equal(batch["background"], plain["background"])
