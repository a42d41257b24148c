from dataclasses import replace

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.nn.attention import (
    CrossDomainAttention,
    CrossDomainAttnProcessor,
    IndependentAttention,
    LowResolutionCrossDomainAttention,
    PromptAttnProcessor,
)
from drip_lightning.ops.domains import stack_domains
from tests.networks import NETWORKS, shake, tiny_unet


def literal(attn: Attention, queries: Tensor, keys_and_values: Tensor) -> Tensor:
    """`softmax(Q K^T / sqrt(d)) V` of one sequence (N, C), head by head, in double precision."""
    query = queries.double() @ attn.to_q.weight.double().T
    key = keys_and_values.double() @ attn.to_k.weight.double().T
    value = keys_and_values.double() @ attn.to_v.weight.double().T
    width = query.shape[-1] // attn.heads
    heads = []
    for head in range(attn.heads):
        own = slice(head * width, (head + 1) * width)
        weights = torch.softmax(query[:, own] @ key[:, own].T / width**0.5, dim=-1)
        heads.append(weights @ value[:, own])
    out = attn.to_out[0]
    return torch.cat(heads, dim=-1) @ out.weight.double().T + out.bias.double()


def equation_4(attn: Attention, stacked: Tensor) -> Tensor:
    """DRIP Eq. 4 pair by pair: queries of one domain, keys and values of both domains concatenated."""
    pairs = len(stacked) // 2
    both = [torch.cat([stacked[pair], stacked[pairs + pair]]) for pair in range(pairs)]
    return torch.stack([literal(attn, tokens, both[place % pairs]) for place, tokens in enumerate(stacked)])


@torch.no_grad()
@pytest.mark.parametrize(("heads", "pairs", "tokens"), [(1, 1, 1), (2, 3, 5), (4, 2, 16)])
def test_one_layer_equals_equation_4(heads, pairs, tokens) -> None:
    torch.manual_seed(0)
    attn = Attention(query_dim=16, heads=heads, dim_head=8, processor=CrossDomainAttnProcessor())
    stacked = 3 * torch.randn(2 * pairs, tokens, 16)
    torch.testing.assert_close(attn(stacked), equation_4(attn, stacked).float(), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_every_self_attention_of_a_unet_equals_equation_4_and_text_attention_is_untouched() -> None:
    unet = tiny_unet()
    CrossDomainAttention().install(unet)
    shake(unet)
    seen: dict[str, tuple[Attention, Tensor, Tensor | None, Tensor]] = {}
    for name, module in unet.named_modules():
        if isinstance(module, Attention):
            module.register_forward_hook(
                lambda attn, args, kwargs, output, name=name: seen.__setitem__(
                    name, (attn, args[0], kwargs.get("encoder_hidden_states"), output)
                ),
                with_kwargs=True,
            )
    prompt = torch.randn(4, 3, 8)
    unet(torch.randn(4, 4, 4, 4), torch.tensor([5, 900, 5, 900]), encoder_hidden_states=prompt)
    own = [name for name in seen if name.endswith("attn1")]
    text = [name for name in seen if name.endswith("attn2")]
    assert len(own) == len(text) == 4  # one down, one in the middle, two up
    for name in own:
        attn, tokens, _, output = seen[name]
        torch.testing.assert_close(output, equation_4(attn, tokens).float(), atol=1e-5, rtol=1e-5)
    for name in text:
        attn, tokens, given_prompt, output = seen[name]
        expected = [literal(attn, query, text) for query, text in zip(tokens, given_prompt, strict=True)]
        torch.testing.assert_close(output, torch.stack(expected).float(), atol=1e-5, rtol=1e-5)


def test_install_puts_the_processor_on_self_attention_alone() -> None:
    unet = tiny_unet()
    CrossDomainAttention().install(unet)
    for name, processor in unet.attn_processors.items():
        assert type(processor) is (CrossDomainAttnProcessor if ".attn1." in name else PromptAttnProcessor), name
    IndependentAttention().install(unet)
    for name, processor in unet.attn_processors.items():
        assert type(processor) is (AttnProcessor2_0 if ".attn1." in name else PromptAttnProcessor), name


@torch.no_grad()
@pytest.mark.parametrize("attention", [CrossDomainAttention(), IndependentAttention()], ids=["cross", "independent"])
def test_what_a_domain_sees(attention) -> None:
    """Changing pair 0's alpha changes its foreground through cross-domain attention alone, and no other pair."""
    unet = tiny_unet()
    attention.install(unet)
    foreground, alpha = torch.randn(2, 2, 4, 4, 4)
    prompt = torch.randn(1, 3, 8).expand(4, -1, -1)

    def run(alpha: Tensor) -> Tensor:
        return unet(stack_domains(foreground, alpha), 500, encoder_hidden_states=prompt).sample

    changed = alpha.clone()
    changed[0] += 1
    difference = (run(alpha) - run(changed)).abs().flatten(1).amax(dim=1)
    assert difference[1] < 1e-6
    assert difference[3] < 1e-6
    assert difference[2] > 1e-2
    if attention == IndependentAttention():
        assert difference[0] < 1e-6
    else:
        assert difference[0] > 1e-4


@torch.no_grad()
def test_equal_domains_attend_as_one() -> None:
    """With the other domain's tokens equal, every attention weight is halved and counted twice."""
    attn = Attention(query_dim=16, heads=2, dim_head=8, processor=CrossDomainAttnProcessor())
    tokens = torch.randn(2, 6, 16)
    alone = AttnProcessor2_0()(attn, tokens)
    torch.testing.assert_close(attn(stack_domains(tokens, tokens)), stack_domains(alone, alone), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("levels", "blocks"),
    [
        (0, {"mid_block"}),
        (1, {"mid_block", "down_blocks.1", "up_blocks.1"}),
        (2, {"mid_block", "down_blocks.1", "up_blocks.1", "down_blocks.0", "up_blocks.2"}),
        (9, {"mid_block", "down_blocks.1", "up_blocks.1", "down_blocks.0", "up_blocks.2"}),
    ],
)
def test_low_resolution_attention_is_the_middle_and_the_lowest_levels_that_attend(levels, blocks) -> None:
    """Of three levels the upper two attend; the decoder counts them backwards."""
    unet = replace(NETWORKS, unet_channels=(8, 16, 16)).unet()
    LowResolutionCrossDomainAttention(levels=levels).install(unet)
    chosen = {name for name, own in unet.attn_processors.items() if type(own) is CrossDomainAttnProcessor}
    assert all(name.endswith(".attn1.processor") for name in chosen)
    assert {name.split(".attentions")[0] for name in chosen} == blocks
    expected = [name for name in unet.attn_processors if ".attn1." in name and name.split(".attentions")[0] in blocks]
    assert sorted(chosen) == sorted(expected)


def test_a_negative_number_of_levels_is_refused() -> None:
    with pytest.raises(InputError, match=r"attention\.levels"):
        LowResolutionCrossDomainAttention(levels=-1)


class TestPrompt:
    """Of text cross-attention, with the prompt of one sample for all."""

    @pytest.fixture
    def attn(self) -> Attention:
        torch.manual_seed(0)
        own = {"query_dim": 16, "cross_attention_dim": 8, "heads": 2, "dim_head": 8}
        return Attention(**own, processor=PromptAttnProcessor())

    @pytest.fixture
    def made(self, attn: Attention) -> list[Tensor]:
        """What the layer of the keys is given, call by call."""
        calls: list[Tensor] = []
        attn.to_k.register_forward_hook(lambda layer, args, output: calls.append(args[0]))
        return calls

    def test_gives_and_trains_what_a_prompt_for_each_sample_does(self, attn: Attention, made: list[Tensor]) -> None:
        tokens, prompt = torch.randn(3, 5, 16), torch.randn(1, 4, 8)
        results = []
        for ask in (
            lambda: attn(tokens, encoder_hidden_states=prompt),
            lambda: AttnProcessor2_0()(attn, tokens, encoder_hidden_states=prompt.expand(3, -1, -1)),
        ):
            output = ask()
            output.square().sum().backward()
            results.append([output.detach(), *(parameter.grad for parameter in attn.parameters())])
            attn.zero_grad()
        torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)
        assert [len(given) for given in made] == [1, 3]

    def test_frozen_keys_are_kept_until_weights_or_prompt_change(self, attn: Attention, made: list[Tensor]) -> None:
        attn.requires_grad_(False)
        tokens, prompt = torch.randn(3, 5, 16), torch.randn(1, 4, 8)

        def check(calls: int) -> None:
            found = attn(tokens, encoder_hidden_states=prompt)
            torch.testing.assert_close(found[1], literal(attn, tokens[1], prompt[0]).float(), atol=1e-5, rtol=1e-5)
            assert len(made) == calls

        for _ in range(3):
            check(1)
        attn.load_state_dict({name: 2 * value for name, value in attn.state_dict().items()})
        check(2)
        check(2)
        prompt.mul_(3)
        check(3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert attn(tokens, encoder_hidden_states=prompt).dtype == torch.bfloat16
        assert len(made) == 4
        check(5)

    def test_trainable_keys_are_made_anew_each_time(self, attn: Attention, made: list[Tensor]) -> None:
        for _ in range(3):
            attn(torch.randn(3, 5, 16), encoder_hidden_states=torch.randn(1, 4, 8))
        assert len(made) == 3

    def test_keys_kept_by_a_validation_serve_training(self, attn: Attention) -> None:
        attn.to_k.requires_grad_(False)
        attn.to_v.requires_grad_(False)
        tokens, prompt = torch.randn(3, 5, 16), torch.randn(1, 4, 8)
        with torch.inference_mode():
            attn(tokens, encoder_hidden_states=prompt)
        attn(tokens, encoder_hidden_states=prompt).sum().backward()
        assert attn.to_q.weight.grad.abs().sum() > 0
