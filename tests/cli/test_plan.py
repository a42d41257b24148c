from pathlib import Path

import pytest

import drip_lightning.cli.main as command
from tests.runs import CONFIGS, tiny_arguments


def _plan(*arguments: str) -> int:
    return command.run(["plan", *arguments])


def _numbers(out: str, begin: str) -> list[float]:
    line = next(line for line in out.splitlines() if line.strip().startswith(begin))
    return [float(word) for word in line.replace(",", "").split() if word.replace(".", "", 1).isdigit()]


@pytest.mark.slow
def test_the_three_stages_are_told_without_weights_or_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/denoiser").mkdir(parents=True)  # a run that has no checkpoint yet
    for stage, parts in (
        ("autoencoder", ["encoder", "decoder"]),
        ("denoiser", ["VAE encoder", "denoiser"]),
        ("transparency", ["VAE encoder", "VAE decoder", "denoiser", "transparency decoder"]),
    ):
        arguments = tiny_arguments(stage, Path("data"), Path("runs"), "--ranks=2", "--tflops", "0.5")
        assert _plan(*arguments[1:]) == 0
        out = capsys.readouterr().out
        assert "a step: 2 samples of 32×32 (2 ranks × 1 × 1), 32-true" in out
        operations = [_numbers(out, part)[-1] for part in (*parts, "backward")]
        assert _numbers(out, "together")[-1] == pytest.approx(sum(operations), abs=0.003)
        assert "the run: 2 steps, 4 samples" in out
        assert "validation: not counted, for data.evaluation is not there yet" in out
        assert "hours at 0.5 TFLOP/s a device: 0.0" in out
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs", tmp_path / "runs/denoiser"]


def test_evaluation_pictures_that_are_there_are_counted(synth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _plan(*tiny_arguments("denoiser", synth, Path("runs"))[1:], "--trainer.max_steps=6") == 0
    assert "validation: 3 × 2 pictures, as of 32×32" in capsys.readouterr().out


@pytest.mark.slow
def test_a_trained_denoiser_is_counted_as_it_is(synth: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run's networks, not those that the transparency stage's configuration has."""
    wider = "--model.init_args.networks.init_args.unet_channels=[16,16]"
    frozen = []
    for folder in (runs, Path("nowhere")):
        assert _plan(*tiny_arguments("transparency", synth, folder, wider)[1:]) == 0
        frozen.append(_numbers(capsys.readouterr().out, "TransparencyDecoder:")[-1])
    assert frozen[0] < frozen[1]


@pytest.mark.slow
def test_a_batch_beyond_the_card_is_refused_and_told_how_to_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """Four devices of a kind that is not here are planned for, which `drip fit` would refuse."""
    sharded = f"--config={CONFIGS / 'hardware/fsdp.yaml'}"
    tiny = tiny_arguments("denoiser", Path("data"), Path("runs"), sharded, "--ranks=2")
    assert _plan(*tiny[1:], "--card=2GB") == 0
    out = capsys.readouterr().out
    assert "(2 ranks × 1 × 1), bf16-mixed" in out
    assert "fits a card of 2 GB, with up to about" in out
    assert _plan(*tiny[1:], "--card", "0.5") == 1
    assert capsys.readouterr().err.strip() == (
        "drip plan: 1 sample at a time does not fit a card of 0.5 GB, not even one would: recompute activations "
        "(model.gradient_checkpointing) or train on smaller pictures (data.image_size)"
    )
    alone = tiny_arguments("denoiser", Path("data"), Path("runs"), "--model.gradient_checkpointing=true")
    assert _plan(*alone[1:], "--data.batch_size=64", "--card=0.5") == 1
    told = capsys.readouterr().err
    assert "64 samples at a time do not fit a card of 0.5 GB" in told
    assert told.strip().endswith(
        ": accumulate more batches (trainer.accumulate_grad_batches) or share weights (configs/hardware/fsdp.yaml) "
        "or train on smaller pictures (data.image_size)"
    )


@pytest.mark.slow
def test_the_paper_s_batch_fits_the_paper_s_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stable Diffusion 2 is known by heart: no folder, no Hub."""
    monkeypatch.chdir(tmp_path)
    configs = [f"--config={CONFIGS / name}" for name in ("denoiser.yaml", "scale/sd2.yaml")]
    assert _plan(*configs, "--card", "80GB") == 0
    out = capsys.readouterr().out
    assert "Denoiser: 867.6 M weights trained, 83.7 M frozen" in out
    assert "a checkpoint, GB: 10.41 = weights 3.47 + optimizer 6.94" in out
    assert _plan(*configs, "--card", "40GB") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give the configuration of a run, as `drip fit` takes it"),
        (
            ["--config", "denoiser.yaml", "--card", "much"],
            "argument --card: expected a GPU's memory such as 80GB, got 'much'",
        ),
        (["--config", "denoiser.yaml", "--tflops", "0"], "argument --tflops: expected a number above 0, got '0'"),
        (["--config", "denoiser.yaml", "--ranks", "0"], "--ranks: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_meant_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        _plan(*arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip() == f"drip plan: {said} (see `drip plan --help`)"


def test_a_source_that_is_neither_known_nor_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    configs = [f"--config={CONFIGS / 'denoiser.yaml'}", "--model.networks.source=somebody/own-diffusion"]
    assert _plan(*configs) == 1
    assert capsys.readouterr().err.startswith("drip plan: cannot load vae of 'somebody/own-diffusion' (")
