import unicodedata
from pathlib import Path

import pytest

from drip_lightning.data.matte_jobs import MatteJobs, find_jobs
from drip_lightning.errors import InputError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def find(tmp_path: Path, *pictures: str, guide: str = "masks", recursive: bool = True) -> MatteJobs:
    paths = [tmp_path / picture for picture in pictures or ("pictures",)]
    return find_jobs(paths, tmp_path / guide, tmp_path / "out", guide_ending="_mask", recursive=recursive)


def said(found: MatteJobs, tmp_path: Path) -> dict[str, tuple[str, str]]:
    """Picture to guide and result, below the folder."""
    return {
        str(job.picture.relative_to(tmp_path)): (
            str(job.guide.relative_to(tmp_path)),
            str(job.result.relative_to(tmp_path)),
        )
        for job in found.jobs
    }


def test_every_picture_of_a_folder_is_done_or_named(tmp_path: Path) -> None:
    names = ("a.jpg", "b.tif", "c.HEIC", "d.bmp", "e.gif", "f.avif")
    touch(tmp_path / "pictures", *names, "g.CR2", "h.psd", "notes.txt", "._a.jpg", ".hidden/x.png")
    touch(tmp_path / "masks", *(f"{name[0]}.png" for name in names))
    found = find(tmp_path)
    assert said(found, tmp_path) == {
        f"pictures/{name}": (f"masks/{name[0]}.png", f"out/{name[0]}.png") for name in names
    }
    assert [(problem.picture, problem.reason.split(" is of a kind")[0]) for problem in found.problems] == [
        (tmp_path / "pictures" / name, str(tmp_path / "pictures" / name)) for name in ("g.CR2", "h.psd")
    ]
    assert found.ignored == {".txt": 1}


def test_folders_in_folders_are_mirrored(tmp_path: Path) -> None:
    touch(tmp_path / "pictures", "a.jpg", "deep/er/a.jpg", "x.png/inside.jpg")
    touch(tmp_path / "masks", "a.png", "deep/er/a.png", "x.png/inside.png")
    (tmp_path / "pictures" / "circle").symlink_to(tmp_path / "pictures")
    assert said(find(tmp_path), tmp_path) == {
        "pictures/a.jpg": ("masks/a.png", "out/a.png"),
        "pictures/deep/er/a.jpg": ("masks/deep/er/a.png", "out/deep/er/a.png"),
        "pictures/x.png/inside.jpg": ("masks/x.png/inside.png", "out/x.png/inside.png"),
    }
    assert list(said(find(tmp_path, recursive=False), tmp_path)) == ["pictures/a.jpg"]


def test_results_below_the_pictures_are_no_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "masks/a.png", "out/a.png")
    assert "a.jpg" in said(find(tmp_path, "."), tmp_path)
    assert not [job for job in find(tmp_path, ".").jobs if "out" in job.picture.relative_to(tmp_path).parts]


def test_twins_are_kept_apart_by_their_suffixes(tmp_path: Path) -> None:
    touch(tmp_path / "pictures", "a.jpg", "A.png", "b.jpg")
    touch(tmp_path / "masks", "a.png", "A.png.png", "b.png")
    assert said(find(tmp_path), tmp_path) == {
        "pictures/a.jpg": ("masks/a.png", "out/a.jpg.png"),
        "pictures/A.png": ("masks/A.png.png", "out/A.png.png"),
        "pictures/b.jpg": ("masks/b.png", "out/b.png"),
    }


def test_names_are_the_same_however_their_accents_are_stored(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    touch(tmp_path, f"pictures/{decomposed}.jpg", f"masks/{composed}.png", f"more/{composed}.jpg", "masks/x.png")
    assert [job.guide.name for job in find(tmp_path).jobs] == [f"{composed}.png"]
    touch(tmp_path, f"others/{decomposed}.png")
    assert len(find(tmp_path, f"more/{composed}.jpg", guide="others").jobs) == 1


def test_a_missing_or_doubtful_guide_costs_its_picture(tmp_path: Path) -> None:
    touch(tmp_path / "pictures", "a.jpg", "b.jpg", "c.jpg")
    touch(tmp_path / "masks", "a.png", "c.png", "c.webp")
    found = find(tmp_path, "pictures", "nowhere.png")
    assert list(said(found, tmp_path)) == ["pictures/a.jpg"]
    masks, pictures = tmp_path / "masks", tmp_path / "pictures"
    assert [(problem.picture, problem.reason) for problem in found.problems] == [
        (tmp_path / "nowhere.png", f"no picture or folder at {tmp_path}/nowhere.png"),
        (pictures / "b.jpg", f"no trimap or mask named b in {masks} for {pictures}/b.jpg"),
        (pictures / "c.jpg", f"{masks}/c.png and {masks}/c.webp are both named c: keep one for {pictures}/c.jpg"),
    ]


def test_guides_may_lie_beside_the_pictures(tmp_path: Path) -> None:
    touch(tmp_path / "pictures", "a.jpg", "a_mask.png", "b.jpg", "unmask.jpg", "unmask_mask.jpg")
    found = find(tmp_path, guide="pictures")
    assert said(found, tmp_path) == {
        "pictures/a.jpg": ("pictures/a_mask.png", "out/a.png"),
        "pictures/unmask.jpg": ("pictures/unmask_mask.jpg", "out/unmask.png"),
    }
    (problem,) = found.problems
    assert problem.reason == f"no trimap or mask named b in {tmp_path}/pictures for {tmp_path}/pictures/b.jpg"


def test_one_guide_is_for_one_picture(tmp_path: Path) -> None:
    touch(tmp_path, "pictures/a.jpg", "pictures/b.jpg", "t.png")
    with pytest.raises(InputError, match=r"2 pictures but one trimap or mask .*t\.png"):
        find(tmp_path, guide="t.png")
