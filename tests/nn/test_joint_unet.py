import pytest
import torch
from torch import Tensor

from drip_lightning.nn.attention import CrossDomainAttention, IndependentAttention
from drip_lightning.nn.joint_unet import JointUNet, widen
from drip_lightning.nn.switcher import PosEncSwitcher, positional_encoding
from drip_lightning.ops.domains import split_domains, stack_domains
from tests.networks import shake, tiny_unet

PROMPT = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
TIMESTEP = torch.tensor([3, 700])


@pytest.fixture
def latents() -> tuple[Tensor, Tensor]:
    one, other = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return one, other


@torch.no_grad()
@pytest.mark.parametrize("attention", [CrossDomainAttention(), IndependentAttention()], ids=["cross", "independent"])
@pytest.mark.parametrize("frequencies", [1, 2, 5])
def test_starts_as_the_pretrained_network(attention, frequencies, latents) -> None:
    """Fed (z, z, z) the widened U-Net equals the pretrained one fed z, for both domains."""
    unet = tiny_unet()
    shake(unet)
    latent, _ = latents
    joint = JointUNet(unet, PROMPT, switcher=PosEncSwitcher(frequencies=frequencies), attention=attention).eval()
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
    joint = JointUNet(unet, PROMPT, attention=IndependentAttention()).eval()
    outputs = joint(3 * stack_domains(foreground, alpha), torch.zeros(2, 8, 8, 8), TIMESTEP)
    for latent, output in zip((foreground, alpha), split_domains(outputs), strict=True):
        expected = unet(latent, TIMESTEP, encoder_hidden_states=PROMPT.expand(2, -1, -1)).sample
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


def test_input_kernel_is_copied_three_times_and_divided_by_three() -> None:
    unet = tiny_unet()
    wide = widen(unet, PosEncSwitcher())
    for copy in wide.conv_in.weight.split(4, dim=1):
        assert torch.equal(copy, unet.conv_in.weight / 3)
    assert torch.equal(wide.conv_in.bias, unet.conv_in.bias)
    assert unet.conv_in.weight.shape[1] == 4  # the pretrained network is left as it was
    for name, weight in unet.state_dict().items():
        if name != "conv_in.weight":
            assert torch.equal(wide.state_dict()[name], weight), name


@torch.no_grad()
def test_the_order_of_the_input_is_noisy_image_trimap(latents) -> None:
    """Kernels that read one third each tell the three inputs apart."""
    image, trimap = latents
    noisy = torch.randn(4, 4, 8, 8)
    joint = JointUNet(tiny_unet(), PROMPT)
    seen: list[Tensor] = []
    joint.unet.conv_in.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    joint(noisy, torch.cat([image, trimap], dim=1), TIMESTEP)
    expected = [noisy, stack_domains(image, image), stack_domains(trimap, trimap)]
    assert torch.equal(seen[0], torch.cat(expected, dim=1))


@torch.no_grad()
def test_the_switcher_alone_tells_the_domains_apart(latents) -> None:
    latent, condition = latents
    joint = JointUNet(tiny_unet(), PROMPT).eval()

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
    joint = JointUNet(tiny_unet(), PROMPT).eval()
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
    wide = widen(tiny_unet(), PosEncSwitcher())
    with pytest.raises(ValueError, match="got 12 in, 4 out, class_embed_type='projection'"):
        widen(wide, PosEncSwitcher())


def test_size_multiple_is_the_number_of_halvings() -> None:
    joint = JointUNet(tiny_unet(), PROMPT)
    assert joint.size_multiple == 2
