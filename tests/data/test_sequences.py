from pathlib import Path

from drip_lightning.data.matte_jobs import find_jobs
from drip_lightning.data.sequences import natural, sequence_of
from tests.data.test_matte_jobs import touch


def test_names_are_sorted_as_people_count() -> None:
    names = ["f10", "f2", "f1/b10", "f1/b9", "e"]
    assert sorted(names, key=natural) == ["e", "f1/b9", "f1/b10", "f2", "f10"]


def test_a_pattern_stands_for_its_frames(tmp_path: Path) -> None:
    touch(tmp_path, "s.0002.png", "s.0010.png", "s.10000.png", "s.3.png", "t.0001.png", "s.0004.png.bak", "s_0005.png")
    assert sequence_of(tmp_path / "s.%04d.png") == {
        number: tmp_path / f"s.{number:04}.png" for number in (2, 10, 10000)
    }
    assert list(sequence_of(tmp_path / "s.%d.png") or ()) == [2, 3, 10, 10000]
    assert sequence_of(tmp_path / "s.0002.png") is None
    assert sequence_of(tmp_path / "nowhere" / "s.%d.png") is None


def test_frames_find_their_trimaps_by_number(tmp_path: Path) -> None:
    touch(tmp_path, *(f"s.{number}.exr" for number in (9, 10, 11)), *(f"t_{number:04}.png" for number in (9, 10)))
    found = find_jobs([tmp_path / "s.%d.exr"], tmp_path / "t_%04d.png", tmp_path / "out", guide_ending="_trimap")
    assert [(job.picture.name, job.guide.name, job.result.name) for job in found.jobs] == [
        ("s.9.exr", "t_0009.png", "s.9.png"),
        ("s.10.exr", "t_0010.png", "s.10.png"),
    ]
    assert [problem.reason for problem in found.problems] == [
        f"no frame 11 of {tmp_path}/t_%04d.png for {tmp_path}/s.11.exr"
    ]


def test_pictures_of_a_folder_come_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{folder}/{number}.png" for number in (10, 9, 1) for folder in "pt"))
    found = find_jobs([tmp_path / "p"], tmp_path / "t", tmp_path / "out", guide_ending="_trimap")
    assert [job.picture.stem for job in found.jobs] == ["1", "9", "10"]
