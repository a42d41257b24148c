import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drip_lightning.data.convert import conversion
from drip_lightning.data.convert.conversion import Conversion, convert
from drip_lightning.data.convert.foregrounds import Foregrounds
from drip_lightning.data.convert.outcome import Sample
from drip_lightning.data.convert.sources import ConversionJob, Finding
from drip_lightning.data.shards.writer import ShardWriter
from drip_lightning.errors import InputError, RunError
from tests.data.convert.folders import discs, everything, index, members, save
from tests.shards import disc_rgba, write_shards


def prepare(source: Path, out: Path, **options: Any) -> Conversion:
    codec = options.pop("codec", "png")
    kind = Foregrounds(sources=(source,), codec=codec)
    return convert(kind, out, **{"samples_per_shard": 3, "workers": 1, **options})


def test_index_has_counts_hashes_licence_arguments_and_report(tmp_path: Path) -> None:
    source = discs(tmp_path / "source", 7)
    save(source / "again.png", disc_rgba(2, 22, 24))
    (source / "notes.TXT").write_text("no picture")
    done = prepare(source, tmp_path / "out", licence="mine")
    found = index(tmp_path / "out")
    assert found["licence"] == done.index.licence == "mine"
    assert found["converter"] == "prepare rgba"
    assert found["arguments"]["samples_per_shard"] == 3  # type: ignore[index]
    assert [shard.samples for shard in done.index.shards] == [3, 3, 1]
    assert found["report"] == {
        "listed": 8,
        "written": 7,
        "ignored": {".txt": 1},
        "refused": {"duplicate": 1},
        "refused_files": [[f"{source}/disc2.png", "duplicate", f"the same picture as {source}/again.png"]],
        "warned": {},
        "warned_files": [],
    }
    assert not list((tmp_path / "out").glob("*.partial"))


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    source = discs(tmp_path / "source", 7)
    prepare(source, tmp_path / "one", workers=1)
    prepare(source, tmp_path / "two", workers=2)
    assert everything(tmp_path / "one") == everything(tmp_path / "two")


@pytest.mark.parametrize("stop", range(1, 9))
def test_interrupted_anywhere_it_goes_on_to_the_same_bytes(
    tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among the files are a duplicate of a finished shard's picture, and a refused one at a shard's end."""
    source = discs(tmp_path / "source", 7)
    save(source / "disc3a.png", disc_rgba(0, 20, 24))
    save(source / "disc2a.png", disc_rgba(0, 20, 24)[..., :3].copy())
    prepare(source, tmp_path / "whole")
    converted: list[str] = []
    outcome = conversion.attempt

    def counting(kind: Foregrounds, job: ConversionJob) -> Sample | Finding:
        converted.append(job.key)
        if len(converted) == stop:
            raise KeyboardInterrupt
        return outcome(kind, job)

    monkeypatch.setattr(conversion, "attempt", counting)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out")
    assert not list(tmp_path.glob("out/*.tar.partial"))
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*.tar")}
    first, converted[:] = list(converted), []
    stop = 0
    prepare(source, tmp_path / "out")
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(converted) < 9 or len(finished) == 0
    assert len(first) + len(converted) <= 9 + 5  # only what was not in a finished shard is made twice


@pytest.mark.slow
def test_killed_at_any_instant_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    source = discs(tmp_path / "source", 40)
    prepare(source, tmp_path / "whole", samples_per_shard=2)
    command = [sys.executable, "-m", "tests.data.convert.slow_prepare", str(source), str(tmp_path / "out")]
    kills = 0
    for wait in (0.03, 0.11):
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(wait)
        kills += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert kills
    prepare(source, tmp_path / "out", samples_per_shard=2)
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def test_a_finished_folder_is_reused_and_other_arguments_are_refused(tmp_path: Path) -> None:
    source, out = discs(tmp_path / "source", 2), tmp_path / "out"
    first = prepare(source, out)
    before = everything(out)
    again = prepare(source, out)
    assert (first.reused, again.reused) == (False, True)
    assert again.report == first.report
    for change, complaint in (({"codec": "webp"}, "codec: png then, webp now"), ({"samples_per_shard": 4}, "3 then")):
        with pytest.raises(InputError, match=complaint):
            prepare(source, out, **change)
    save(source / "new.png", disc_rgba(9, 20, 24))
    with pytest.raises(InputError, match="other arguments \\(files: "):
        prepare(source, out)
    assert everything(out) == before


def test_a_begun_folder_with_other_arguments_is_refused(tmp_path: Path) -> None:
    source, out = discs(tmp_path / "source", 5), tmp_path / "out"

    def advance(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, advance=advance)
    assert sorted(path.name for path in out.iterdir()) == ["index.json.partial", "shard-000000.tar"]
    with pytest.raises(InputError, match=r"begun with another argument \(codec: png then, webp now\)"):
        prepare(source, out, codec="webp")
    (out / "shard-000000.tar").write_bytes(b"short")
    with pytest.raises(InputError, match=r"shard-000000\.tar is missing or cut short: remove"):
        prepare(source, out)


@pytest.mark.parametrize("place", [".", "out", "deep/out"])
def test_out_in_the_source_is_refused(tmp_path: Path, place: str) -> None:
    source = discs(tmp_path / "source", 1)
    with pytest.raises(InputError, match="lies in the source"):
        prepare(source, source / place)
    assert [path.name for path in source.iterdir()] == ["disc0.png"]


def test_out_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    source, out = discs(tmp_path / "source", 1), tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("…")
    with pytest.raises(InputError, match=r"holds other files \(thesis\.tex\)"):
        prepare(source, out)
    with pytest.raises(InputError, match="is a file"):
        prepare(source, out / "thesis.tex")
    assert everything(out) == {"thesis.tex": "…".encode()}
    write_shards(tmp_path / "synth", [{"__key__": "a", "jpg": b"x"}])
    with pytest.raises(InputError, match="was made by `test`"):
        prepare(source, tmp_path / "synth")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "shard-000003.tar").write_bytes(b"another's")
    with pytest.raises(InputError, match=r"holds other files \(shard-000003\.tar\)"):
        prepare(source, tmp_path / "begun")


def test_nothing_usable_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with pytest.raises(InputError, match="no folder at"):
        prepare(source, tmp_path / "out")
    source.mkdir()
    with pytest.raises(InputError, match=r"no pictures in .*: it is empty"):
        prepare(source, tmp_path / "out")
    for name in ("a.txt", "b.TXT", ".hidden.png", "Thumbs.db"):
        (source / name).write_text("")
    with pytest.raises(InputError, match=r"no pictures in .*, only 2 \.txt"):
        prepare(source, tmp_path / "out")
    (source / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match="none of the 1 files can be used: 1 unreadable"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="workers: expected 1 or more"):
        prepare(source, tmp_path / "out", workers=0)


def test_a_full_disk_is_one_line_and_finished_shards_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = discs(tmp_path / "source", 7)
    prepare(source, tmp_path / "whole")
    finish, finished = ShardWriter._finish_shard, []

    def full(writer: ShardWriter) -> None:
        if len(finished) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finished.append(1)
        finish(writer)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "_finish_shard", full)
        with pytest.raises(RunError) as error:
            prepare(source, tmp_path / "out")
    assert str(error.value).endswith("(No space left on device); finished shards are kept, run again to resume")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.json.partial", "shard-000000.tar"]
    prepare(source, tmp_path / "out")
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def test_out_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write to .*file/out \("):
        prepare(discs(tmp_path / "source", 1), tmp_path / "file" / "out")


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    source, out = discs(tmp_path / "source", 4), tmp_path / "out"

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(InputError, match="another process is writing"):
            prepare(source, out)

    prepare(source, out, advance=meanwhile)
    assert len(members(out)) == 8


def test_every_sample_says_where_it_is_from(tmp_path: Path) -> None:
    source = discs(tmp_path / "source", 1)
    prepare(source, tmp_path / "out")
    assert json.loads(members(tmp_path / "out")["disc0.json"])["source"] == f"{source}/disc0.png"


@pytest.mark.parametrize("is_there_before", [False, True])
def test_a_failure_removes_the_folder_only_if_it_was_made_for_it(tmp_path: Path, is_there_before: bool) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    if is_there_before:
        out.mkdir()
    with pytest.raises(InputError, match="none of the 1 files can be used"):
        prepare(tmp_path / "source", out)
    assert out.exists() == is_there_before
