from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drip_lightning.data.convert.composition1k import Composition1kTest, Distinctions646Test
from drip_lightning.data.convert.conversion import convert
from drip_lightning.errors import InputError
from tests.data.convert.folders import ALPHA, COLOUR, pictures, save
from tests.shards import disc_rgba


def adobe(folder: Path, foregrounds: int = 2) -> tuple[Path, Path]:
    """The data set and PASCAL VOC, as they are unpacked; the lists' lines end as on Windows."""
    test, voc = folder / "adobe" / "Combined_Dataset" / "Test_set", folder / "voc" / "VOCdevkit" / "VOC2012"
    objects, places = test / "Adobe-licensed images", [f"2008_{i:06d}.jpg" for i in range(20 * foregrounds)]
    names = [f"thing-{chr(ord('b') - i)}.png" for i in range(foregrounds)]  # not in alphabetical order
    for i, name in enumerate(names):
        save(objects / "fg" / name, disc_rgba(i, 20, 24)[..., :3].copy())
        save(objects / "alpha" / name, disc_rgba(i, 20, 24)[..., 3].copy())
        for k in range(20):
            trimap = np.full((20, 24), 128, np.uint8)
            trimap[0, : i * 20 + k] = 0  # tells which it is
            save(objects / "trimaps" / f"{name[:-4]}_{k}.png", trimap)
    for i, name in enumerate(places):
        save(voc / "JPEGImages" / name, np.full((30, 40, 3), 5 * i, np.uint8), quality=100)
    (test / "test_fg_names.txt").write_text("\r\n".join(names) + "\r\n")
    (test / "test_bg_names.txt").write_text("\r\n".join(places))
    return folder / "adobe", folder / "voc"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return adobe(tmp_path_factory.mktemp("published"))


def test_each_foreground_goes_over_its_twenty_backgrounds_with_its_trimaps(
    published: tuple[Path, Path], tmp_path: Path
) -> None:
    done = convert(Composition1kTest(sources=published), tmp_path / "out", workers=1)
    assert (done.report.written, done.report.refused) == (40, [])
    found = pictures(tmp_path / "out")
    for number in (0, 19, 20, 39):
        key = f"thing-{'b' if number < 20 else 'a'}_{number % 20}"
        rgba = disc_rgba(number // 20, 20, 24)
        assert (found[f"{key}.trimap.png"][0, :40] == 0).sum() == min(number, 24)
        assert (found[f"{key}.alpha.png"] == rgba[..., 3]).all()
        assert (found[f"{key}.fg.png"] == rgba[..., :3]).all()
        image = found[f"{key}.image.png"]
        assert (image[rgba[..., 3] == 0] == 5 * number).all()
        assert (image[rgba[..., 3] == 255] == rgba[..., :3][rgba[..., 3] == 255]).all()


def test_what_is_missing_is_told(published: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, voc = adobe(tmp_path, foregrounds=1)
    (voc / "VOCdevkit" / "VOC2012" / "JPEGImages" / "2008_000003.jpg").unlink()
    report = convert(Composition1kTest(sources=(dataset, voc)), tmp_path / "out", workers=1).report
    assert [(finding.file, finding.what) for finding in report.refused] == [("thing-b_3", "partner missing")]
    assert report.refused[0].detail.endswith("JPEGImages/2008_000003.jpg")
    test = dataset / "Combined_Dataset" / "Test_set"
    (test / "test_bg_names.txt").write_text("a.jpg\n")
    with pytest.raises(InputError, match="1 foregrounds and 1 backgrounds: expected 20 for each"):
        convert(Composition1kTest(sources=(dataset, voc)), tmp_path / "other", workers=1)
    (test / "test_bg_names.txt").unlink()
    with pytest.raises(InputError, match=r"test_bg_names\.txt, which says what belongs together, cannot be read"):
        convert(Composition1kTest(sources=(dataset, voc)), tmp_path / "other", workers=1)


@pytest.mark.parametrize("listed", [True, False])
def test_distinctions646(published: tuple[Path, Path], tmp_path: Path, listed: bool) -> None:
    test = tmp_path / "s" / "Test"
    for i, name in enumerate("ab"):
        save(test / "FG" / f"{name}.png", COLOUR + i)
        save(test / "GT" / f"{name}.png", ALPHA)
    (test / "bg_test.txt").write_text("\r\n".join(f"2008_{i:06d}.jpg" for i in range(40)))
    if listed:
        (test / "fg_test.txt").write_text("b.png\r\na.png\r\n")
    options: dict[str, Any] = {"sources": (tmp_path / "s", published[1])}
    with pytest.raises(InputError, match="ships no trimaps: give --trimap-radius"):
        convert(Distinctions646Test(**options), tmp_path / "out", workers=1)
    convert(Distinctions646Test(**options, trimap_radius=2), tmp_path / "out", workers=1)
    found = pictures(tmp_path / "out")
    assert (found[f"{'b' if listed else 'a'}_1.image.png"][ALPHA == 0] == 5).all()
    assert set(np.unique(found["a_1.trimap.png"])) == {0, 128, 255}
