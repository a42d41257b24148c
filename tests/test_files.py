import os
import subprocess
import sys
from pathlib import Path

import pytest

from drip_lightning import files
from drip_lightning.files import lock, whole_file, whole_folder, write_text_whole


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")
    with whole_file(path) as partial:
        assert partial.suffix == ".png"
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("old")

    def fail_halfway() -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_the_name_and_the_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    replace = os.replace

    def forced(descriptor: int) -> None:
        happened.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")

    def renamed(source: Path, target: Path) -> None:
        happened.append(f"rename to {target.name}")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", forced)
    monkeypatch.setattr(files.os, "replace", renamed)
    write_text_whole(tmp_path / "notes", "ä")
    assert happened == ["fsync .partial-notes", "rename to notes", f"fsync {tmp_path.name}"]
    assert (tmp_path / "notes").read_bytes() == "ä".encode()

    happened.clear()
    with whole_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("1")
    assert happened == ["fsync weights", "fsync .model.partial", "rename to model", f"fsync {tmp_path.name}"]


def test_a_folder_replaces_an_older_one_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with whole_folder(tmp_path / "out") as folder:
            (folder / name).touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["second"]
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out") as folder:
        raise ZeroDivisionError
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "second"]


def test_files_of_a_folder_have_the_mode_of_any_new_file(tmp_path: Path) -> None:
    for umask, expected in ((0o022, 0o644), (0o007, 0o660)):
        before = os.umask(umask)
        try:
            with whole_folder(tmp_path / "out") as folder:
                os.close(os.open(folder / "weights", os.O_CREAT, 0o600))  # as safetensors does
        finally:
            os.umask(before)
        assert (tmp_path / "out" / "weights").stat().st_mode & 0o777 == expected


def test_a_folder_that_was_moved_aside_by_a_killed_process_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".out.former").mkdir()
    (tmp_path / ".out.former" / "kept").touch()
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out"):
        raise ZeroDivisionError
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "kept"]


@pytest.mark.parametrize("name", ["lock", "."])
def test_a_lock_is_held_by_one_and_free_when_its_holder_is_killed(tmp_path: Path, name: str) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from drip_lightning.files import lock\n"
        "with lock(Path(sys.argv[1]), wait=True) as held: print(held, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path / name], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with lock(tmp_path / name, wait=False) as held:
            assert not held
        holder.kill()
        with lock(tmp_path / name, wait=True) as held:
            assert held
