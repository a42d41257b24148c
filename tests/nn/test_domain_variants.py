"""The alternatives to the switcher: channel order and two U-Nets."""

import pytest
import torch
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.nn.attention import CrossDomainAttention, IndependentAttention, LowResolutionCrossDomainAttention
from drip_lightning.nn.channel_order import ChannelOrder
from drip_lightning.nn.joint_denoiser import JointDenoiser, Switcher
from drip_lightning.nn.switcher import PosEncSwitcher
from drip_lightning.nn.two_unets import TwoUNets
from drip_lightning.ops.domains import split_domains, stack_domains
from tests.networks import shake, tiny_unet

PROMPT = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
TIMESTEP = torch.tensor([3, 700])
WAYS = [ChannelOrder(), TwoUNets(), TwoUNets(input_latents="both")]


def built(way: Switcher) -> JointDenoiser:
    return way.build(tiny_unet(), PROMPT, attention=IndependentAttention()).eval()


def changed(joint: JointDenoiser, place: int) -> list[bool]:
    """Whether each of the stacked answers changes when one of the stacked noisy latents does."""
    noisy = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    condition = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    other = noisy.clone()
    other[place] += 1
    difference = (joint(noisy, condition, TIMESTEP) - joint(other, condition, TIMESTEP)).abs().flatten(1).amax(dim=1)
    return [bool(own > 1e-4) for own in difference]


@torch.no_grad()
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_starts_as_the_pretrained_network(way) -> None:
    """Fed copies of z everywhere, both domains' answers are the pretrained network's for z."""
    unet = tiny_unet()
    shake(unet)
    latent = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    joint = way.build(unet, PROMPT, attention=IndependentAttention()).eval()
    answers = joint(stack_domains(latent, latent), torch.cat([latent, latent], dim=1), TIMESTEP)
    expected = unet(latent, TIMESTEP, encoder_hidden_states=PROMPT.expand(2, -1, -1)).sample
    for answer in split_domains(answers):
        torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("way", "both"), [(ChannelOrder(), True), (TwoUNets(), False), (TwoUNets(input_latents="both"), True)], ids=str
)
def test_what_a_domain_sees(way, both) -> None:
    """Pair 0's alpha lies third in the batch; its foreground, first, sees it or not; the other pair never."""
    joint = built(way)
    assert changed(joint, 2) == [both, False, True, False]
    assert changed(joint, 0) == [True, False, both, False]


@torch.no_grad()
def test_channel_order_is_foreground_alpha_image_trimap_and_answers_foreground_alpha() -> None:
    joint = built(ChannelOrder())
    seen: list[Tensor] = []
    joint.unets[0].conv_in.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    joint.unets[0].conv_out.register_forward_hook(lambda _, args, output: seen.append(output))
    foreground, alpha, image, trimap = torch.randn(4, 2, 4, 8, 8)
    answers = joint(stack_domains(foreground, alpha), torch.cat([image, trimap], dim=1), TIMESTEP)
    assert torch.equal(seen[0], torch.cat([foreground, alpha, image, trimap], dim=1))
    assert torch.equal(torch.cat(split_domains(answers), dim=1), seen[1])
    assert seen[1].shape[1] == 8


@torch.no_grad()
def test_two_unets_have_twice_the_parameters_and_share_none() -> None:
    joint = built(TwoUNets())
    plain = PosEncSwitcher().build(tiny_unet(), PROMPT, attention=IndependentAttention())
    embedding = sum(p.numel() for p in plain.unets[0].class_embedding.parameters())
    one = sum(p.numel() for p in plain.parameters()) - embedding
    assert sum(p.numel() for p in joint.parameters()) == 2 * one
    before = joint(*(inputs := (torch.randn(4, 4, 8, 8), torch.randn(2, 8, 8, 8), TIMESTEP)))
    shake(joint.unets[1])
    after = joint(*inputs)
    assert torch.equal(split_domains(before)[0], split_domains(after)[0])
    assert not torch.allclose(split_domains(before)[1], split_domains(after)[1])


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("attention", [CrossDomainAttention(), LowResolutionCrossDomainAttention()], ids=str)
def test_cross_domain_attention_is_refused_by_name(way, attention) -> None:
    message = f"{type(attention).__name__} with {type(way).__name__}: .* set attention to IndependentAttention"
    with pytest.raises(InputError, match=message) as error:
        way.build(tiny_unet(), PROMPT, attention=attention)
    assert "\n" not in str(error.value)
