"""An exported folder stands for its run: the same mattes, the same table, and nothing else is needed."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from safetensors.torch import load_file

import drip_lightning.cli.main as command
from drip_lightning.errors import InputError
from drip_lightning.export import folder as export
from drip_lightning.lit.averaging import EMA
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.attention import IndependentAttention
from drip_lightning.nn.channel_order import ChannelOrder
from drip_lightning.nn.fine_tuning import AttentionOnly, LoRA
from drip_lightning.nn.pipeline_folder import PipelineFolder
from drip_lightning.nn.pretrained import StableDiffusion
from drip_lightning.nn.sampler import Matte
from drip_lightning.nn.skip_decoder import SkipDecoder
from drip_lightning.nn.transparency import DecoderChoice, UNetDecoder, VaeDecoder, VaeDecoderModule
from drip_lightning.nn.two_unets import TwoUNets
from tests.networks import NETWORKS, fit, matting_batch, shake, with_saved_vae
from tests.sd2_folder import write_sd2_folder

SMALL = {"transparency_channels": (8, 8, 8, 16), "transparency_layers": 1}


def train(stage: MattingStage, folder: Path, size: int = 16) -> Path:
    """One step, then shaken so that nothing is zero any more."""
    trainer = fit(stage, [matting_batch(0, size=size)], folder)
    for part in stage.modules():
        if part is stage.joint_unet or part is getattr(stage, "latent_decoder", None):
            shake(part)
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save_checkpoint(folder / "step=0000001.ckpt")
    return folder


def matte(place: Path, size: int = 16) -> Matte:
    batch = matting_batch(5, size=size)
    sampler = MattingStage.from_checkpoint(place).sampler
    return sampler(batch["image"], batch["trimap"], steps=2, generators=[torch.Generator().manual_seed(0)])


def assert_equal(found: Matte, expected: Matte) -> None:
    assert torch.equal(found.foreground, expected.foreground)
    assert torch.equal(found.alpha, expected.alpha)


def drip(*arguments: object) -> int:
    return command.run([str(word) for word in arguments])


@pytest.fixture(scope="module")
def exported(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transparency stage of `runs`. Not to be changed."""
    out = tmp_path_factory.mktemp("exports") / "matting"
    assert drip("export", runs / "transparency", out) == 0
    return out


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def test_mattes_are_bit_equal_and_the_parts_are_diffusers_own(runs: Path, exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md", "model_index.json", "pipeline.py", "scheduler", "transparency_decoder", "unet", "vae",
    ]  # fmt: skip
    assert_equal(matte(exported, 32), matte(runs / "transparency", 32))
    stage = TransparencyDecoder.from_checkpoint(exported)
    vae = AutoencoderKL.from_pretrained(exported / "vae").state_dict()
    assert all(torch.equal(vae[name], value) for name, value in stage.codec.vae.state_dict().items())
    solver = DPMSolverMultistepScheduler.from_pretrained(exported / "scheduler")
    expected = stage.sampler.schedule.solver_for(stage.sampling_steps).config
    assert all(solver.config[name] == value for name, value in expected.items() if not name.startswith("_"))


def test_the_denoiser_of_a_transparency_stages_folder_is_read_alone(runs: Path, exported: Path) -> None:
    found = Denoiser.from_checkpoint(exported).state_dict()
    expected = Denoiser.from_checkpoint(runs / "denoiser").state_dict()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.slow
def test_a_transparency_stage_may_stand_on_an_exported_denoiser_and_be_exported(exported: Path, tmp_path: Path) -> None:
    stage = TransparencyDecoder(denoiser=str(exported), networks=NETWORKS, decoder=VaeDecoder())
    run = train(stage, tmp_path / "run", 32)
    assert drip("export", run, tmp_path / "out") == 0
    found = MattingStage.from_checkpoint(tmp_path / "out")
    assert isinstance(found, TransparencyDecoder)
    assert isinstance(found.sampler.decoder, VaeDecoderModule)
    torch.testing.assert_close(
        found.state_dict(), Denoiser.from_checkpoint(exported).state_dict(), rtol=0, atol=0
    )  # a frozen VAE adds no weights
    assert "What it was trained with was not recorded" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two U-Nets", "channel order", "EMA"])
def test_a_variants_folder_needs_neither_run_nor_autoencoder(name: str, tmp_path: Path) -> None:
    choices = {
        "two U-Nets": {"switcher": TwoUNets(), "attention": IndependentAttention()},
        "channel order": {"switcher": ChannelOrder(), "attention": IndependentAttention()},
        "EMA": {"averaging": EMA()},
    }
    run = train(Denoiser(networks=with_saved_vae(tmp_path / "vae"), **choices[name]), tmp_path / "run")
    expected = matte(run)
    assert drip("export", run, tmp_path / "out") == 0
    shutil.rmtree(run)
    shutil.rmtree(tmp_path / "vae")
    assert_equal(matte(tmp_path / "out"), expected)
    weights = MattingStage.from_checkpoint(tmp_path / "out").weights
    assert weights == ("averages of 1 steps" if name == "EMA" else "of the last step, not averaged")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fine_tuning", "decoder"),
    [
        pytest.param(AttentionOnly(), SkipDecoder(), id="attention and skips"),
        pytest.param(LoRA(rank=2), UNetDecoder(), id="LoRA"),
    ],
)
def test_stable_diffusions_folder_is_not_needed_any_more(
    fine_tuning: AttentionOnly | LoRA, decoder: DecoderChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transparency stage on a denoiser that keeps pretrained weights: three folders become one."""
    monkeypatch.chdir(tmp_path)
    networks = StableDiffusion(str(write_sd2_folder(tmp_path / "sd2")), **SMALL)
    train(Denoiser(networks=networks, fine_tuning=fine_tuning), tmp_path / "denoiser", 64)
    run = train(TransparencyDecoder(denoiser="denoiser", networks=networks, decoder=decoder), tmp_path / "run", 64)
    expected = matte(run, 64)
    assert drip("export", run, "out") == 0
    for folder in ("run", "denoiser", "sd2"):
        shutil.rmtree(folder)
    moved = Path("out").rename("moved")
    found = matte(moved, 64)
    if isinstance(fine_tuning, LoRA):  # merging rounds
        torch.testing.assert_close(found.foreground, expected.foreground, atol=1e-3, rtol=0)
        torch.testing.assert_close(found.alpha, expected.alpha, atol=1e-3, rtol=0)
    else:
        assert_equal(found, expected)
    card = (moved / "README.md").read_text()
    assert "derive from `sd2`" in card
    assert str(tmp_path) not in card + (moved / "model_index.json").read_text()


@pytest.mark.slow
def test_the_table_is_that_of_the_run(runs: Path, synth: Path, exported: Path, tmp_path: Path) -> None:
    tables = []
    for place, out in ((runs / "transparency", tmp_path / "a"), (exported, tmp_path / "b")):
        arguments = (f"--data={synth / 'evaluation'}", f"--out={out}", "--limit=1", "--accelerator=cpu")
        assert drip("test", f"ours={place}", *arguments) == 0
        summary = json.loads((out / "summary.json").read_text())
        for row in summary["rows"].values():
            del row["seconds"]
        tables.append((summary["rows"], summary["strata"]))
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_half_precision_halves_the_files(runs: Path, exported: Path, tmp_path: Path) -> None:
    assert drip("export", runs / "transparency", tmp_path / "half", "--precision", "float16") == 0
    files = list((tmp_path / "half").rglob("*.safetensors"))
    assert len(files) == 3
    assert {value.dtype for file in files for value in load_file(file).values()} == {torch.float16}
    kept = MattingStage.from_checkpoint(tmp_path / "half").state_dict()
    for name, value in MattingStage.from_checkpoint(exported).state_dict().items():
        assert torch.equal(kept[name], value.half().float()), name


def test_a_weight_that_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    denoiser = Denoiser(networks=with_saved_vae(tmp_path / "vae"))
    run = train(denoiser, tmp_path / "run")
    stage = Denoiser.from_checkpoint(run)
    stage.joint_unet.unet.conv_in.weight.data[0, 0, 0, 0] = 1e6
    with pytest.raises(InputError, match=r"conv_in\.weight has values that float16 cannot hold"):
        list(export.write_pipeline_folder(stage, tmp_path / "out", card="", dtype=torch.float16))
    assert not (tmp_path / "out").exists()


def test_the_card_tells_provenance_use_and_licence(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    for told in ("**Denoiser**", "**TransparencyDecoder**", "step 2", "foregrounds `foregrounds` (index ", "torch 2."):
        assert told in card, told
    assert "trained from scratch" in card
    assert "--checkpoint matting" in card
    assert "with diffusers and torch alone" in card


def test_the_card_names_each_of_several_folders(runs: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs / "transparency", tmp_path / "run"))
    starts = json.loads((run / "provenance.json").read_text())
    starts[-1]["data"]["foregrounds"]["folder"] = {"data/hair": 0.6, "data/smoke": 0.4}
    (run / "provenance.json").write_text(json.dumps(starts))
    assert drip("export", run, tmp_path / "out") == 0
    assert "foregrounds `hair`, `smoke` (index " in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda folder: (folder / "unet" / "config.json").unlink(), "No such file"),
        (lambda folder: _weights(folder / "transparency_decoder").unlink(), "No such file"),
        (lambda folder: _flip(_weights(folder / "vae")), "checksum differs"),
        (lambda folder: _cut(_weights(folder / "transparency_decoder")), "checksum differs"),
        (lambda folder: _cut(folder / "model_index.json"), "export it again"),
        (lambda folder: (folder / "model_index.json").write_text("{}"), "not written by `drip export`"),
        (lambda folder: (folder / "model_index.json").write_text('{"drip": {"files": {}}}'), "is damaged"),
    ],
)
def test_a_damaged_or_foreign_folder_is_one_line(harm, complaint: str, copy: Path) -> None:
    harm(copy)
    with pytest.raises(InputError, match=complaint) as raised:
        MattingStage.from_checkpoint(copy)
    assert "\n" not in str(raised.value)


def test_an_export_has_no_unet_to_start_from(copy: Path) -> None:
    with pytest.raises(InputError, match="holds a trained matting pipeline, no U-Net to start from: train from Stable"):
        PipelineFolder(str(copy), None, (8,), 1).unet()


def test_what_exists_is_replaced_only_when_asked_and_only_an_export(
    runs: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drip("export", runs / "denoiser", copy) == 1
    assert (copy / "transparency_decoder").exists()
    assert drip("export", runs / "denoiser", copy, "--overwrite") == 0
    assert not (copy / "transparency_decoder").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model_index.json").write_text("{}")
    assert drip("export", runs / "denoiser", mine, "--overwrite") == 1
    assert drip("export", copy, tmp_path / "again") == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"{copy} is an exported folder already: copy it")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "mine"]


@pytest.mark.parametrize("calls", [0, 1])
def test_a_full_disk_leaves_what_was_there(
    calls: int, runs: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, real, left = sorted(copy.rglob("*")), ModelMixin.save_pretrained, [calls]

    def full(*arguments, **options) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        real(*arguments, **options)

    monkeypatch.setattr(ModelMixin, "save_pretrained", full)
    assert drip("export", runs / "denoiser", copy, "--overwrite") == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert sorted(copy.rglob("*")) == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def _weights(part: Path) -> Path:
    return part / "diffusion_pytorch_model.safetensors"


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
