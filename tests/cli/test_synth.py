import subprocess
import sys

import pytest

from drip_lightning.cli.synth import _families, build_parser, main
from drip_lightning.data.synth.samples import SynthSettings
from drip_lightning.errors import InputError

SMALL = ["--foregrounds", "2", "--backgrounds", "1", "--evaluation", "1", "--size", "32", "--workers", "1"]


def test_makes_three_folders_and_says_what_next(tmp_path, capsys):
    assert main([str(tmp_path), *SMALL]) == 0
    said = capsys.readouterr().out
    for name in ("foregrounds", "backgrounds", "evaluation"):
        assert (tmp_path / name / "index.json").is_file()
        assert str(tmp_path / name) in said
    assert "drew 4 samples" in said
    assert "next:" in said


def test_the_second_run_reuses(tmp_path, capsys):
    main([str(tmp_path), *SMALL])
    capsys.readouterr()
    assert main([str(tmp_path), *SMALL]) == 0
    said = capsys.readouterr().out
    assert said.count("reusing") == 3
    assert "drew" not in said


def test_defaults_are_those_of_the_library():
    options = build_parser().parse_args(["out"])
    defaults = SynthSettings()
    assert (options.size, options.seed) == (defaults.size, defaults.seed)
    assert _families(options.mix) == defaults.families


def test_a_mix_spreads_each_kind_evenly_over_the_turns():
    assert _families("net,solid") == ("net", "solid")
    assert _families("strands:2, net") == ("strands", "net", "strands")
    assert _families("smoke:4,net:2") == ("smoke", "net", "smoke", "smoke", "net", "smoke")


def test_contact_sheet_alone(tmp_path):
    sheet = tmp_path / "sheets" / "sheet.jpg"
    none = ["--foregrounds", "0", "--backgrounds", "0", "--evaluation", "0", "--size", "32"]
    assert main([str(tmp_path / "out"), *none, "--mix", "net,solid", "--contact-sheet", str(sheet)]) == 0
    assert sheet.stat().st_size > 1000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--size", "4"], "size: expected"),
        (["--mix", "net,hare"], "no hare"),
        (["--mix", "net:0"], "from 1 to 100, got 'net:0'"),
        (["--mix", "net:many"], "from 1 to 100, got 'net:many'"),
        (["--photographs", "nowhere"], "no folder nowhere"),
        (["--contact-sheet", "sheet.docx"], "ends in .jpg or .png"),
    ],
)
def test_impossible_values_are_one_line(tmp_path, arguments, complaint):
    with pytest.raises(InputError, match=complaint) as error:
        main([str(tmp_path / "out"), *arguments])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["out", "--size", "big"], ["out", "--colour", "red"]])
def test_wrong_options_exit_with_status_2_and_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_explains_and_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from drip_lightning.cli.synth import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "assert not {'torch', 'numpy', 'webdataset'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for word in ("no download and no licence", "--foregrounds", "(default: 1000)", "example:", "solid,motion"):
        assert word in done.stdout


def test_a_file_where_a_folder_is_meant_and_the_reverse_are_found_before_anything_is_drawn(tmp_path, monkeypatch):
    def draw(*arguments, **options):
        raise AssertionError("drawn")

    monkeypatch.setattr("drip_lightning.data.synth.contact_sheet.draw_contact_sheet", draw)
    (tmp_path / "file").touch()
    for place, complaint in (
        (tmp_path / "file", f"OUT {tmp_path}/file is a file: name a folder"),
        (tmp_path / "file" / "deeper", rf"cannot make the folder OUT {tmp_path}/file/deeper \(Not a directory\)"),
    ):
        with pytest.raises(InputError, match=complaint):
            main([str(place), "--foregrounds=1", "--backgrounds=0", "--evaluation=0", "--size=32"])
    (tmp_path / "sheet.jpg").mkdir()
    for name, complaint in (
        ("sheet.jpg", "is a folder: name a file"),
        ("file/sheet.jpg", r"cannot be written \((Not a directory|File exists)\)"),
    ):
        with pytest.raises(InputError, match=f"contact sheet {tmp_path}/{name} {complaint}"):
            main([str(tmp_path / "out"), f"--contact-sheet={tmp_path / name}"])
    assert not (tmp_path / "out").exists()
