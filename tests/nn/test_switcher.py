import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from drip_lightning.nn.attention import CrossDomainAttention, DomainAttention, IndependentAttention
from drip_lightning.nn.joint_denoiser import widen
from drip_lightning.nn.switcher import PosEncSwitcher, PosEncSwitcherModule, positional_encoding
from drip_lightning.ops.domains import split_domains, stack_domains
from tests.networks import shake, tiny_unet

PROMPT = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
TIMESTEP = torch.tensor([3, 700])


def joint_unet(unet: UNet2DConditionModel | None = None, attention: DomainAttention | None = None, **switcher: object):
    own = PosEncSwitcher(**switcher)  # type: ignore[arg-type]
    built = own.build(unet or tiny_unet(), PROMPT, attention=attention or CrossDomainAttention())
    assert isinstance(built, PosEncSwitcherModule)
    return built.eval()


@pytest.fixture
def latents() -> tuple[Tensor, Tensor]:
    one, other = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return one, other


@torch.no_grad()
@pytest.mark.parametrize("attention", [CrossDomainAttention(), IndependentAttention()], ids=["cross", "independent"])
@pytest.mark.parametrize(("frequencies", "input_latents"), [(1, "own"), (2, "own"), (5, "both")])
def test_starts_as_the_pretrained_network(attention, frequencies, input_latents, latents) -> None:
    """Fed (z, z, z), or four of them, the widened U-Net equals the pretrained one fed z, for both domains."""
    unet = tiny_unet()
    shake(unet)
    latent, _ = latents
    joint = joint_unet(unet, attention, frequencies=frequencies, input_latents=input_latents)
    foreground, alpha = split_domains(
        joint(stack_domains(latent, latent), torch.cat([latent, latent], dim=1), TIMESTEP)
    )
    expected = unet(latent, TIMESTEP, encoder_hidden_states=PROMPT.expand(2, -1, -1)).sample
    torch.testing.assert_close(foreground, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alpha, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_starts_as_the_pretrained_network_in_each_domain_by_itself(latents) -> None:
    """Without cross-domain attention, (3 z_i, 0, 0) is to the widened kernel what z_i is to the pretrained one."""
    unet = tiny_unet()
    foreground, alpha = latents
    joint = joint_unet(unet, IndependentAttention())
    outputs = joint(3 * stack_domains(foreground, alpha), torch.zeros(2, 8, 8, 8), TIMESTEP)
    for latent, output in zip((foreground, alpha), split_domains(outputs), strict=True):
        expected = unet(latent, TIMESTEP, encoder_hidden_states=PROMPT.expand(2, -1, -1)).sample
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 1), (4, 1), (4, 2)])
def test_kernels_are_copied_and_the_input_divided_by_the_copies(inputs, outputs) -> None:
    unet = tiny_unet()
    wide = widen(unet, inputs=inputs, outputs=outputs)
    assert wide.config["in_channels"] == 4 * inputs
    for copy in wide.conv_in.weight.split(4, dim=1):
        assert torch.equal(copy, unet.conv_in.weight / inputs)
    for part in ("weight", "bias"):
        own, pretrained = getattr(wide.conv_out, part), getattr(unet.conv_out, part)
        assert len(own) == 4 * outputs
        assert all(torch.equal(copy, pretrained) for copy in own.split(4))
    assert unet.conv_in.weight.shape[1] == 4  # the pretrained network is left as it was
    for name, weight in unet.state_dict().items():
        if name not in ("conv_in.weight", "conv_out.weight", "conv_out.bias"):
            assert torch.equal(wide.state_dict()[name], weight), name


@torch.no_grad()
def test_the_order_of_the_input_is_noisy_image_trimap(latents) -> None:
    """Kernels that read one third each tell the three inputs apart."""
    image, trimap = latents
    noisy = torch.randn(4, 4, 8, 8)
    joint = joint_unet()
    seen: list[Tensor] = []
    joint.unet.conv_in.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    joint(noisy, torch.cat([image, trimap], dim=1), TIMESTEP)
    expected = [noisy, stack_domains(image, image), stack_domains(trimap, trimap)]
    assert torch.equal(seen[0], torch.cat(expected, dim=1))


@torch.no_grad()
def test_the_switcher_alone_tells_the_domains_apart(latents) -> None:
    latent, condition = latents
    joint = joint_unet()

    def domains_difference() -> Tensor:
        inputs = stack_domains(latent, latent), torch.cat([condition, condition], dim=1), TIMESTEP
        foreground, alpha = split_domains(joint(*inputs))
        return (foreground - alpha).abs().amax()

    assert domains_difference() == 0
    shake(joint.unet.class_embedding.linear_2)
    assert domains_difference() > 1e-3


@torch.no_grad()
def test_both_halves_of_a_pair_get_its_timestep(latents) -> None:
    """A pair alone gives what it gives in a batch with another pair at another timestep."""
    noisy = torch.randn(4, 4, 8, 8)
    condition = torch.cat(latents, dim=1)
    joint = joint_unet()
    batch = joint(noisy, condition, TIMESTEP)
    alone = joint(noisy[[1, 3]], condition[1:], TIMESTEP[1:])
    torch.testing.assert_close(batch[[1, 3]], alone, atol=1e-5, rtol=1e-5)


def test_positional_encoding_by_hand() -> None:
    codes = positional_encoding(torch.tensor([1.0, 0.0]), 2)
    expected = torch.tensor([[0.841471, 0.540302, 0.909297, -0.416147], [0.0, 1.0, 0.0, 1.0]])
    torch.testing.assert_close(codes, expected, atol=1e-6, rtol=0)


def test_the_foreground_is_position_one() -> None:
    labels = PosEncSwitcher(frequencies=1).labels(2, torch.device("cpu"))
    expected = torch.tensor([[0.841471, 0.540302]] * 2 + [[0.0, 1.0]] * 2)
    torch.testing.assert_close(labels, expected, atol=1e-6, rtol=0)


def test_a_network_that_is_not_plain_is_refused() -> None:
    with pytest.raises(ValueError, match="got 12 in, 4 out, class_embed_type='projection'"):
        widen(joint_unet().unet, inputs=3)


@torch.no_grad()
def test_with_both_latents_each_domain_sees_the_others_noise(latents) -> None:
    """Sixteen channels, foreground first; without attention between them, too."""
    joint = joint_unet(attention=IndependentAttention(), input_latents="both")
    seen: list[Tensor] = []
    joint.unet.conv_in.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    foreground, alpha = torch.randn(2, 2, 4, 8, 8)
    joint(stack_domains(foreground, alpha), torch.cat(latents, dim=1), TIMESTEP)
    expected = torch.cat([foreground, alpha, *latents], dim=1)
    assert torch.equal(seen[0], stack_domains(expected, expected))


def test_size_multiple_is_the_number_of_halvings() -> None:
    joint = joint_unet()
    assert joint.size_multiple == 2
