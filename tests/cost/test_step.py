import pytest
import torch

from drip_lightning.cost.step import StepCost, count_matte, count_step
from drip_lightning.cost.without_content import WithoutContent
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.objectives import OneStep
from drip_lightning.lit.stage import Stage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.half_size import HalfSizeUNetDecoder
from drip_lightning.nn.noise import ZeroNoise
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.ops.hints.choice import PropagatedColours
from tests.networks import NETWORKS


def _count(
    stage: Stage, *, samples: int = 1, size: int = 16, precision: str = "32-true", on_gpu: bool = False
) -> StepCost:
    return count_step(WithoutContent(stage, on_gpu=on_gpu), samples=samples, size=size, precision=precision)


def test_operations_are_those_of_convolutions_counted_by_hand() -> None:
    """`conv_in` of the VAE: 4 maps, 16² pixels, 3 to 8 channels, 3×3; the whole has it and more."""
    by_hand = 2 * 4 * 16 * 16 * 3 * 8 * 3 * 3
    cost, larger = _count(Denoiser(NETWORKS)), _count(Denoiser(NETWORKS), size=32)
    assert list(cost.operations) == ["VAE encoder", "denoiser", "backward"]
    assert by_hand < cost.operations["VAE encoder"] < 100 * by_hand
    assert cost.operations["backward"] == pytest.approx(2 * cost.operations["denoiser"], rel=0.1)
    assert larger.operations["VAE encoder"] == pytest.approx(4 * cost.operations["VAE encoder"], rel=0.01)
    assert cost.total == sum(cost.operations.values())


@pytest.mark.slow
def test_what_is_kept_grows_evenly_with_the_batch_and_shrinks_by_checkpointing_and_bf16() -> None:
    one, two, three = (_count(Denoiser(NETWORKS), samples=batch, size=32).kept_bytes for batch in (1, 2, 3))
    assert three - two == pytest.approx(two - one, rel=0.001)
    assert two - one == pytest.approx(one, rel=0.05)  # no weights are counted
    recomputed = _count(Denoiser(NETWORKS, gradient_checkpointing=True), samples=2, size=32)
    assert recomputed.kept_bytes < two / 3
    assert (
        recomputed.operations["backward"] > 1.2 * _count(Denoiser(NETWORKS), samples=2, size=32).operations["backward"]
    )
    assert two / 3 < _count(Denoiser(NETWORKS), samples=2, size=32, precision="bf16-mixed").kept_bytes < two


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "32-true"])
def test_what_is_computed_again_is_normalised_as_before_it(precision: str) -> None:
    """As `hardware/gpu24.yaml` has it: on a GPU norms are float32 under autocast, in the second forward pass, too."""
    for kind in (lambda again: Denoiser(NETWORKS, gradient_checkpointing=again), _decoder):
        plain, again = (_count(kind(again), size=32, precision=precision, on_gpu=True) for again in (False, True))
        assert again.kept_bytes < plain.kept_bytes
        assert again.operations["backward"] > plain.operations["backward"]


def _decoder(gradient_checkpointing: bool) -> TransparencyDecoder:
    return TransparencyDecoder("nowhere", NETWORKS, gradient_checkpointing=gradient_checkpointing)


@pytest.mark.slow
def test_memory_at_its_most_is_what_a_real_step_holds() -> None:
    """The tensors that a real forward pass keeps, which the automatic differentiation itself tells."""
    stage = Denoiser(NETWORKS)
    empty = WithoutContent(stage, on_gpu=False)
    cost = count_step(empty, samples=2, size=32)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    weights = {weight.untyped_storage()._cdata for weight in stage.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stage.training_step(empty.batch(2, 32), 0)
    saved = sum(size for place, size in kept.items() if place not in weights)
    assert saved == pytest.approx(cost.kept_bytes, rel=0.1)
    assert cost.peak_bytes >= cost.kept_bytes


@pytest.mark.slow
def test_the_decoder_s_gradient_is_counted_where_the_objective_takes_it() -> None:
    one_step = Denoiser(
        NETWORKS,
        objective=OneStep(),
        noise=ZeroNoise(),
        noise_schedule=NoiseSchedule(prediction_type="sample", zero_terminal_snr=True),
        sampling_steps=1,
    )
    cost = _count(one_step)
    assert list(cost.operations) == ["VAE encoder", "VAE decoder", "denoiser", "rest", "backward"]
    assert cost.operations["backward"] > 2 * cost.operations["denoiser"] + cost.operations["VAE decoder"]


@pytest.mark.slow
def test_a_transparency_decoder_samples_in_half_its_steps_on_average_and_trains_nothing_else() -> None:
    stage = TransparencyDecoder(
        "nowhere", NETWORKS, max_steps=10, hints=PropagatedColours(), decoder=HalfSizeUNetDecoder()
    )
    cost = _count(stage, size=32)
    assert list(cost.operations) == [
        "VAE encoder",
        "VAE decoder",
        "denoiser",
        "transparency decoder",
        "rest",  # the loss's pyramid
        "backward",
    ]
    denoiser = _count(Denoiser(NETWORKS), size=32).operations["denoiser"]
    assert cost.operations["denoiser"] == pytest.approx(5.5 * denoiser, rel=0.01)
    assert cost.operations["backward"] < 2.1 * cost.operations["transparency decoder"]


def test_an_autoencoder_is_counted() -> None:
    cost = _count(Autoencoder(NETWORKS))
    assert list(cost.operations) == ["encoder", "decoder", "rest", "backward"]
    assert cost.operations["backward"] == pytest.approx(2 * (cost.total - cost.operations["backward"]), rel=0.05)


def test_a_matte_is_encoding_two_maps_every_denoising_step_and_decoding() -> None:
    empty = WithoutContent(Denoiser(NETWORKS, sampling_steps=7), on_gpu=False)
    step = count_step(empty, samples=1, size=16)
    matte = count_matte(empty, step, size=16)
    assert matte["VAE encoder"] == pytest.approx(step.operations["VAE encoder"] / 2)
    assert matte["denoiser"] == 7 * step.operations["denoiser"]
    assert matte["VAE decoder"] > 0


def test_sizes_of_stable_diffusion_2_are_the_published_ones() -> None:
    """865.9 M and 83.7 M weights, as its files have; what the U-Net has more are switcher and wider input."""
    stage = Denoiser()
    stage.build_without_weights()
    assert sum(weight.numel() for weight in stage.codec.parameters()) == 83_653_863
    added = 2 * 4 * 320 * 9 + (4 + 1) * 1280 + (1280 + 1) * 1280
    assert sum(weight.numel() for weight in stage.joint_unet.parameters()) == 865_910_724 + added
    assert all(weight.is_meta for weight in stage.parameters())
