import subprocess
import sys
from pathlib import Path

import pytest

import drip_lightning.cli.main as command
from drip_lightning.cli.data.main import ACTIONS
from tests.shards import background_shards, evaluation_shards, foreground_shards


@pytest.mark.parametrize("action", ACTIONS)
def test_the_help_of_every_action_is_quick_and_imports_nothing_heavy(action: str) -> None:
    program = (
        "import sys, drip_lightning.cli.main as command\n"
        "try: status = command.run(['data', sys.argv[1], '--help'])\n"
        "except SystemExit as stop: status = stop.code\n"
        "heavy = {'torch', 'numpy', 'lightning', 'jsonargparse', 'webdataset', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else status)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, action], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: drip data {action}")


def test_the_help_names_every_action(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["data", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {action} " in said for action in ACTIONS)


def test_nothing_to_do_and_an_unknown_action(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["data"]) == 2
    assert capsys.readouterr().out.startswith("usage: drip data")
    assert command.run(["data", "mend"]) == 2
    assert capsys.readouterr().err.startswith("drip data: no action 'mend', expected one of check")


def test_check_of_sound_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    makers = (foreground_shards, background_shards, evaluation_shards)
    folders = [maker(tmp_path / maker.__name__) for maker in makers]
    assert command.run(["data", "check", *folders]) == 0
    said = capsys.readouterr()
    assert [line.split(": ")[1].split(" sound")[0] for line in said.out.splitlines()] == [
        "7 of 7 samples",
        "5 of 5 samples",
        "3 of 3 samples",
    ]
    assert said.err == ""


def test_check_of_a_damaged_folder_fails_with_a_line_for_each_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(foreground_shards(tmp_path / "set"))
    (folder / "shard-000001.tar").unlink()
    (folder / "shard-000009.tar").write_bytes(b"")
    assert command.run(["data", "check", str(folder)]) == 1
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert first == f"drip data check: {folder / 'shard-000009.tar'} is not in the index"
    assert "shard-000001.tar cannot be read after 0 of 3 samples" in second
    assert said.out.endswith("2 damages\n")
    assert "4 of 7 samples sound" in said.out


def test_check_without_an_index_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["data", "check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"drip data: {tmp_path} is empty")
    assert command.run(["data", "check", str(tmp_path), "--workers=0"]) == 1
    assert capsys.readouterr().err == "drip data: --workers: expected 1 or more, got 0\n"
