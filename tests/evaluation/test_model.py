from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from drip_lightning.evaluation.model import Model, VaeCeiling, weights_digest
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn import sampler
from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.sampler import Matte, median_matte
from drip_lightning.ops.domains import stack_domains
from drip_lightning.ops.randomness import sample_generator
from tests.networks import matting_batch, shake


@pytest.fixture(scope="module")
def stage(runs: Path) -> MattingStage:
    """A transparency decoder that differs from the VAE's."""
    stage = MattingStage.from_checkpoint(runs / "transparency")
    shake(stage.latent_decoder)
    return stage


def test_one_set_of_latents_is_decoded_by_every_decoder(stage: MattingStage, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"sample": 0, "decode": 0}
    sample, decode = sampler.sample_latents, LatentCodec.decode

    def counted(name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return method(*args, **kwargs)

    monkeypatch.setattr(sampler, "sample_latents", lambda *args, **more: counted("sample", sample, *args, **more))
    monkeypatch.setattr(LatentCodec, "decode", lambda *args, **more: counted("decode", decode, *args, **more))
    batch = matting_batch(5, size=32)
    method, told = Model(stage, name="ours", source="here"), list[tuple[int, int]]()
    method.progress = lambda done, total: told.append((done, total))
    plain, own = method.mattes(batch, steps=2, seeds=[3])
    assert told == [(part, 5) for part in range(1, 6)]  # encoded, two steps, both decoders
    assert calls == {"sample": 1, "decode": 1}
    assert method.rows == ("ours, VAE decoder", "ours")
    assert not torch.equal(plain.alpha, own.alpha)
    expected = stage.sampler(batch["image"], batch["trimap"], steps=2, generators=[sample_generator(3, 5, "sampling")])
    assert torch.equal(own.alpha, expected.alpha)
    assert torch.equal(own.foreground, expected.foreground)


def test_the_ceiling_is_the_truth_encoded_and_decoded(stage: MattingStage) -> None:
    batch = matting_batch(5, size=32)
    plain, _ = VaeCeiling(stage, name="ours", source="here").mattes(batch, steps=None, seeds=[0])
    codec = stage.sampler.codec
    with torch.no_grad():
        _, alpha = codec.decode(stack_domains(*codec.encode(batch["foreground"], batch["alpha"])))
    unknown = batch["trimap"] == 0.5
    torch.testing.assert_close(plain.alpha[unknown], alpha.clamp(0, 1)[unknown])
    assert torch.equal(plain.alpha[~unknown], batch["trimap"][~unknown])


def test_the_median_by_hand() -> None:
    alphas = [torch.tensor([[[[a, b]]]]) for a, b in ((0.1, 0.9), (0.5, 0.2), (0.2, 0.3), (0.4, 0.8))]
    mattes = [Matte(foreground=alpha.expand(1, 3, 1, 2), alpha=alpha) for alpha in alphas]
    assert median_matte(mattes[:3]).alpha.flatten().tolist() == pytest.approx([0.2, 0.3])
    assert median_matte(mattes).alpha.flatten().tolist() == pytest.approx([0.3, 0.55])
    assert median_matte(mattes).foreground[0, 2, 0].tolist() == pytest.approx([0.3, 0.55])
    assert median_matte(mattes[:1]) is mattes[0]


def test_the_digest_sees_every_weight_and_nothing_else() -> None:
    layer = torch.nn.Linear(2, 2)
    before = weights_digest(layer)
    assert weights_digest(layer) == before
    with torch.no_grad():
        layer.bias[1] += 1e-6
    assert weights_digest(layer) != before
