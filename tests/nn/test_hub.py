"""Exports on the Hub: uploaded, downloaded by name, pinned; what goes wrong is one line, and soon."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load

import drip_lightning.cli.main as command
from drip_lightning import MattingPipeline
from drip_lightning.errors import DripError, InputError, RunError
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn import sources
from drip_lightning.nn.hub import is_hub_id, local_folder, prepare_push, push
from drip_lightning.ops.picture import as_picture
from tests.exports import export_denoiser
from tests.hub import Hub, loopback_hub
from tests.networks import fit, matting_batch, with_saved_vae

NAME = "somebody/matting"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoiser. Not to be changed."""
    folder = tmp_path_factory.mktemp("hub") / "denoiser"
    export_denoiser(folder)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with loopback_hub(tmp_path / "cache", monkeypatch) as served:
        yield served


@pytest.fixture
def pushed(hub: Hub, exported: Path) -> str:
    """The commit of the export on the Hub."""
    prepare_push(NAME)
    return push(exported, NAME)


def drip(*words: object) -> int:
    return command.run([str(word) for word in words])


def complaint_of(kind: type[DripError], place: str) -> str:
    """The line that a place is refused with, within 15 seconds."""
    start = time.monotonic()
    with pytest.raises(kind) as raised:
        local_folder(place)
    assert time.monotonic() - start < 15
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_run_is_exported_pushed_and_matted_with_by_name(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = fit(Denoiser(networks=with_saved_vae(tmp_path / "vae")), [matting_batch(0)], tmp_path)
    trainer.save_checkpoint("run.ckpt")
    assert drip("export", "run.ckpt", "out", "--push-to-hub", NAME, "--variant", "fp16") == 0
    pinned = capsys.readouterr().out.splitlines()[-1].rpartition(" ")[2]
    (commit,) = hub.repositories[NAME]
    assert pinned == f"{NAME}@{commit}"
    sent = hub.repositories[NAME][commit]
    assert sorted(sent) == sorted(str(one.relative_to("out")) for one in Path("out").rglob("*") if one.is_file())
    (half,) = (one for one in sent if one.startswith("unet/") and one.endswith(".fp16.safetensors"))
    assert {value.dtype for value in load(sent[half]).values()} == {torch.float16}
    batch = matting_batch(1)
    as_picture(batch["image"][0]).save("photo.png")
    as_picture(batch["trimap"][0]).save("trimap.png")
    for number, checkpoint in enumerate(("out", NAME, pinned)):
        arguments = ("--trimap", "trimap.png", "--device", "cpu", "--steps", 1, "--out", f"cut{number}.png")
        assert drip("matte", "photo.png", "--checkpoint", checkpoint, *arguments) == 0
        assert (f"{checkpoint}: taking revision {commit}" in capsys.readouterr().err) == (checkpoint != "out")
    assert Path("cut0.png").read_bytes() == Path("cut1.png").read_bytes() == Path("cut2.png").read_bytes()


def test_python_takes_names_and_pushes_too(hub: Hub, pushed: str, exported: Path) -> None:
    batch = matting_batch(2)

    def alpha(pipe: MattingPipeline) -> torch.Tensor:
        pipe.set_progress_bar_config(disable=True)
        own = torch.Generator().manual_seed(0)
        return pipe(batch["image"], batch["trimap"], generator=own, output_type="pt").alpha[0]

    expected = MattingPipeline.from_pretrained(exported)
    assert torch.equal(alpha(MattingPipeline.from_pretrained(NAME)), alpha(expected))
    expected.push_to_hub("somebody/again")
    assert torch.equal(alpha(MattingPipeline.from_pretrained("somebody/again")), alpha(expected))
    (files,) = hub.repositories["somebody/again"].values()
    assert {"pipeline.py", "README.md", "unet/joint_denoiser.py"} <= set(files)


def test_a_revision_pins_and_offline_an_earlier_download_serves(
    hub: Hub, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local_folder(NAME).name == pushed
    hub.commit(NAME, {"README.md": b"changed"})
    newest = local_folder(NAME)
    assert newest.name != pushed
    assert local_folder(f"{NAME}@{pushed}").name == local_folder(NAME, revision=pushed).name == pushed
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    sources.hub_problem.cache_clear()
    hub.asked.clear()
    assert local_folder(NAME) == newest
    assert MattingStage.from_checkpoint(f"{NAME}@{pushed}")
    assert "HF_HUB_OFFLINE is set, and no earlier download" in complaint_of(InputError, "somebody/else")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, so nothing is sent"):
        prepare_push(NAME)
    assert hub.asked == []


@pytest.mark.slow
def test_what_breaks_off_is_one_line_and_may_be_tried_again(hub: Hub, pushed: str) -> None:
    hub.cut = WEIGHTS
    assert "try again" in complaint_of(RunError, NAME)
    hub.cut = None
    assert MattingStage.from_checkpoint(NAME)


def test_what_arrives_changed_is_refused(hub: Hub, pushed: str) -> None:
    weights = hub.repositories[NAME][pushed][WEIGHTS]
    hub.commit(NAME, {WEIGHTS: weights[:-1] + bytes([weights[-1] ^ 1])})
    with pytest.raises(InputError, match="is damaged"):
        MattingStage.from_checkpoint(NAME)
    with pytest.raises(InputError, match="is damaged"):
        MattingPipeline.from_pretrained(NAME)


def test_what_the_hub_lacks_or_is_anothers_is_one_line(hub: Hub, pushed: str) -> None:
    assert "the Hub has no such model" in complaint_of(InputError, "somebody/else")
    assert "has no revision v9" in complaint_of(InputError, f"{NAME}@v9")
    hub.commit("somebody/sd", {"model_index.json": b'{"_class_name": "StableDiffusionPipeline"}', "big.bin": b"0"})
    assert "was not written by `drip export`" in complaint_of(InputError, "somebody/sd")
    assert not any("big.bin" in path for path in hub.asked)
    hub.commit("somebody/text", {"config.json": b"{}"})
    assert "was not written by `drip export`" in complaint_of(InputError, "somebody/text")
    hub.lost = True
    assert f"and the Hub's answer cannot be used (Client error '404 Not Found' for url '{hub.endpoint}" in complaint_of(
        InputError, "somebody/else"
    )
    hub.lost = False
    hub.refuses = True
    with pytest.raises(RunError, match="log in with `hf auth login`"):
        prepare_push("somebody/new")
    with pytest.raises(InputError, match="expected the name of a model on the Hub, as USER/NAME, got 'matting'"):
        prepare_push("matting")


def test_without_a_network_it_is_one_line_before_any_work(
    hub: Hub, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.shutdown()
    hub.server_close()
    assert "the Hub cannot be reached, http://127.0.0.1:" in complaint_of(InputError, NAME)
    assert drip("export", exported.parent / "nowhere.ckpt", tmp_path / "out", "--push-to-hub", NAME) == 1
    assert "the Hub cannot be reached" in capsys.readouterr().err.splitlines()[-1]


def test_drip_matte_asks_the_hub_before_it_imports_anything_slow(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from drip_lightning.cli.main import run\n"
        f"status = run(['matte', 'photo.jpg', '--checkpoint={NAME}', '--trimap=trimap.png', '--out=out.png'])\n"
        "sys.exit(9 if {'torch', 'diffusers'} & set(sys.modules) else status)\n"
    )
    settings = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=os.environ | settings
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"drip matte: {NAME}: no such file or folder, and the Hub cannot be reached, http")
    assert done.stderr.count("\n") == 1


def test_what_is_here_or_should_be_is_no_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for place in ("runs/denoiser", "last.ckpt", "a/b/c", "some/last.ckpt", str(tmp_path / "x"), "./exports/matting"):
        assert not is_hub_id(place), place
    assert is_hub_id("somebody/matting")
    assert is_hub_id(f"somebody/matting@{'0' * 40}")
