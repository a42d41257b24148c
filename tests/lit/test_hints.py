"""Hints in training, in the worker and at inference: the same numbers; and what does not go together is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from drip_lightning.data.augment import Augmentation
from drip_lightning.errors import InputError
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.half_size import HalfSizeUNetDecoder
from drip_lightning.nn.transparency import UNetDecoder
from drip_lightning.ops.hints.choice import SampledAndPropagatedColours
from drip_lightning.ops.hints.colours import sampled_colours
from tests.lit.test_datamodule import _Recorder, _trainer
from tests.networks import NETWORKS, fit, matting_batch, with_saved_vae

HALF_SIZE = replace(NETWORKS, transparency_channels=(8, 8, 12))


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a denoiser trained for a step."""
    folder = tmp_path_factory.mktemp("run")
    stage = Denoiser(networks=with_saved_vae(folder / "pretrained"), sampling_steps=1)
    fit(stage, [matting_batch(0, 1)], folder).save_checkpoint(folder / "checkpoints" / "step=1.ckpt")
    return folder


def stage(denoiser: Path, **settings: object) -> TransparencyDecoder:
    torch.manual_seed(0)
    chosen = {"decoder": HalfSizeUNetDecoder(), "hints": SampledAndPropagatedColours(), "reduction": 2, **settings}
    made = TransparencyDecoder(denoiser=str(denoiser), networks=HALF_SIZE, max_steps=1, sampling_steps=1, **chosen)
    made.configure_model()
    return made


@pytest.mark.parametrize("compose_on", ["worker", "device"])
def test_training_and_pipeline_see_the_same_hints(
    denoiser: Path, shard_folders: dict[str, str], compose_on: str
) -> None:
    class Recorder(_Recorder):
        hints = SampledAndPropagatedColours()

    data = MattingDataModule(
        **shard_folders,
        image_size=24,
        batch_size=2,
        num_workers=0,
        compose_on=compose_on,
        augmentation=Augmentation(trimap_dilation=(1, 4), trimap_erosion=(1, 4)),
    )
    recorder = Recorder()
    _trainer(2).fit(recorder, data)
    made = stage(denoiser)
    for batch in recorder.training_batches:
        assert ("hints" in batch) == (compose_on == "worker")
        assert (batch["trimap"] == 0.5).any()
        assert torch.equal(made.hints_of(batch), made.sampler.hints(batch["image"], batch["trimap"]))


def test_an_untrained_decoder_gives_the_first_hint_s_matte(denoiser: Path) -> None:
    made = stage(denoiser)
    batch = matting_batch(1, 2)
    matte = made.matte(batch, made.sampler)
    hinted = (sampled_colours(batch["image"], batch["trimap"])[2] * 255).round() / 255
    assert torch.equal(matte.alpha, hinted)


def test_a_checkpoint_describes_hints_and_reduction(denoiser: Path, tmp_path: Path) -> None:
    made = stage(denoiser)
    fit(made, [matting_batch(0, 1), matting_batch(2, 3)]).save_checkpoint(tmp_path / "last.ckpt")
    loaded = TransparencyDecoder.from_checkpoint(tmp_path)
    assert (loaded.hints, loaded.reduction) == (SampledAndPropagatedColours(), 2)
    batch = matting_batch(5)
    with torch.no_grad():
        one, other = (each.eval().matte(batch, each.sampler) for each in (made, loaded))
    assert torch.equal(one.alpha, other.alpha)
    assert torch.equal(one.foreground, other.foreground)


def test_the_denoiser_sees_the_picture_reduced(denoiser: Path) -> None:
    made = stage(denoiser)
    batch = matting_batch(0)
    condition = made.sampler.condition(batch["image"], batch["trimap"])
    side = batch["image"].shape[-1] // (2 * made.codec.downsampling)
    assert condition.shape[-1] == side
    blocks = batch["image"].unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(-1, -2))
    trimap = batch["trimap"].unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
    sure = trimap.amax(dim=-1) == trimap.amin(dim=-1)
    expected = torch.cat(made.codec.encode(blocks, torch.where(sure, trimap[..., 0], 0.5)), dim=1)
    torch.testing.assert_close(condition, expected)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"decoder": UNetDecoder(), "reduction": 1}, "hints SampledAndPropagatedColours do not reach the decoder"),
        ({"reduction": 0}, "reduction: expected at least 1, got 0"),
    ],
)
def test_what_does_not_go_together_is_refused(denoiser: Path, settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        stage(denoiser, **settings)
