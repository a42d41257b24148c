from pathlib import Path

import numpy as np
import pytest

import drip_lightning.cli.main as command
from drip_lightning.cli.prepare import build_parser
from drip_lightning.data.convert.foregrounds import Foregrounds
from drip_lightning.data.convert.kinds import KINDS
from tests.data.convert.folders import ALPHA, COLOUR, discs, index, save


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_explains_itself(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.run(["prepare", kind, "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert said.startswith(f"usage: drip prepare {kind} ")
    assert "SOURCE " in said
    with pytest.raises(SystemExit):
        command.run(["prepare", "--help"])
    assert f"\n  {kind} " in capsys.readouterr().out


def test_the_options_are_the_kinds_own_and_so_are_their_defaults() -> None:
    for name, kind in KINDS.items():
        given = ["source", "voc", "out"] if name.endswith("-test") or name == "composites" else ["source", "out"]
        options = vars(build_parser().parse_args([name, *given]))
        made = kind(sources=(Path("source"), Path("voc"))[: len(given) - 1])
        assert {option: options[option] for option in made.arguments() if option in options} == {
            option: value for option, value in made.arguments().items() if option in options
        }


def test_foregrounds_of_several_folders_with_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, out = discs(tmp_path / "first", 2), tmp_path / "second", tmp_path / "out"
    save(second / "disc0.png", np.dstack([COLOUR, (ALPHA > 127) * np.uint8(255)]))
    for i in range(12):
        save(second / f"whole{i:02d}.png", COLOUR)
    given = ["prepare", "rgba", str(first), str(second), str(out), "--workers=1", "--licence=CC0", "--codec=png"]
    assert command.run(given) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "refused: 12 × no alpha channel"
    assert lines[1] == f"    {second}/whole00.png: its mode is RGB"
    assert lines[11] == "    … and 2 more, named in the index"
    assert lines[12].startswith("warning: 1 × binary matte (training on binary mattes destroys soft edges")
    assert lines[13] == f"    {second}/disc0.png"
    assert lines[14].startswith(f"wrote 3 of 15 foregrounds in {out} (1 shard, 0.0 MB)")
    assert len(lines) == 15
    assert said.err == ""
    found = index(out)
    assert (found["licence"], found["report"]["written"]) == ("CC0", 3)  # type: ignore[index]
    assert command.run(given) == 0
    assert capsys.readouterr().out.splitlines()[14].startswith("reusing 3 of 15 foregrounds")


def test_a_test_set_that_is_not_the_published_one_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("original", "mask", "trimap"):
        save(tmp_path / "s" / name / "a.png", COLOUR if name == "original" else ALPHA)
    given = ["prepare", "aim500", str(tmp_path / "s"), str(tmp_path / "out"), "--workers=1"]
    assert command.run(given) == 1
    assert capsys.readouterr().err == "drip prepare: the published set has 500, this one 1\n"


def test_estimating_is_an_option_of_rgba(tmp_path: Path) -> None:
    options = build_parser().parse_args(["rgba", "s", "out", "--estimate-foreground"])
    assert options.estimate_foreground != Foregrounds(sources=()).estimate_foreground


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["rgba", "nowhere", "out"], "no folder at nowhere"),
        (["triplets", "s", "out", "--trimap-radius=-1"], "--trimap-radius must not be negative, --each at least 1"),
        (["rgba", "nowhere", "out", "--workers=0"], "workers: expected 1 or more, got 0"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["prepare", *arguments]) == 1
    assert capsys.readouterr().err == f"drip prepare: {complaint}\n"


@pytest.mark.parametrize("arguments", [[], ["rgba"], ["cats", "s", "out"], ["rgba", "s", "out", "--codec=jpg"]])
def test_wrong_options_are_one_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.run(["prepare", *arguments])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_links_to_nothing_and_folders_named_as_pictures_cost_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = discs(tmp_path / "s", 2)
    (source / "gone.png").symlink_to(tmp_path / "nowhere")
    (source / "circle.png").symlink_to(source / "circle.png")
    save(source / "folder.png" / "inside.png", np.dstack([COLOUR, ALPHA[::-1]]))
    assert command.run(["prepare", "rgba", str(source), str(tmp_path / "out"), "--workers=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "refused: 2 × unreadable"
    assert lines[1].startswith(f"    {source}/circle.png: cannot be read (Too many levels")
    assert lines[2] == f"    {source}/gone.png: cannot be read (No such file or directory)"
    assert lines[3].startswith("wrote 3 of 5 foregrounds")
