import errno
import hashlib
import os
import random
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from drip_lightning.errors import InputError, RunError
from drip_lightning.lit.resume import checkpoint_io
from drip_lightning.lit.resume.checkpoint_io import (
    checkpoint_to_resume_from,
    checkpoints_in,
    newest_checkpoint,
    read_checkpoint,
    remove_partial_files,
    write_checkpoint,
)

CHECKPOINT = {"drip": {"format": 2}, "weights": torch.arange(5000.0), "names": ["a", ("b", None)], "step": 3}


class _Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with checkpoints of steps 2, 4 and 10."""
    for step in (10, 2, 4):
        write_checkpoint(CHECKPOINT | {"step": step}, tmp_path / "checkpoints" / f"step={step:07d}.ckpt")
    return tmp_path


def test_round_trip(tmp_path: Path) -> None:
    write_checkpoint(CHECKPOINT, tmp_path / "new" / "one.ckpt")
    found = read_checkpoint(tmp_path / "new" / "one.ckpt")
    assert torch.equal(found.pop("weights"), CHECKPOINT["weights"])
    assert found == {name: value for name, value in CHECKPOINT.items() if name != "weights"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.ckpt"]


def test_the_file_is_a_zip_archive_whose_comment_is_the_hash_of_all_before_it(tmp_path: Path) -> None:
    write_checkpoint(CHECKPOINT, tmp_path / "one.ckpt")
    content = (tmp_path / "one.ckpt").read_bytes()
    kind, digest = zipfile.ZipFile(tmp_path / "one.ckpt").comment.decode().split(":")
    assert (kind, digest) == ("sha256", hashlib.sha256(content[: -2 - len("sha256:") - 64]).hexdigest())
    assert torch.load(tmp_path / "one.ckpt", weights_only=True)["step"] == 3


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "one.ckpt"
    write_checkpoint(CHECKPOINT, path)
    whole, choose = path.read_bytes(), random.Random(0)
    places = [*range(16), *range(len(whole) - 100, len(whole)), *(choose.randrange(len(whole)) for _ in range(200))]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << choose.randrange(8)
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"cannot read checkpoint {path}: damaged"):
            read_checkpoint(path)


def test_torch_alone_would_not_find_it(tmp_path: Path) -> None:
    """Why there is a checksum; if this fails, torch has learnt it."""
    path = tmp_path / "one.ckpt"
    write_checkpoint(CHECKPOINT, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["weights"], CHECKPOINT["weights"])


@pytest.mark.parametrize("length", [0, 1, 30, 1000, -1, -70, -74, -95])
def test_a_file_cut_off_anywhere_is_found(tmp_path: Path, length: int) -> None:
    path = tmp_path / "one.ckpt"
    write_checkpoint(CHECKPOINT, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=f"cannot read checkpoint {path}: damaged"):
        read_checkpoint(path)


def test_a_plain_file_of_torch_is_read(tmp_path: Path) -> None:
    torch.save(CHECKPOINT, tmp_path / "one.ckpt")
    assert read_checkpoint(tmp_path / "one.ckpt")["step"] == 3


def test_what_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    write_checkpoint({"drip": _Evil(str(tmp_path / "proof"))}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="damaged, or not a checkpoint"):
        read_checkpoint(tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="none of the 1 checkpoints"), pytest.warns(UserWarning, match="evil"):
        newest_checkpoint(tmp_path)
    assert not (tmp_path / "proof").exists()


def test_the_newest_is_the_one_of_most_steps(folder: Path) -> None:
    assert [file.stem for file in checkpoints_in(folder)] == ["step=0000010", "step=0000004", "step=0000002"]
    assert newest_checkpoint(folder) == newest_checkpoint(folder / "checkpoints") == checkpoints_in(folder)[0]
    os.utime(folder / "checkpoints" / "step=0000002.ckpt")
    assert newest_checkpoint(folder) == checkpoints_in(folder)[0]


@pytest.mark.parametrize("kind", ["cut", "flipped", "foreign", "text"])
def test_a_damaged_file_is_named_and_the_one_before_it_used(folder: Path, kind: str) -> None:
    newest, before, _ = checkpoints_in(folder)
    content = newest.read_bytes()
    flipped = content[:9000] + bytes([content[9000] ^ 1]) + content[9001:]
    newest.write_bytes({"cut": content[:9000], "flipped": flipped, "text": b"hello"}.get(kind, b""))
    if kind == "foreign":
        torch.save({"state_dict": {}}, newest)
    with pytest.warns(UserWarning, match=rf"{newest}.*; looking for the one before it"):
        assert newest_checkpoint(folder) == before
    with pytest.warns(UserWarning, match=str(newest)):
        assert checkpoint_to_resume_from("auto", folder / "checkpoints") == before


def test_no_sound_checkpoint_is_no_fresh_start(folder: Path) -> None:
    for file in checkpoints_in(folder):
        file.write_bytes(b"")
    complaint = r"none of the 3 checkpoints in .* can be used"
    with pytest.warns(UserWarning, match="looking for"), pytest.raises(InputError, match=complaint):
        checkpoint_to_resume_from("auto", folder / "checkpoints")


def test_a_folder_without_checkpoints_is_a_fresh_start(tmp_path: Path) -> None:
    assert checkpoint_to_resume_from("auto", tmp_path) is None
    assert checkpoint_to_resume_from(None, tmp_path / "nowhere") is None


def test_what_a_killed_run_was_writing_is_no_checkpoint_and_removed(folder: Path) -> None:
    partial = folder / "checkpoints" / "step=0000020.ckpt.partial"
    partial.write_bytes(b"half")
    assert len(checkpoints_in(folder)) == 3
    remove_partial_files(folder / "checkpoints")
    assert not partial.exists()
    assert len(checkpoints_in(folder)) == 3


def test_a_failing_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.ckpt"
    write_checkpoint(CHECKPOINT, path)

    def full(self: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def reads_back_something_else(file: object) -> str:
        return "its checksum differs"

    for place, name, what, complaint in (
        (os, "fsync", full, "No space left on device; free some space"),
        (checkpoint_io, "_complaint", reads_back_something_else, "the disk does not keep what is written"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, what if place is checkpoint_io else lambda descriptor: full(None, b""))
            with pytest.raises(RunError, match=complaint):
                write_checkpoint(CHECKPOINT | {"step": 4}, path)
        assert [file.name for file in tmp_path.iterdir()] == ["one.ckpt"]
        assert read_checkpoint(path)["step"] == 3


def test_a_full_disk_is_told_in_one_line_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    """On a file system of 64 KiB: the second checkpoint of 40 KiB finds no room."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted by root: " + mounted.stderr.decode().strip())
    try:
        small = CHECKPOINT | {"weights": torch.zeros(10000)}
        write_checkpoint(small, tmp_path / "step=0000001.ckpt")
        with pytest.raises(RunError, match=r"step=0000002\.ckpt: No space left on device; free some space") as error:
            write_checkpoint(small, tmp_path / "step=0000002.ckpt")
        assert "\n" not in str(error.value)
        assert [file.name for file in tmp_path.iterdir()] == ["step=0000001.ckpt"]
        assert read_checkpoint(newest_checkpoint(tmp_path))["step"] == 3
    finally:
        subprocess.run(["umount", tmp_path], check=True)
