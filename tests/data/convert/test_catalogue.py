import json
from pathlib import Path

import pytest

from drip_lightning.data.convert.backgrounds import Backgrounds
from drip_lightning.data.convert.catalogue import Choice
from drip_lightning.data.convert.composites import Composites
from drip_lightning.data.convert.conversion import convert
from drip_lightning.data.convert.foregrounds import Foregrounds
from drip_lightning.errors import InputError
from tests.data.convert.folders import COLOUR, discs, index, members, pictures, save


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    """Eight listed discs, hair and smoke in turn, one that is not listed, and two backgrounds."""
    discs(tmp_path / "foregrounds", 9)
    for i in range(2):
        save(tmp_path / "backgrounds" / f"place{i}.png", COLOUR + i)
    kinds = [
        f'foregrounds/disc{i}.png,{("hair", "smoke")[i % 2]},"here, there",{["CC0", "MIT"][i % 2]},Ann'
        for i in range(8)
    ]
    places = [f"backgrounds/place{i}.png,photograph,there,CC0,Bob" for i in range(2)]
    (tmp_path / "list.csv").write_text("\n".join(["file,kind,source,licence,attribution", *kinds, *places]) + "\n")
    return tmp_path


def _keys(choice: Choice, mix: Path) -> list[str]:
    return [job.key for job in Foregrounds(sources=(mix / "foregrounds",), choice=choice).find().jobs]


def test_what_the_list_says_is_in_each_sample_and_counted_in_the_index(mix: Path) -> None:
    choice = Choice(catalogue=mix / "list.csv", kinds=("hair",))
    done = convert(Foregrounds(sources=(mix / "foregrounds",), choice=choice), mix / "out", workers=1)
    assert done.report.written == 4
    assert [(refused.file, refused.what) for refused in done.report.refused] == [
        (f"{mix}/foregrounds/disc8.png", "not in the list")
    ]
    facts = json.loads(members(mix / "out")["disc2.json"])
    assert facts["source"] == f"{mix}/foregrounds/disc2.png"
    del facts["source"], facts["pixels"]
    assert facts == {"kind": "hair", "origin": "here, there", "licence": "CC0", "attribution": "Ann"}
    found = index(mix / "out")
    assert found["arguments"]["credits"] == [{**facts, "files": 4}]  # type: ignore[index]
    assert (found["arguments"]["kinds"], found["licence"]) == (["hair"], "CC0")  # type: ignore[index]


def test_the_splits_are_complements_and_stay_when_pictures_go(mix: Path) -> None:
    parts = [_keys(Choice(split=split, hold_out=3), mix) for split in ("train", "held-out")]
    assert sorted(parts[0] + parts[1]) == [f"disc{i}" for i in range(9)]
    assert all(parts)
    gone = parts[1][0]
    (mix / "foregrounds" / f"{gone}.png").unlink()
    assert _keys(Choice(split="held-out", hold_out=3), mix) == parts[1][1:]
    assert _keys(Choice(split="train", hold_out=3), mix) == parts[0]


def test_at_most_so_many_of_each_kind(mix: Path) -> None:
    keys = _keys(Choice(catalogue=mix / "list.csv", per_kind=3), mix)
    assert sorted(int(key[-1]) % 2 for key in keys) == [0, 0, 0, 1, 1, 1]


def test_composites_take_a_choice_of_either_and_resize_the_foreground(mix: Path) -> None:
    choice = Choice(catalogue=mix / "list.csv", kinds=("smoke",))
    kind = Composites(
        sources=(mix / "foregrounds", mix / "backgrounds"),
        side=48,
        choice=choice,
        background_choice=Choice(catalogue=mix / "list.csv", kinds=("photograph",)),
    )
    assert convert(kind, mix / "out", workers=1).report.written == 4
    found = pictures(mix / "out")
    assert [max(picture.shape) for name, picture in found.items() if name.endswith("image.png")] == [48] * 4
    facts = json.loads(members(mix / "out")["disc1.json"])
    assert (facts["kind"], facts["background"]["attribution"]) == ("smoke", "Bob")
    assert index(mix / "out")["licence"] == "CC0; MIT"


def test_choosing_nothing_changes_no_index(mix: Path) -> None:
    convert(Backgrounds(sources=(mix / "backgrounds",)), mix / "out", workers=1)
    assert set(index(mix / "out")["arguments"]) == {"sources", "samples_per_shard", "bytes_per_shard", "files"}  # type: ignore[call-overload]
    assert "licence" not in index(mix / "out")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kinds": ("hair",)}, r"^--kinds needs --list"),
        ({"hold_out": 1}, r"^--hold-out: expected 2 or more"),
        ({"catalogue": Path("nowhere.csv")}, r"^--list nowhere\.csv cannot be read"),
    ],
)
def test_an_impossible_choice_is_refused(options: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Choice(**options)


def test_a_kind_that_is_not_in_the_list_and_a_list_without_files_are_refused(mix: Path) -> None:
    with pytest.raises(InputError, match=r"no fur in .*list\.csv; there are hair, photograph, smoke$"):
        Choice(catalogue=mix / "list.csv", kinds=("fur",))
    (mix / "list.csv").write_text("name,kind\na,b\n")
    with pytest.raises(InputError, match="expected a CSV file with a column `file`"):
        Choice(catalogue=mix / "list.csv")
