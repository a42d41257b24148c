import sys

import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.nn.attention import IndependentAttention
from drip_lightning.nn.channel_order import ChannelOrder
from drip_lightning.nn.fine_tuning import AllWeights, AttentionOnly, FineTuning, LoRA
from drip_lightning.nn.joint_denoiser import JointDenoiser, Switcher
from drip_lightning.nn.switcher import PosEncSwitcher
from drip_lightning.nn.two_unets import TwoUNets
from tests.networks import shake, tiny_unet

PROMPT = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
WAYS = [PosEncSwitcher(), ChannelOrder(), TwoUNets()]


def tuned(fine_tuning: FineTuning, way: Switcher = WAYS[0]) -> JointDenoiser:
    joint = way.build(tiny_unet(), PROMPT, attention=IndependentAttention())
    fine_tuning.apply(joint)
    return joint


def trained(joint: JointDenoiser) -> set[str]:
    return {name for name, parameter in joint.named_parameters() if parameter.requires_grad}


def test_all_weights_train() -> None:
    joint = tuned(AllWeights())
    assert trained(joint) == {name for name, _ in joint.named_parameters()}


@pytest.mark.parametrize(
    ("way", "new"),
    [(WAYS[0], {"conv_in", "class_embedding"}), (WAYS[1], {"conv_in", "conv_out"}), (WAYS[2], {"conv_in"})],
)
def test_attention_and_what_is_new_train(way, new) -> None:
    joint = tuned(AttentionOnly(), way)
    names = {name for name, _ in joint.named_parameters()}
    expected = {name for name in names if ".attn1." in name or ".attn2." in name or new & set(name.split("."))}
    assert trained(joint) == expected
    assert len(expected) < len(names)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_lora_starts_as_it_was_and_trains_additions_of_its_rank_and_what_is_new(way) -> None:
    plain = way.build(tiny_unet(), PROMPT, attention=IndependentAttention()).eval()
    joint = tuned(LoRA(rank=2, scale=4), way).eval()
    inputs = torch.randn(4, 4, 8, 8), torch.randn(2, 8, 8, 8), torch.tensor([3, 700])
    with torch.no_grad():
        torch.testing.assert_close(joint(*inputs), plain(*inputs), atol=1e-5, rtol=1e-5)
    for name in trained(joint):
        assert "lora_A" in name or "lora_B" in name or set(joint.new_layers) & set(name.split(".")), name
    weights = dict(joint.named_parameters())
    additions = [name for name in weights if "lora_A" in name]
    assert all(weights[name].shape[0] == 2 for name in additions)
    layers = [name for name, _ in plain.named_modules() if name.endswith(("to_q", "to_k", "to_v", "to_out.0"))]
    assert len(additions) == len(layers)


@torch.no_grad()
def test_lora_adds_scale_over_rank_times_the_product() -> None:
    joint = tuned(LoRA(rank=2, scale=6))
    layer = next(module for name, module in joint.named_modules() if name.endswith("attn1.to_q"))
    shake(layer)
    tokens = torch.randn(5, layer.in_features)
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = tokens @ (layer.base_layer.weight + 3 * product).T
    torch.testing.assert_close(layer(tokens), expected, atol=1e-5, rtol=1e-5)


def test_lora_without_peft_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'drip_lightning\[lora\]'"):
        tuned(LoRA())
    with pytest.raises(InputError, match=r"fine_tuning\.rank"):
        LoRA(rank=0)
