import errno
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from torch.distributed import DistBackendError

import drip_lightning.cli.main as command
from drip_lightning import __version__
from drip_lightning.data.shards.remote import Unreachable
from drip_lightning.errors import InputError, RunError
from tests.runs import CONFIGS

VERBS = tuple(command.MODULES)


def _verb_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def main(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(command.importlib, "import_module", lambda name: SimpleNamespace(main=main))


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS), ["--version"]])
def test_help_is_quick_and_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, drip_lightning.cli.main as command\n"
        "try: status = command.run(sys.argv[1:])\n"
        "except SystemExit as stop: status = stop.code\n"
        "heavy = {'torch', 'numpy', 'lightning', 'jsonargparse', 'webdataset', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else status)\n"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.perf_counter() - began < 3
    assert done.stdout.startswith("usage: drip" if arguments[-1] == "--help" else f"drip_lightning {__version__}")


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {verb} " in said for verb in VERBS)


@pytest.mark.parametrize("verb", ["fit", "validate", "predict"])
def test_help_of_lightnings_verbs_names_the_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: drip {verb} --config")
    assert f"drip {verb} --config configs/denoiser.yaml" in said


@pytest.mark.parametrize("arguments", [[], ["fit"]])
def test_nothing_to_do_shows_the_help_and_fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(arguments) == 2
    assert capsys.readouterr().out.startswith("usage: drip")


@pytest.mark.parametrize("own", [None, "0"])
def test_the_hub_s_client_reports_nothing_unless_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", own or "")
    if own is None:
        monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY")
    monkeypatch.setattr(sys, "argv", ["drip", "--version"])
    with pytest.raises(SystemExit):
        command.main()
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == (own or "1")


def test_an_unknown_verb_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["train"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"drip: no verb 'train', expected one of {', '.join(VERBS)} (see `drip --help`)\n"


@pytest.mark.parametrize("arguments", [["synth", "out", "--colour=red"], ["matte", "a.png", "--colour=red"]])
def test_a_wrong_option_is_one_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.run(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.startswith(f"drip {arguments[0]}: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["test", "trimap", "--steps=a"], "argument --steps: expected whole numbers with commas between them, such as"),
        (["sweep", "x.yaml", "--seeds=0,"], "argument --seeds: expected whole numbers with commas between them"),
        (["synth", "out", "--seed=a"], "argument --seed: expected a whole number, got 'a'"),
        (["prepare", "images", "x", "out", "--workers=2.5"], "argument --workers: expected a whole number, got '2.5'"),
    ],
)
def test_what_is_no_number_is_told_in_words(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.run(arguments)
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


def test_a_wrong_option_of_lightnings_verbs_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["fit", f"--config={CONFIGS / 'denoiser.yaml'}", "--colour=red"]) == 1
    assert capsys.readouterr().err.startswith("drip fit: unrecognized arguments: --colour=red; expected one of")


def test_an_input_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("DRIP_TRACEBACK", raising=False)
    _verb_that(monkeypatch, InputError("no shards at data"))
    assert command.run(["fit", "x"]) == 1
    assert capsys.readouterr().err == "drip fit: no shards at data\n"


def test_an_input_error_of_a_data_worker_is_unwrapped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrapped = "Caught InputError in DataLoader worker process 0.\nTraceback …\ndrip_lightning.errors.InputError: torn"
    _verb_that(monkeypatch, InputError(wrapped))
    assert command.run(["fit", "x"]) == 1
    assert capsys.readouterr().err == "drip fit: torn\n"


def test_a_failed_run_of_a_data_worker_is_unwrapped_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrapped = "Caught …\nTraceback …\ndrip_lightning.data.shards.remote.Unreachable: no network"
    _verb_that(monkeypatch, Unreachable(wrapped))
    assert command.run(["fit", "x"]) == 1
    assert capsys.readouterr().err == "drip fit: no network\n"


def test_a_full_disk_is_one_line_whoever_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _verb_that(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "out/a.png"))
    assert command.run(["matte", "x"]) == 1
    assert capsys.readouterr().err == (
        "drip matte: cannot write out/a.png (No space left on device): free some space and run it again\n"
    )
    _verb_that(monkeypatch, PermissionError(errno.EACCES, "Permission denied", "out/a.png"))
    with pytest.raises(PermissionError):
        command.run(["matte", "x"])


def test_a_lost_rank_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from drip_lightning.cli import fit

    said = "[enforce fail at /src/gloo/transport/tcp/pair.cc:547] Connection closed by peer\n  more"
    for error, told in (
        (RuntimeError(said), RunError),
        (DistBackendError("NCCL …"), RunError),
        (RuntimeError("ours"), RuntimeError),
    ):

        def fail(arguments: list[str], error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(fit, "run", fail)
        with pytest.raises(RuntimeError) as caught:
            fit.main(["fit", "--config=x"])
        assert type(caught.value) is told
        assert "\n" not in str(caught.value)


def test_a_traceback_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIP_TRACEBACK", "1")
    _verb_that(monkeypatch, InputError("no shards at data"))
    with pytest.raises(InputError, match="no shards at data"):
        command.run(["fit", "x"])


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _verb_that(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        command.run(["fit", "x"])


def test_interrupted_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _verb_that(monkeypatch, KeyboardInterrupt())
    assert command.run(["matte", "x"]) == 130
    assert capsys.readouterr().err == "drip matte: interrupted\n"
