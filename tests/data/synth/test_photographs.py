import io

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data.synth.folders import synthesise
from drip_lightning.data.synth.photographs import draw_photograph, list_photographs, photographs_digest
from drip_lightning.data.synth.samples import SynthSettings, sample_members
from drip_lightning.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures, each of one grey: 0, 20, …, 220."""
    (tmp_path / "photographs" / "more").mkdir(parents=True)
    for number in range(12):
        place = tmp_path / "photographs" / ("more" if number % 2 else ".") / f"{number:02d}.PNG"
        Image.new("L", (40 + number, 50), 20 * number).save(place)
    (tmp_path / "photographs" / "notes.txt").write_text("no picture")
    return str(tmp_path / "photographs")


def greys(folder, *, held_out):
    drawn = [draw_photograph(folder, 16, np.random.default_rng(seed), held_out=held_out) for seed in range(80)]
    assert {picture.shape for picture in drawn} == {(16, 16, 3)}
    assert all(picture.min() == picture.max() for picture in drawn)
    return {int(picture[0, 0, 0]) for picture in drawn}


def test_training_and_evaluation_share_no_photograph(folder):
    training, held_out = greys(folder, held_out=False), greys(folder, held_out=True)
    assert len(held_out) == 2
    assert training | held_out == {20 * number for number in range(12)}
    assert not training & held_out


def test_a_cut_lies_within_its_photograph(tmp_path):
    x = np.linspace(0, 255, 200).astype(np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.broadcast_to(x, (80, 200)).copy()).save(tmp_path / name)
    for seed in range(20):
        cut = draw_photograph(str(tmp_path), 40, np.random.default_rng(seed), held_out=True).astype(int)
        slope = (cut[0, -3, 0] - cut[0, 2, 0]) / 35 * 40
        assert 0.45 * 80 / 200 * 255 < slope < 1.05 * 80 / 200 * 255


def test_synth_cuts_both_kinds_of_background_from_them(folder, tmp_path):
    settings = SynthSettings(size=32, families=("solid",), photographs=folder)
    counts = {"foregrounds": 1, "backgrounds": 2, "evaluation": 1}
    synthesise(tmp_path / "out", counts=counts, settings=settings, workers=1, say=print)
    assert settings.arguments("backgrounds")["photographs"] == photographs_digest(folder)
    assert "photographs" not in settings.arguments("foregrounds")


def test_every_other_object_wears_a_photograph_and_held_out_ones_their_own(folder, tmp_path):
    settings = SynthSettings(size=32, families=("solid",), textures=folder)
    worn = {}
    for split in ("foregrounds", "evaluation"):
        colours = []
        for number in range(24):
            members = sample_members(split, number, settings)
            colours.append(np.asarray(Image.open(io.BytesIO(members.get("rgba.webp") or members["fg.png"])))[..., :3])
        flat = [colour for colour in colours if colour.min() == colour.max()]  # drawn textures vary
        assert 6 < len(flat) < 18
        worn[split] = {int(colour[0, 0, 0]) for colour in flat}
    assert worn["evaluation"] == greys(folder, held_out=True)
    assert worn["foregrounds"] <= greys(folder, held_out=False)
    assert settings.arguments("foregrounds")["textures"] == photographs_digest(folder)
    assert "textures" not in settings.arguments("backgrounds")


def test_too_few_photographs_and_a_broken_one_are_told_by_name(tmp_path):
    with pytest.raises(InputError, match="at least 2 pictures"):
        list_photographs(str(tmp_path))
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (broken / name).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"[ab]\.jpg"):
        draw_photograph(str(broken), 16, np.random.default_rng(0), held_out=False)


def test_a_truncated_photograph_is_named_once_and_passed_over(folder, caplog):
    torn = sorted(list_photographs(folder))[4]
    torn.write_bytes(torn.read_bytes()[:-30])
    (torn.parent / "._a.png").write_bytes(b"of another system")
    (torn.parent / "z.png").symlink_to(torn.parent / "nowhere")
    moving = sorted(list_photographs(folder))[6]
    pages = [Image.new("L", (64, 64), level) for level in (3, 4)]
    pages[0].save(moving, save_all=True, append_images=pages[1:])
    list_photographs.cache_clear()
    seen = greys(folder, held_out=False) | greys(folder, held_out=True)
    assert len(seen) == 10
    said = {str(torn): " cannot be decoded: ", str(moving): " has 2 frames or pages: give a file of each: "}
    assert len(caplog.messages) == 2
    for message in caplog.messages:
        assert any(message.startswith(file + reason) for file, reason in said.items())
        assert message.endswith("passed over")
