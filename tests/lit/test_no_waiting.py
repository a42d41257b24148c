"""Nothing in a step waits for the device: on the meta device, whose numbers nobody can read, whoever asks fails."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.compose import Composer, LayerBatch, Layers, stack_layers
from drip_lightning.data.degradations import Blur, Jpeg, Noise, Shrink
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.nn.latents import LatentCodec
from tests.networks import with_saved_vae


def _layers(device: str) -> LayerBatch:
    picture = torch.full((3, 16, 16), 128, dtype=torch.uint8)
    drawn = [Augmentation(degradations=(Blur(), Shrink(), Noise(), Jpeg())).draw(0, number) for number in (0, 1)]
    samples = [
        Layers(picture, picture[:1], picture, choices, key=f"sample{number}", number=number)
        for number, choices in enumerate(drawn)
    ]
    batch: Any = stack_layers(samples)
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def _stage(tmp_path: Any, device: str) -> Denoiser:
    stage = Denoiser(networks=with_saved_vae(tmp_path))
    stage.configure_model()
    return stage.to(device).train()


@pytest.fixture
def _no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the meta device does not know."""
    monkeypatch.setattr(LatentCodec, "_autocast", lambda self, tensor: nullcontext())


def test_the_meta_device_tells() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros((), device="meta").item()


@pytest.mark.usefixtures("_no_autocast")
def test_composing_and_a_training_step_wait_for_nothing(tmp_path) -> None:
    stage = _stage(tmp_path, "meta")
    optimizer = torch.optim.Adam(stage.joint_unet.parameters(), foreach=True)
    for _ in range(2):
        loss = stage.training_step(Composer()(_layers("meta")), 0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.device.type == "meta"


@torch.no_grad()
@pytest.mark.usefixtures("_no_autocast")
@pytest.mark.parametrize("steps", [(3, 3), (2, 5)])
def test_sampling_waits_for_nothing_and_sends_nothing_between_steps(tmp_path, steps) -> None:
    stage = _stage(tmp_path, "meta")
    generators = [torch.Generator().manual_seed(number) for number in (0, 1)]
    latents = stage.sampler.sample(torch.zeros(2, 8, 8, 8, device="meta"), steps=steps, generators=generators)
    assert latents.shape == (4, 4, 8, 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: set_sync_debug_mode sees CUDA alone")
def test_cuda_is_not_waited_for(tmp_path) -> None:
    stage = _stage(tmp_path, "cuda")
    optimizer = torch.optim.Adam(stage.joint_unet.parameters(), fused=True)
    layers = _layers("cuda")
    for round_ in range(3):  # the first one allocates and picks algorithms
        torch.cuda.set_sync_debug_mode("error" if round_ else "default")
        try:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = stage.training_step(Composer()(layers), 0)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert loss.item() > 0
