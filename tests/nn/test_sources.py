import shutil
import socket
import urllib.request
from collections.abc import Iterator
from email.message import Message
from http.client import BadStatusLine, RemoteDisconnected
from pathlib import Path
from threading import Event
from unittest.mock import Mock
from urllib.error import HTTPError
from urllib.request import Request

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from huggingface_hub import constants
from safetensors.torch import load_file

from drip_lightning.errors import InputError
from drip_lightning.nn import sources
from drip_lightning.nn.pretrained import StableDiffusion
from drip_lightning.pipeline import MattingPipeline
from tests.sd2_folder import write_sd2_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd2_folder(tmp_path_factory.mktemp("hub") / "sd2")


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The Hub at an address of this machine that takes connections and never answers; closed, it refuses them."""
    assert sources.TIMEOUT_S <= 5  # beside a start of up to nine seconds
    monkeypatch.setattr(sources, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        sources.hub_problem.cache_clear()
        yield listener
    sources.hub_problem.cache_clear()


@pytest.mark.parametrize(("refuses", "reason"), [(True, "Connection refused"), (False, "no answer in 0.3 s")])
@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "scheduler"])
def test_a_hub_out_of_reach_is_told_at_once_and_asked_once(
    silent_hub: socket.socket, monkeypatch: pytest.MonkeyPatch, part: str, refuses: bool, reason: str
) -> None:
    networks = StableDiffusion(source="nobody/nothing-here")
    load = {
        "vae": networks.trained_vae, "unet": networks.unet, "text_encoder": networks.prompt_embedding,
        "scheduler": networks.base_schedule,
    }[part]  # fmt: skip
    if refuses:
        silent_hub.close()
    with pytest.raises(InputError, match=f"cannot load {part} of 'nobody/nothing-here'") as error:
        load()
    assert f"the Hub cannot be reached, {constants.ENDPOINT}: " in str(error.value)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    asked: list[object] = []
    monkeypatch.setattr(sources, "urlopen", lambda request, timeout: asked.append(request))
    with pytest.raises(InputError):
        load()
    assert asked == []


@pytest.mark.parametrize("what", ["the Hub", "a proxy", "the name's look-up"])
def test_whoever_is_silent_is_waited_for_once_and_not_for_long(
    silent_hub: socket.socket, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ended = Event()
    if what == "a proxy":
        monkeypatch.setenv("http_proxy", constants.ENDPOINT)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setattr(urllib.request, "_opener", None)  # reads the environment anew
        monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    elif what == "the name's look-up":  # which no timeout of a connection shortens
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [] if ended.wait() else None)
    asked = Mock(wraps=sources.urlopen)
    monkeypatch.setattr(sources, "urlopen", asked)
    for place in ("somebody/model", "somebody/other"):
        with pytest.raises(InputError) as error:
            MattingPipeline.from_pretrained(place)
        assert str(error.value) == (
            f"{place}: no such file or folder, and the Hub cannot be reached, {constants.ENDPOINT}: no answer in "
            "0.3 s, and no earlier download of it is whole"
        )
    assert asked.call_count == 1
    ended.set()


@pytest.mark.parametrize(("code", "is_reached"), [(404, True), (500, True), (407, False), (503, False)])
def test_a_gateway_s_answer_is_not_the_hub_s(
    silent_hub: socket.socket, monkeypatch: pytest.MonkeyPatch, code: int, is_reached: bool
) -> None:
    def answer(request: Request, timeout: float) -> None:
        raise HTTPError(request.full_url, code, "said so", Message(), None)

    monkeypatch.setattr(sources, "urlopen", answer)
    monkeypatch.setattr(sources, "TIMEOUT_S", 60)
    assert sources.hub_problem() == (None if is_reached else f"{constants.ENDPOINT}: {code} said so")


@pytest.mark.parametrize(
    "answer", [RemoteDisconnected("closed"), BadStatusLine("SSH-2.0"), ValueError("unknown url type")]
)
def test_what_is_no_answer_of_http_is_told(
    silent_hub: socket.socket, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    monkeypatch.setattr(sources, "urlopen", Mock(side_effect=answer))
    monkeypatch.setattr(sources, "TIMEOUT_S", 60)
    assert sources.hub_problem() == f"{constants.ENDPOINT}: {answer}"


def test_whoever_asked_for_no_network_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(sources, "urlopen", lambda request, timeout: asked.append(request))
    with pytest.raises(InputError, match=r"nothing-here' \(HF_HUB_OFFLINE is set, and no earlier download has it\)"):
        StableDiffusion(source="nobody/nothing-here").base_schedule()
    assert asked == []


def test_a_folder_asks_nobody(folder: Path, silent_hub: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(sources, "urlopen", lambda request, timeout: asked.append(request))
    assert StableDiffusion(source=str(folder)).base_schedule()["beta_end"] == 0.012
    assert asked == []


def test_half_precision_files_load_as_a_variant_and_are_named_otherwise(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "sd2"))
    whole = StableDiffusion(source=str(folder))
    expected = {"vae": whole.trained_vae().state_dict(), "unet": whole.unet().state_dict()}
    for part, kind in (("vae", AutoencoderKL), ("unet", UNet2DConditionModel)):
        shutil.rmtree(copied / part)
        kind.from_pretrained(folder, subfolder=part).half().save_pretrained(copied / part, variant="fp16")
    (text,) = (copied / "text_encoder").glob("*.safetensors")
    text.rename(text.with_name("model.fp16.safetensors"))
    half = StableDiffusion(source=str(copied), variant="fp16")
    for part, found in (("vae", half.trained_vae().state_dict()), ("unet", half.unet().state_dict())):
        for name, weight in expected[part].items():
            assert found[name].dtype == torch.float32
            assert torch.equal(found[name], weight.half().float()), name
    assert torch.equal(half.prompt_embedding(), whole.prompt_embedding())

    plain = StableDiffusion(source=str(copied))
    for load in (plain.trained_vae, plain.unet, plain.prompt_embedding):
        with pytest.raises(
            InputError, match=r"there is \w+\.fp16\.safetensors: set networks\.variant to fp16\)"
        ) as error:
            load()
        assert "\n" not in str(error.value)
    other = StableDiffusion(source=str(folder), variant="fp16")
    for load in (other.trained_vae, other.unet, other.prompt_embedding):
        with pytest.raises(InputError, match=r"there is \w+\.safetensors: set networks\.variant to null\)"):
            load()


def test_a_part_or_weights_that_are_missing_are_told_with_what_is_there(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "sd2"))
    shutil.rmtree(copied / "text_encoder")
    shutil.rmtree(copied / "scheduler")
    next((copied / "vae").glob("*.safetensors")).unlink()
    for shard in range(5):
        (copied / "unet" / f"diffusion_pytorch_model.fp16-0000{shard + 1}-of-00005.safetensors").touch()
    next((copied / "unet").glob("*model.safetensors")).unlink()
    networks = StableDiffusion(source=str(copied))
    for load, reason in {
        networks.prompt_embedding: "there is no text_encoder/",
        networks.base_schedule: "there is no scheduler/",
        networks.trained_vae: "in vae/ there is config.json",
        networks.unet: "-00003-of-00005.safetensors and 2 more: set networks.variant to fp16",
    }.items():
        with pytest.raises(InputError, match=f"{reason}\\): give a folder") as error:
            load()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"safe_serialization": False}, {"max_shard_size": "40KB"}], ids=str)
def test_pickled_weights_and_weights_in_parts_load(folder: Path, tmp_path: Path, options: dict[str, object]) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "sd2"))
    (weights,) = (folder / "unet").glob("*.safetensors")
    shutil.rmtree(copied / "unet")
    UNet2DConditionModel.from_pretrained(folder, subfolder="unet").save_pretrained(copied / "unet", **options)
    assert len(list((copied / "unet").glob("*.bin"))) == 1 or len(list((copied / "unet").glob("*.safetensors"))) > 1
    found = StableDiffusion(source=str(copied)).unet().state_dict()
    torch.testing.assert_close(found, load_file(weights), rtol=0, atol=0)

    next(file for file in sorted((copied / "unet").glob("*")) if file.suffix in (".bin", ".safetensors")).unlink()
    with pytest.raises(InputError, match=f"cannot load unet of '{copied}'") as error:
        StableDiffusion(source=str(copied)).unet()
    assert "\n" not in str(error.value)
