import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file
from transformers import CLIPTextModel

from drip_lightning.errors import InputError
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.pretrained import FromScratch, Networks, StableDiffusion
from tests.networks import NETWORKS, fit, matting_batch, with_saved_vae
from tests.sd2_folder import END, PAD, START, TOKENS, write_sd2_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd2_folder(tmp_path_factory.mktemp("hub") / "sd2")


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A folder that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "sd2"))


def test_the_stored_weights_are_loaded(folder) -> None:
    networks = StableDiffusion(source=str(folder))
    for part, network in (("unet", networks.unet()), ("vae", networks.trained_vae())):
        stored = load_file(folder / part / "diffusion_pytorch_model.safetensors")
        torch.testing.assert_close(network.state_dict(), stored, rtol=0, atol=0)
    assert networks.trained_vae().config["scaling_factor"] == 0.18215


@torch.no_grad()
def test_the_prompt_is_the_text_encoder_run_on_nothing(folder) -> None:
    embedding = StableDiffusion(source=str(folder)).prompt_embedding()
    tokens = torch.tensor([[START, END, *[PAD] * (TOKENS - 2)]])
    by_hand = CLIPTextModel.from_pretrained(folder / "text_encoder")(tokens).last_hidden_state
    torch.testing.assert_close(embedding, by_hand)
    reference = StableDiffusionPipeline.from_pretrained(folder)
    prompt, _ = reference.encode_prompt("", "cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    torch.testing.assert_close(embedding, prompt)


def test_a_denoiser_trains_on_it_and_its_checkpoint_needs_no_text_encoder(copied, tmp_path) -> None:
    """A checkpoint replaces the pretrained U-Net and prompt; only the frozen VAE's weights are read again."""
    before = load_file(copied / "unet" / "diffusion_pytorch_model.safetensors")
    stage = Denoiser(networks=StableDiffusion(source=str(copied)), gradient_checkpointing=True)
    fit(stage, [matting_batch(0, 1, size=64)]).save_checkpoint(tmp_path / "run" / "last.ckpt")
    assert not any("text" in name for name, _ in stage.named_modules())
    after = stage.joint_unet.unet.state_dict()
    change = max((after[name] - weight).abs().max() for name, weight in before.items() if name != "conv_in.weight")
    assert 0 < change < 2e-5  # one step of Adam at 1e-5

    for path in ("text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"):
        (copied / path).unlink()
    shutil.rmtree(copied / "tokenizer")
    again = Denoiser.from_checkpoint(tmp_path / "run")
    torch.testing.assert_close(again.state_dict(), stage.state_dict(), rtol=0, atol=0)
    assert not again.training


def test_a_base_that_predicts_the_velocity_does_not_train_as_one_of_noise(copied: Path) -> None:
    file = copied / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "v_prediction"}))
    networks = StableDiffusion(source=str(copied))
    with pytest.raises(InputError, match=r"noise_schedule contradicts .* v_prediction, configured epsilon"):
        Denoiser(networks).configure_model()
    NoiseSchedule(prediction_type="v_prediction").check_base(networks.base_schedule())
    shutil.rmtree(file.parent)
    with pytest.raises(InputError, match="cannot load scheduler of"):
        networks.base_schedule()


def test_the_unpadded_prompt_is_start_and_end(folder: Path) -> None:
    """The text encoder's attention is causal: its first two embeddings cannot depend on the padding."""
    padded = StableDiffusion(source=str(folder)).prompt_embedding()
    unpadded = StableDiffusion(source=str(folder), prompt="unpadded").prompt_embedding()
    assert unpadded.shape == (1, 2, padded.shape[2])
    torch.testing.assert_close(unpadded, padded[:, :2])
    zeros = StableDiffusion(source=str(folder), prompt="unpadded").prompt_embedding(pretrained=False)
    assert zeros.shape == unpadded.shape


PARTS: dict[str, Callable[[Networks], object]] = {
    "vae": lambda networks: networks.trained_vae(),
    "unet": lambda networks: networks.unet(),
    "text_encoder": lambda networks: networks.prompt_embedding(),
}


def remove(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)


def truncate(folder: Path, part: str) -> None:
    (weights,) = (folder / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])


def garble(folder: Path, part: str) -> None:
    (folder / part / "config.json").write_text("{")


@pytest.mark.parametrize("damage", [remove, truncate, garble], ids=lambda function: function.__name__)
@pytest.mark.parametrize("part", PARTS)
def test_a_broken_folder_is_told_in_one_line(copied, part, damage) -> None:
    damage(copied, part)
    with pytest.raises(InputError, match=f"cannot load {part} of '{copied}'") as error:
        PARTS[part](StableDiffusion(source=str(copied)))
    assert "\n" not in str(error.value)


def test_a_missing_tokenizer_is_told_in_one_line(copied) -> None:
    shutil.rmtree(copied / "tokenizer")
    with pytest.raises(InputError, match=r"cannot load text_encoder .*tokenizer knows 2 tokens, expected 10") as error:
        StableDiffusion(source=str(copied)).prompt_embedding()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_folder_is_told_in_one_line(part, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = str(tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"cannot load {part} of '{source}'") as error:
        PARTS[part](StableDiffusion(source=source))
    assert "\n" not in str(error.value)
    assert "give a folder in diffusers' format or a Hub id" in str(error.value)


def _config(folder: Path, part: str, **entries: object) -> None:
    file = folder / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


@pytest.mark.parametrize(
    ("part", "entries", "complaint"),
    [
        ("unet", {"addition_embed_type": "text_time"}, "addition_embed_type: text_time"),  # SDXL
        ("unet", {"in_channels": 9}, "channels: 9 in, 4 out, 4 in a latent"),  # inpainting
        ("vae", {"shift_factor": 0.1159}, "shift_factor: 0.1159"),  # FLUX
        ("vae", {"_class_name": "AutoencoderDC"}, "_class_name: AutoencoderDC"),
    ],
)
def test_a_base_of_another_kind_is_refused(copied, part, entries, complaint) -> None:
    _config(copied, part, **entries)
    said = f"{part} of '{copied}' is not Stable Diffusion 1's or 2's ({complaint}), and others do not fit here: give"
    with pytest.raises(InputError, match=re.escape(said)):
        PARTS[part](StableDiffusion(source=str(copied)))


@pytest.mark.parametrize(
    ("part", "entries", "weight"),
    [
        ("unet", {"block_out_channels": [8, 16, 16, 32]}, r", such as down_blocks\.3\.resnets\.0\.conv1\.weight"),
        ("unet", {"layers_per_block": 1}, r", such as up_blocks\S+"),
        ("vae", {"layers_per_block": 3}, r", such as decoder\.up_blocks\.0\.resnets\.3\.\S+"),  # it would be random
        ("vae", {"layers_per_block": 1}, r", such as decoder\.up_blocks\.0\.resnets\.2\.\S+"),
        ("text_encoder", {"num_hidden_layers": 3}, r", such as encoder\.layers\.2\.\S+"),
        ("text_encoder", {"hidden_size": 32}, ""),
    ],
)
def test_a_configuration_that_contradicts_the_weights_is_told_in_one_line(copied, part, entries, weight) -> None:
    _config(copied, part, **entries)
    said = rf"^cannot load {part} of '{copied}' \(its config\.json contradicts its weights{weight}\): give a folder"
    with pytest.raises(InputError, match=said) as error:
        PARTS[part](StableDiffusion(source=str(copied)))
    assert "\n" not in str(error.value)


def test_a_base_of_another_latent_is_refused(copied) -> None:
    replace(NETWORKS, latent_channels=16).new_vae().save_pretrained(copied / "vae")
    networks = StableDiffusion(source=str(copied))
    assert networks.trained_vae().config["latent_channels"] == 16
    with pytest.raises(InputError, match=r"channels: 4 in, 4 out, 16 in a latent"):
        networks.unet(pretrained=False)


def test_a_base_of_sixteen_channels_throughout_trains(copied, tmp_path) -> None:
    wide = replace(NETWORKS, latent_channels=16, prompt_channels=16)
    wide.new_vae().save_pretrained(copied / "vae")
    wide.unet().save_pretrained(copied / "unet")
    stage = Denoiser(networks=StableDiffusion(source=str(copied)))
    fit(stage, [matting_batch(0)])
    assert stage.joint_unet.unet.config["in_channels"] == 3 * 16


def test_stable_diffusion_makes_no_new_autoencoder() -> None:
    with pytest.raises(InputError, match="train one with networks FromScratch"):
        StableDiffusion().new_vae()


def test_from_scratch_wants_its_autoencoder_trained_first(tmp_path) -> None:
    with pytest.raises(InputError, match=f"no trained autoencoder at {tmp_path}/vae: train one with") as error:
        FromScratch(vae=str(tmp_path)).trained_vae()
    assert "\n" not in str(error.value)


def test_a_broken_autoencoder_is_told_in_one_line(tmp_path) -> None:
    with_saved_vae(tmp_path)
    truncate(tmp_path, "vae")
    with pytest.raises(InputError, match=f"cannot load vae of '{tmp_path}'") as error:
        FromScratch(vae=str(tmp_path)).trained_vae()
    assert "\n" not in str(error.value)


def test_from_scratch_loads_what_was_saved(tmp_path) -> None:
    vae = NETWORKS.new_vae()
    vae.register_to_config(scaling_factor=0.7)
    vae.save_pretrained(tmp_path / "vae")
    loaded = FromScratch(vae=str(tmp_path)).trained_vae()
    assert isinstance(loaded, AutoencoderKL)
    assert loaded.config["scaling_factor"] == 0.7
    torch.testing.assert_close(loaded.state_dict(), vae.state_dict(), rtol=0, atol=0)


def test_from_scratch_has_a_fixed_prompt_of_two_tokens() -> None:
    """The same in every process, and two of them, so that text attention has something to choose from."""
    first, second = NETWORKS.prompt_embedding(), NETWORKS.prompt_embedding(pretrained=False)
    assert torch.equal(first, second)
    assert first.shape == (1, 2, NETWORKS.prompt_channels)
    assert not torch.equal(first[:, 0], first[:, 1])
