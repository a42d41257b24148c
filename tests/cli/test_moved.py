import shutil
from pathlib import Path

import pytest

import drip_lightning.cli.main as command
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint, write_checkpoint
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.moved import MOVED_HELP
from tests.runs import NETWORKS, tiny_arguments

VERBS = ("matte", "test", "export", "fit", "validate", "predict", "test --config", "data cache-latents")
LONG = ("fit", "test --config")
OLD = "old/pretrained"


@pytest.fixture(scope="module")
def moved(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose checkpoints name the autoencoder, and the denoiser, where neither is any more."""
    folder = tmp_path_factory.mktemp("moved")
    for stage in ("denoiser", "transparency"):
        shutil.copytree(runs / stage, folder / stage)
        file = newest_checkpoint(folder / stage)
        checkpoint = read_checkpoint(file)
        checkpoint["drip"]["init_args"]["networks"]["init_args"]["vae"] = OLD
        if stage == "transparency":
            checkpoint["drip"]["init_args"]["denoiser"] = "old/denoiser"
        write_checkpoint(checkpoint, file)
    return folder


def _arguments(verb: str, synth: Path, moved: Path, out: Path) -> list[str]:
    """What brings a verb to load the moved denoiser."""
    run, config = str(moved / "denoiser"), (f"--trainer.default_root_dir={out}", f"{NETWORKS}vae={OLD}")
    next_stage = tiny_arguments("transparency", synth, moved, f"--trainer.default_root_dir={out / 'run'}")
    picture = synth.parent / "picture.png"
    return {
        "matte": ["matte", str(picture), f"--mask={picture}", f"--checkpoint={run}", f"--out={out}", "--steps=1"],
        "test": ["test", run, f"--data={synth / 'evaluation'}", f"--out={out}", "--limit=1", "--steps=1"],
        "export": ["export", run, str(out)],
        "fit": next_stage,
        "validate": tiny_arguments("denoiser", synth, moved, *config, f"--ckpt_path={run}", verb="validate"),
        "predict": tiny_arguments("denoiser", synth, moved, *config, f"--ckpt_path={run}", verb="predict"),
        "test --config": tiny_arguments("denoiser", synth, moved, *config, f"--ckpt_path={run}", verb="test"),
        "data cache-latents": ["data", "cache-latents", str(out), "--samples=2", *next_stage[1:]],
    }[verb]


@pytest.fixture(scope="module", autouse=True)
def picture(synth: Path) -> None:
    from PIL import Image

    half = Image.new("RGB", (32, 32))
    half.paste((255, 255, 255), (0, 0, 16, 32))
    half.save(synth.parent / "picture.png")


@pytest.mark.parametrize("verb", [pytest.param(verb, marks=pytest.mark.slow if verb in LONG else ()) for verb in VERBS])
def test_every_verb_that_loads_a_run_takes_where_its_sources_are_now(
    synth: Path, runs: Path, moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    arguments = _arguments(verb, synth, moved, tmp_path / "out")
    assert command.run([*arguments, f"--moved=elsewhere={runs}"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"no trained autoencoder at {OLD}/vae" in said
    assert (f"--moved {OLD}=NEW" in said) or ("name its folder with --model." in said)
    assert command.run([*arguments, f"--moved=old={runs / 'autoencoder'}"]) == 0


@pytest.mark.parametrize("verb", ["matte", "test", "export", "fit"])
def test_the_option_is_in_the_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) if verb != "fit" else pytest.MonkeyPatch.context():
        command.run([verb, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--moved OLD=NEW,…" in said
    assert verb == "fit" or MOVED_HELP in said


def test_a_run_finds_its_denoiser_and_that_one_its_autoencoder(runs: Path, moved: Path) -> None:
    with pytest.raises(ValueError, match=r"step=0000002\.ckpt: no checkpoint at old/denoiser; say .* old/denoiser=NEW"):
        TransparencyDecoder.from_checkpoint(moved / "transparency")
    places = {"old/denoiser": str(moved / "denoiser"), OLD: str(runs / "autoencoder" / "pretrained")}
    whole = TransparencyDecoder.from_checkpoint(moved / "transparency", moved=places).state_dict()
    denoiser = Denoiser.from_checkpoint(runs / "denoiser").state_dict()
    assert all((whole[name] == value).all() for name, value in denoiser.items())
