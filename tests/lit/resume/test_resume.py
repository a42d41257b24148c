"""A run that is stopped and resumed ends bit for bit as the run that was never stopped."""

from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from drip_lightning.lit.resume.checkpoint_io import checkpoints_in, newest_checkpoint, step_of
from tests.faults import (
    STEPS,
    Fault,
    another_order,
    failing_sample,
    failing_step,
    failing_validation,
    full_disk,
    launch,
    signal_in_step,
    signal_in_validation,
    signal_in_writing,
    variation_arguments,
)
from tests.same_run import differences, logged


@pytest.fixture(scope="module")
def arguments(synth: Path, runs: Path) -> Callable[[str, Path], list[str]]:
    return lambda variation, folder: variation_arguments(variation, synth, runs, folder)


@pytest.fixture(scope="module")
def unbroken(
    arguments: Callable[[str, Path], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A variation's folder after it ran without a fault."""
    folders: dict[str, Path] = {}

    def of_variation(variation: str) -> Path:
        if variation not in folders:
            folder = tmp_path_factory.mktemp("unbroken")
            _launch(arguments(variation, folder), folder)
            folders[variation] = folder
        return folders[variation]

    return of_variation


def _launch(arguments: list[str], folder: Path, fault: Fault | None = None) -> None:
    status = launch(arguments, folder / "output.txt", fault)
    said = (folder / "output.txt").read_text()
    assert status in (fault.statuses if fault else (0,)), f"{fault}: {status}\n{said}"


@pytest.mark.parametrize(
    ("variation", "faults"),
    [
        ("autoencoder", [signal_in_step(SIGTERM, 2), signal_in_writing(SIGKILL, "middle", 1), failing_step(3)]),
        pytest.param("denoiser", [signal_in_validation(SIGKILL, 1), signal_in_step(SIGINT, 2)], marks=pytest.mark.slow),
        pytest.param(
            "transparency",
            [signal_in_writing(SIGKILL, "rename", 2), signal_in_validation(SIGTERM, 2)],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "averages",
            [signal_in_step(SIGTERM, 2), signal_in_validation(SIGKILL, 3), failing_validation(1)],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "accumulated",
            [signal_in_step(SIGTERM, 2), failing_step(4), signal_in_step(SIGKILL, 1)],
            marks=pytest.mark.slow,
        ),
        pytest.param("workers", [failing_sample(5)], marks=pytest.mark.slow),
        pytest.param("constant rate", [failing_validation(2), full_disk(2)], marks=pytest.mark.slow),
        pytest.param(
            "cosine", [signal_in_step(SIGKILL, 4), signal_in_writing(SIGTERM, "checksum", 1)], marks=pytest.mark.slow
        ),
        pytest.param("warm-up", [signal_in_step(SIGKILL, 5), failing_validation(1)], marks=pytest.mark.slow),
        pytest.param("one cycle", [signal_in_step(SIGKILL, 5)], marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(map(str, value)),
)
def test_a_stopped_run_ends_as_the_unbroken_one(
    arguments: Callable[[str, Path], list[str]],
    unbroken: Callable[[str], Path],
    tmp_path: Path,
    variation: str,
    faults: list[Fault],
) -> None:
    for fault in [*faults, None]:
        _launch(arguments(variation, tmp_path), tmp_path, fault)
    assert differences(tmp_path, unbroken(variation)) == []


def test_another_order_of_the_data_is_another_run(
    arguments: Callable[[str, Path], list[str]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    """Guards the test above: it would see a difference."""
    _launch(arguments("autoencoder", tmp_path), tmp_path, another_order(1))
    found = differences(tmp_path, unbroken("autoencoder"))
    assert any(name.startswith("checkpoint.state_dict.") for name in found)
    assert any(name.startswith("checkpoint.optimizer_states.") for name in found)
    assert any(name.startswith("log: ") for name in found)


def test_the_log_has_every_step_once(unbroken: Callable[[str], Path]) -> None:
    found = logged(unbroken("autoencoder"))
    assert [step for name, step, _ in found if name == "train/loss"] == list(range(STEPS))
    assert [step for name, step, _ in found if name == "val/loss"] == [2, 5]


def test_a_signal_stops_between_steps_and_says_where(
    arguments: Callable[[str, Path], list[str]], tmp_path: Path
) -> None:
    _launch(arguments("autoencoder", tmp_path), tmp_path, signal_in_step(SIGTERM, 5))
    file = newest_checkpoint(tmp_path)
    assert step_of(file) == 5
    said = (tmp_path / "output.txt").read_text()
    assert "\nSIGTERM: stopping after this step\n" in said
    assert said.endswith(f"drip fit: stopped after step 5: saved {file}; resume with --ckpt_path auto\n")


def test_a_full_disk_is_told_in_one_line_and_the_last_checkpoint_stays(
    arguments: Callable[[str, Path], list[str]], tmp_path: Path
) -> None:
    _launch(arguments("autoencoder", tmp_path), tmp_path, full_disk(2))
    assert [file.name for file in checkpoints_in(tmp_path)] == ["step=0000002.ckpt"]
    last = (tmp_path / "output.txt").read_text().splitlines()[-1]
    assert last.startswith(
        f"drip fit: cannot write checkpoint {tmp_path}/checkpoints/step=0000003.ckpt: File too large"
    )
    assert newest_checkpoint(tmp_path).name == "step=0000002.ckpt"
