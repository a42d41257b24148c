"""Loading copies no weights and reads nothing twice: what is counted here is memory at sizes where it matters."""

import shutil
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from drip_lightning.errors import InputError
from drip_lightning.export.folder import write_pipeline_folder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.resume import checkpoint_io
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from drip_lightning.lit.transparency import TransparencyDecoder


def _mapped_files(tensors: dict[str, Tensor]) -> dict[str, str]:
    """Name to the file that a tensor's memory is mapped from; nothing where the process has it for itself."""
    places = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, _, _, _, _, *path = line.split(maxsplit=5)
        begin, end = (int(word, 16) for word in place.split("-"))
        places.append((begin, end, path[0] if path else ""))
    found = {}
    for name, tensor in tensors.items():
        start = tensor.untyped_storage().data_ptr()
        found[name] = next((path for begin, end, path in places if begin <= start < end), "")
    return found


def _trained(stage: nn.Module, part: str) -> dict[str, Tensor]:
    return {name: weight for name, weight in stage.named_parameters() if name.startswith(part)}


@pytest.mark.parametrize(("stage", "part"), [("denoiser", "joint_unet."), ("transparency", "latent_decoder.")])
def test_weights_are_the_checkpoint_s_own_bytes(runs: Path, stage: str, part: str) -> None:
    file = newest_checkpoint(runs / stage)
    weights = _trained(MattingStage.from_checkpoint(runs / stage), part)
    assert set(_mapped_files(weights).values()) == {str(file)}
    saved = read_checkpoint(file)["state_dict"]
    assert all(weight.stride() == saved[name].stride() for name, weight in weights.items())


def test_an_optimizer_s_states_stay_in_the_file_and_no_network_is_made_before_its_weights_are_there(runs: Path) -> None:
    file = newest_checkpoint(runs / "denoiser")
    states = read_checkpoint(file)["optimizer_states"][0]["state"]
    moments = {str(number): state["exp_avg_sq"] for number, state in states.items()}
    assert set(_mapped_files(moments).values()) == {str(file)}
    source = MattingStage.from_checkpoint(runs / "denoiser")
    assert isinstance(source, Denoiser)
    stage = Denoiser(source.networks)
    stage.build(pretrained=False)
    assert all(weight.is_meta for weight in stage.joint_unet.parameters())


def test_a_file_is_hashed_once_a_process_as_long_as_it_is_the_same(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(runs / "denoiser", tmp_path / "run"))
    hashed = []
    real = checkpoint_io._complaint

    def complaint(file: BinaryIO) -> str | None:
        hashed.append(Path(file.name).name)
        return real(file)

    monkeypatch.setattr(checkpoint_io, "_complaint", complaint)
    for _ in range(2):
        MattingStage.from_checkpoint(run)
    assert hashed == ["step=0000002.ckpt"]
    (file,) = (run / "checkpoints").glob("*.ckpt")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="none of the 1 checkpoints"):
        MattingStage.from_checkpoint(run)


def test_what_is_changed_after_loading_leaves_the_file_as_it_was(runs: Path) -> None:
    stage = MattingStage.from_checkpoint(runs / "denoiser")
    file = newest_checkpoint(runs / "denoiser")
    before = file.read_bytes()
    with torch.no_grad():
        for weight in stage.parameters():
            weight += 1
    assert file.read_bytes() == before
    again = MattingStage.from_checkpoint(runs / "denoiser")
    assert all(torch.equal(one, other + 1) for one, other in zip(stage.parameters(), again.parameters(), strict=True))


def test_an_export_is_copied_tensor_by_tensor_into_the_layout_of_the_networks(runs: Path, tmp_path: Path) -> None:
    """Aligned, so that it mattes bit for bit as the run does."""
    list(write_pipeline_folder(MattingStage.from_checkpoint(runs / "denoiser"), tmp_path / "export", card=""))
    weights = _trained(MattingStage.from_checkpoint(tmp_path / "export"), "joint_unet.")
    own = _trained(MattingStage.from_checkpoint(runs / "denoiser"), "joint_unet.")
    assert not any(name.endswith(".safetensors") for name in _mapped_files(weights).values())
    assert all(torch.equal(weight, own[name]) for name, weight in weights.items())
    assert all(weight.stride() == own[name].stride() for name, weight in weights.items())
    assert all(weight.data_ptr() % 64 == 0 for weight in weights.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_exporting_a_run_copies_no_weights(
    runs: Path, tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = MattingStage.from_checkpoint(runs / "denoiser")
    file = newest_checkpoint(runs / "denoiser")
    before = file.read_bytes()
    written: dict[str, Tensor] = {}
    real = safetensors.torch.save_file

    def save_file(tensors: dict[str, Tensor], filename: str, **keywords: Any) -> None:
        written.update(tensors if Path(filename).parent.name == "unet" else {})
        real(tensors, filename, **keywords)

    monkeypatch.setattr(safetensors.torch, "save_file", save_file)
    list(write_pipeline_folder(stage, tmp_path / "export", card="", dtype=dtype))
    assert len(written) == len(stage.joint_unet.state_dict())
    assert set(_mapped_files(written).values()) == {str(file)}
    assert {weight.dtype for weight in written.values()} == {dtype}
    assert file.read_bytes() == before


def test_a_stage_that_starts_from_another_maps_it_and_trains_its_own(runs: Path) -> None:
    source = MattingStage.from_checkpoint(runs / "denoiser")
    assert isinstance(source, Denoiser)
    stage = Denoiser(source.networks, start_from=str(runs / "denoiser"))
    stage.configure_model()
    weights = _trained(stage, "joint_unet.")
    assert set(_mapped_files(weights).values()) == {str(newest_checkpoint(runs / "denoiser"))}
    assert all(weight.requires_grad for weight in weights.values())


def test_the_next_stage_maps_the_denoiser(runs: Path) -> None:
    stage = MattingStage.from_checkpoint(runs / "transparency")
    assert isinstance(stage, TransparencyDecoder)
    assert set(_mapped_files(_trained(stage, "joint_unet.")).values()) == {str(newest_checkpoint(runs / "denoiser"))}
