from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data.convert.conversion import convert
from drip_lightning.data.convert.triplets import Aim500, Alphamatting, Triplets
from drip_lightning.data.decode import decode_evaluation
from drip_lightning.errors import InputError
from tests.data.convert.folders import ALPHA, COLOUR, members, pictures, save

TRIMAP = np.where(ALPHA == 255, 255, np.where(ALPHA == 0, 0, 128)).astype(np.uint8)


def triplet(folder: Path, name: str, *, image: str = "image", trimap: str = "trimap", alpha: str = "alpha") -> None:
    save(folder / image / f"{name}.png", COLOUR)
    save(folder / trimap / f"{name}.png", TRIMAP)
    save(folder / alpha / f"{name}.png", ALPHA)


def test_triplets_keep_every_value(tmp_path: Path) -> None:
    triplet(tmp_path / "s", "a")
    triplet(tmp_path / "s", "b")
    save(tmp_path / "s" / "fg" / "b.png", COLOUR)
    done = convert(Triplets(sources=(tmp_path / "s",)), tmp_path / "out", workers=1)
    found = pictures(tmp_path / "out")
    assert sorted(found) == sorted(
        [f"{key}.{member}.png" for key in "ab" for member in ("image", "trimap", "alpha")] + ["b.fg.png"]
    )
    for name, truth in (("image", COLOUR), ("trimap", TRIMAP), ("alpha", ALPHA)):
        assert (found[f"a.{name}.png"] == truth).all()
    # a test set is what it is: the twin is told of, not dropped
    assert [finding.what for finding in done.report.warned] == ["duplicate"]
    sample = {name[2:]: content for name, content in members(tmp_path / "out").items() if name[0] == "b"}
    assert decode_evaluation({"__key__": "b", **sample}).foreground is not None


def test_a_trimap_of_radius_one_by_hand(tmp_path: Path) -> None:
    """Unknown are the partial pixels, and what is within one pixel of where alpha leaves 0 or 255."""
    alpha = np.zeros((5, 12), np.uint8)
    alpha[:, 6] = 100
    alpha[:, 7:] = 255
    save(tmp_path / "s" / "image" / "a.png", np.zeros((5, 12, 3), np.uint8))
    save(tmp_path / "s" / "alpha" / "a.png", alpha)
    with pytest.raises(InputError, match="give --trimap-radius"):
        convert(Triplets(sources=(tmp_path / "s",)), tmp_path / "out", workers=1)
    convert(Triplets(sources=(tmp_path / "s",), trimap_radius=1), tmp_path / "out", workers=1)
    row = [0, 0, 0, 0, 0, 128, 128, 128, 255, 255, 255, 255]
    assert pictures(tmp_path / "out")["a.trimap.png"].tolist() == [row] * 5


def test_doubtful_trimaps(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for name, trimap in (
        ("good", TRIMAP),
        ("grey", np.where(TRIMAP == 128, 127, TRIMAP).astype(np.uint8)),
        ("contradiction", np.roll(TRIMAP, 5, axis=1)),
        ("known", np.where(ALPHA > 127, 255, 0).astype(np.uint8)),
    ):
        save(source / "image" / f"{name}.png", COLOUR + len(name))
        save(source / "alpha" / f"{name}.png", ALPHA)
        save(source / "trimap" / f"{name}.png", trimap)
    report = convert(Triplets(sources=(source,)), tmp_path / "out", workers=1).report
    assert [(finding.file.rsplit("/")[-1], finding.what) for finding in report.warned] == [
        ("contradiction.png", "trimap contradicts alpha"),
        ("grey.png", "trimap with other values than 0, 128, 255 (read as unknown)"),
    ]
    assert [finding.what for finding in report.refused] == ["nothing unknown in the trimap"]


def test_aim500(tmp_path: Path) -> None:
    triplet(tmp_path / "s" / "AIM-500", "o_1", image="original", alpha="mask")
    convert(Aim500(sources=(tmp_path / "s",)), tmp_path / "out", workers=1)
    assert sorted(pictures(tmp_path / "out")) == ["o_1.alpha.png", "o_1.image.png", "o_1.trimap.png"]


@pytest.mark.parametrize("unpacked", ["", "input_training_highres/"])
def test_alphamatting(tmp_path: Path, unpacked: str) -> None:
    source = tmp_path / "s"
    triplet(source, "GT01", image=f"input_training_highres/{unpacked}", alpha="gt_training_highres", trimap="unused")
    save(source / "trimap_training_highres" / "Trimap1" / "GT01.png", TRIMAP * 0)
    save(source / "trimap_training_highres" / "Trimap2" / "GT01.png", TRIMAP)
    kind = Alphamatting(sources=(source,), resolution="highres", trimap_set=2)
    convert(kind, tmp_path / "out", workers=1)
    assert (pictures(tmp_path / "out")["GT01.trimap.png"] == TRIMAP).all()
    with pytest.raises(InputError, match="has no folder trimap_training_lowres/"):
        convert(Alphamatting(sources=(source,)), tmp_path / "other", workers=1)


def test_the_file_to_blame_is_named(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for name in ("good", "torn", "gone", "coloured", "known"):
        triplet(source, name)
    alpha, trimap = source / "alpha", source / "trimap"
    (alpha / "torn.png").write_bytes((alpha / "torn.png").read_bytes()[:60])
    (trimap / "gone.png").unlink()
    (trimap / "gone.png").symlink_to(tmp_path / "nowhere")
    save(trimap / "coloured.png", COLOUR)
    save(trimap / "known.png", np.where(ALPHA > 127, 255, 0).astype(np.uint8))
    done = convert(Triplets(sources=(source,)), tmp_path / "out", workers=1)
    assert done.report.written == 1
    assert {finding.file: finding.what for finding in done.report.refused} == {
        str(alpha / "torn.png"): "unreadable",
        str(trimap / "gone.png"): "unreadable",
        str(trimap / "coloured.png"): "no mask, trimap or matte",
        str(trimap / "known.png"): "nothing unknown in the trimap",
    }


def test_maps_may_lie_as_their_picture_does_in_the_file(tmp_path: Path) -> None:
    source, exif = tmp_path / "s", Image.Exif()
    for name, orientation, lying in (("side", 6, True), ("seen", 6, False), ("head", 3, True)):
        exif[0x0112] = orientation
        save(source / "image" / f"{name}.png", COLOUR, exif=exif)
        for role, pixels in (("alpha", ALPHA), ("trimap", TRIMAP)):
            save(source / role / f"{name}.png", pixels if lying else np.rot90(pixels, -1).copy())
    done = convert(Triplets(sources=(source,)), tmp_path / "out", workers=1)
    found = pictures(tmp_path / "out")
    for name in ("side", "seen"):
        for role, pixels in (("image", COLOUR), ("alpha", ALPHA), ("trimap", TRIMAP)):
            assert (found[f"{name}.{role}.png"] == np.rot90(pixels, -1)).all()
    assert [(finding.file, finding.what) for finding in done.report.refused] == [
        (str(source / "image" / "head.png"), "rotated by EXIF")
    ]
