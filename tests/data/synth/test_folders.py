import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from drip_lightning.data.synth.contact_sheet import draw_contact_sheet
from drip_lightning.data.synth.families import FAMILIES, draw_foreground
from drip_lightning.data.synth.folders import synthesise
from drip_lightning.data.synth.samples import SynthSettings, composite, sample_members
from drip_lightning.data.synth.strands import _hair
from drip_lightning.data.synth.textures import draw_background, draw_texture
from drip_lightning.errors import InputError
from drip_lightning.ops.compositing import over

COUNTS = {"foregrounds": 9, "backgrounds": 5, "evaluation": 4}
SETTINGS = SynthSettings(size=48, seed=3)


def make(out, **changes):
    said = []
    options = {"counts": COUNTS, "settings": SETTINGS, "samples_per_shard": 4, "workers": 1, "say": said.append}
    return synthesise(out, **{**options, **changes}), said


def shard_bytes(out):
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


def picture(members, name):
    return np.asarray(Image.open(io.BytesIO(members[name])))


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    make(tmp_path / "one", workers=1)
    make(tmp_path / "two", workers=2)
    one, two = shard_bytes(tmp_path / "one"), shard_bytes(tmp_path / "two")
    assert one == two
    assert [name for name in one if name.startswith("foregrounds")] == [
        "foregrounds/index.json",
        *(f"foregrounds/shard-{shard:06d}.tar" for shard in range(3)),
    ]


def test_folders_hold_the_members_that_the_contract_names(tmp_path):
    make(tmp_path)
    expected = {
        "foregrounds": {"rgba.webp"},
        "backgrounds": {"jpg"},
        "evaluation": {"image.png", "trimap.png", "alpha.png", "fg.png"},
    }
    for split, members in expected.items():
        names = []
        for shard in sorted((tmp_path / split).glob("*.tar")):
            with tarfile.open(shard) as tar:
                names += [name.split(".", 1) for name in tar.getnames()]
        assert len({key for key, _ in names}) == COUNTS[split]
        assert sorted(extension for _, extension in names) == sorted([*members] * COUNTS[split])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_background_partial_values_and_a_core(family):
    coverages = []
    for number in range(16):
        colour, alpha = draw_foreground(family, 128, np.random.default_rng([number, 1]))
        assert (colour.shape, colour.dtype) == ((128, 128, 3), np.uint8)
        assert (alpha.shape, alpha.dtype) == ((128, 128), np.uint8)
        assert alpha.min() == 0
        assert np.mean((alpha > 0) & (alpha < 255)) > 0.005
        assert not FAMILIES[family].opaque_core or np.sum(alpha == 255) >= 25
        assert colour[alpha > 127].std(axis=0).max() > 1
        coverages.append(np.mean(alpha) / 255)
        assert 0.05 < coverages[-1] < 0.9
    assert 0.15 < np.mean(coverages) < 0.65


@pytest.mark.parametrize("family", FAMILIES)
def test_colour_is_straight_so_blurring_alpha_leaves_no_dark_fringe(family):
    """A premultiplied or black-padded colour would be far darker where alpha is small than where it is large."""
    darker = []
    for number in range(8):
        colour, alpha = draw_foreground(family, 96, np.random.default_rng([number, 2]))
        thin, thick = colour[(alpha > 0) & (alpha < 64)], colour[alpha > 191]
        if len(thin) and len(thick):
            darker.append(thin.mean() / thick.mean())
        assert colour[alpha == 0].mean() > 3
    assert np.median(darker) > 0.6


@pytest.mark.parametrize("number", range(len(FAMILIES)))
def test_evaluation_images_are_the_rounded_composite(number, monkeypatch):
    background = draw_background(64, np.random.default_rng(number))
    monkeypatch.setattr("drip_lightning.data.synth.samples.draw_background", lambda *_: background)
    members = sample_members("evaluation", number, SynthSettings(size=64))
    alpha = picture(members, "alpha.png")[..., None] / 255
    expected = np.round(255 * (alpha * (picture(members, "fg.png") / 255) + (1 - alpha) * (background / 255)))
    np.testing.assert_array_equal(picture(members, "image.png"), expected)


def test_composite_equals_over_to_the_last_bit():
    rng = np.random.default_rng(0)
    foreground, background = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (64, 64), dtype=np.uint8)
    planes = [torch.tensor(plane, dtype=torch.float64) / 255 for plane in (foreground, alpha[..., None], background)]
    expected = over(*(plane.permute(2, 0, 1)[None] for plane in planes))
    expected = (expected[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    np.testing.assert_array_equal(composite(foreground, alpha, background), expected)


def test_trimaps_are_certain_only_where_alpha_is():
    for number in range(len(FAMILIES)):
        members = sample_members("evaluation", number, SynthSettings(size=96))
        trimap, alpha = picture(members, "trimap.png"), picture(members, "alpha.png")
        assert set(np.unique(trimap)) <= {0, 128, 255}
        assert (alpha[trimap == 0] == 0).all()
        assert (alpha[trimap == 255] == 255).all()
        assert (trimap[(alpha > 0) & (alpha < 255)] == 128).all()


def test_straight_colour_survives_the_png_where_alpha_is_zero():
    members = sample_members("foregrounds", 0, SynthSettings(size=64))
    rgba = picture(members, "rgba.webp")
    assert rgba[rgba[..., 3] == 0][:, :3].std() > 0


def test_splits_and_seeds_share_no_picture():
    settings, other = SynthSettings(size=64), SynthSettings(size=64, seed=1)
    training = [picture(sample_members("foregrounds", number, settings), "rgba.webp") for number in range(14)]
    held_out = [sample_members("evaluation", number, settings) for number in range(14)]
    reseeded = [picture(sample_members("foregrounds", number, other), "rgba.webp") for number in range(14)]
    alphas = [rgba[..., 3].tobytes() for rgba in training + reseeded]
    alphas += [picture(members, "alpha.png").tobytes() for members in held_out]
    assert len(set(alphas)) == len(alphas)


def test_finished_folders_are_kept_and_damaged_ones_begun_anew(tmp_path):
    make(tmp_path)
    before = shard_bytes(tmp_path)
    (tmp_path / "backgrounds" / "index.json").unlink()
    (tmp_path / "backgrounds" / "shard-000000.tar").write_bytes(b"half")
    (tmp_path / "backgrounds" / "shard-000099.tar").write_bytes(b"left over")
    (tmp_path / "backgrounds" / "notes.txt").write_text("mine")
    folders, said = make(tmp_path)
    assert [folder.reused for folder in folders] == [True, False, True]
    assert [line.split()[0] for line in said] == ["reusing", "reusing"]
    assert shard_bytes(tmp_path) == {**before, "backgrounds/notes.txt": b"mine"}


def test_an_interrupted_run_leaves_no_index_and_goes_on(tmp_path, monkeypatch):
    def interrupted(split, number, settings):
        if number == 5:
            raise KeyboardInterrupt
        return sample_members(split, number, settings)

    with monkeypatch.context() as patch:
        patch.setattr("drip_lightning.data.synth.folders.sample_members", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "again")
    assert not (tmp_path / "again" / "foregrounds" / "index.json").exists()
    finished = tmp_path / "again" / "foregrounds" / "shard-000000.tar"
    written = finished.stat().st_mtime_ns
    with pytest.raises(InputError, match="begun with another argument"):
        make(tmp_path / "again", settings=SynthSettings(size=48, seed=4))
    make(tmp_path / "again")
    assert finished.stat().st_mtime_ns == written
    make(tmp_path / "straight")
    assert shard_bytes(tmp_path / "again") == shard_bytes(tmp_path / "straight")


def test_other_arguments_need_overwrite(tmp_path):
    make(tmp_path)
    before = shard_bytes(tmp_path)
    other = SynthSettings(size=48, seed=4)
    with pytest.raises(InputError, match="--overwrite or another OUT"):
        make(tmp_path, settings=other)
    assert shard_bytes(tmp_path) == before
    folders, _ = make(tmp_path, settings=other, overwrite=True)
    assert not any(folder.reused for folder in folders)
    assert json.loads((tmp_path / "foregrounds" / "index.json").read_text())["arguments"]["seed"] == 4


def test_a_folder_of_another_converter_is_never_overwritten(tmp_path):
    make(tmp_path)
    index_file = tmp_path / "foregrounds" / "index.json"
    index_file.write_text(json.dumps({**json.loads(index_file.read_text()), "converter": "rgba"}))
    before = shard_bytes(tmp_path)
    with pytest.raises(InputError, match="converter 'rgba'"):
        make(tmp_path, overwrite=True)
    assert shard_bytes(tmp_path) == before


def test_a_shard_cut_short_is_noticed(tmp_path):
    make(tmp_path)
    (tmp_path / "evaluation" / "shard-000000.tar").write_bytes(b"")
    with pytest.raises(InputError, match="cut short"):
        make(tmp_path)


def test_backgrounds_do_not_depend_on_the_families(tmp_path):
    make(tmp_path)
    counts = {"backgrounds": COUNTS["backgrounds"]}
    folders, _ = make(tmp_path, settings=SynthSettings(size=48, seed=3, families=("net",)), counts=counts)
    assert [(folder.path.name, folder.reused) for folder in folders] == [("backgrounds", True)]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"size": 8}, "size: expected 32"),
        ({"seed": -1}, "seed: expected 0"),
        ({"families": ("net", "hare")}, "no hare; there are solid"),
        ({"families": ()}, "no name given"),
    ],
)
def test_impossible_settings_are_refused(changes, complaint):
    with pytest.raises(InputError, match=complaint):
        SynthSettings(**changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"counts": {"foregrounds": -1}}, "foregrounds: expected 0"),
        ({"workers": 0}, "workers: expected 1"),
        ({"samples_per_shard": 0}, "samples per shard: expected 1"),
    ],
)
def test_impossible_counts_are_refused_before_anything_is_written(tmp_path, changes, complaint):
    with pytest.raises(InputError, match=complaint):
        make(tmp_path, **changes)
    assert not any(tmp_path.iterdir())


def test_unknown_family_is_refused():
    with pytest.raises(InputError, match="no family 'hare'"):
        draw_foreground("hare", 64, np.random.default_rng(0))


@pytest.mark.parametrize("size", [32, 200])
def test_backgrounds_vary_in_size_colour_and_structure(size):
    pictures = [draw_background(size, np.random.default_rng(number)) for number in range(24)]
    assert {picture.shape for picture in pictures} == {(size, size, 3)}
    assert min(picture.astype(float).std(axis=(0, 1)).max() for picture in pictures) > 2
    assert np.std([picture.mean(axis=(0, 1)) for picture in pictures], axis=0).min() > 20


def test_hair_is_thin_at_its_ends():
    """Half of the partly covered pixels of hair lie apart from the body, unlike those of a blob's outline."""
    _, alpha = _hair(256, np.random.default_rng(0), draw_texture)
    body = alpha == 255
    near = np.zeros_like(body)
    for rows in (-1, 0, 1):
        for columns in (-1, 0, 1):
            near |= np.roll(body, (rows, columns), (0, 1))
    partial = (alpha > 0) & ~body
    assert np.mean(~near[partial]) > 0.4


def test_contact_sheet_has_a_row_for_each_family():
    sheet = draw_contact_sheet(SynthSettings(size=64, families=("net", "smoke")), examples=2, tile=20)
    assert (sheet.shape, sheet.dtype) == ((40, 160, 3), np.uint8)
