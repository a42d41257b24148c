import re

import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.nn.memory_bound import MemoryBound, Need, fitted, need_of
from drip_lightning.ops.sizes import Multiples, Sizes
from tests.nn.test_picture import networks, picture

MULTIPLES = Multiples(latent=8, denoiser=4, decoder=32, reduction=2)
UNKNOWN = torch.full((1, 1, 1000, 2000), 0.5)


def test_tiles_are_as_large_as_memory_allows() -> None:
    """400 bytes a pixel and 300² of them beside what the picture itself takes: tiles must be smaller than that."""
    need = Need(seen=10, tile=400)
    free = fitted(Sizes(), UNKNOWN, MULTIPLES, need, decoders=1, left=10**9)
    fixed = need.fixed(free, UNKNOWN.numel(), 1)
    assert 100e6 < fixed < 200e6
    assert free.tiles == Sizes().layout(UNKNOWN, MULTIPLES).tiles  # type: ignore[union-attr]
    tight = fitted(Sizes(), UNKNOWN, MULTIPLES, need, decoders=1, left=fixed + 400 * 300**2)
    assert 128 <= max(tight.tiles.each[0].size) <= 300
    assert tight.seen == free.seen
    seen = fitted(Sizes(), UNKNOWN, MULTIPLES, Need(seen=400, tile=1), decoders=1, left=fixed + 400 * 300**2)
    assert max(seen.seen.each[0].size) <= 300
    assert seen.tiles == free.tiles


def test_a_processing_size_that_memory_does_not_allow_is_seen_in_tiles() -> None:
    sizes = Sizes(processing_size=1024)
    assert len(sizes.layout(UNKNOWN, MULTIPLES).seen.each) == 1  # type: ignore[union-attr]
    tight = fitted(sizes, UNKNOWN, MULTIPLES, Need(seen=400, tile=1), decoders=1, left=10**9 // 5)
    assert len(tight.seen.each) > 1
    assert tight.reduction == sizes.layout(UNKNOWN, MULTIPLES).reduction  # type: ignore[union-attr]


def test_too_little_for_anything_is_refused_in_one_line() -> None:
    need = Need(seen=10, tile=10)
    with pytest.raises(
        InputError, match=r"^a picture of 2000×1000 needs 0\.\d\d GB .* 0.01 GB may still be taken: allow \S+ GB more"
    ) as told:
        fitted(Sizes(), UNKNOWN, MULTIPLES, need, decoders=1, left=10**7)
    assert "\n" not in str(told.value)
    more = re.findall(r"allow (\S+) GB more", str(told.value))[0]
    fitted(Sizes(), UNKNOWN, MULTIPLES, need, decoders=1, left=10**7 + int(float(more) * 1e9))  # that is enough


def test_what_networks_need_is_counted_in_them() -> None:
    whole = networks("unet")
    need = need_of(whole.codec, whole.joint_unet, whole.decoder, whole.hints, whole.multiples)
    # at least the decoder's input and a few features of 8 channels, 4 bytes each, and no thousands of them
    assert 4 * (8 + 8 + 8) < need.tile < 4000
    assert 4 * 8 * 2 < need.seen < 4000
    assert need_of(whole.codec, whole.joint_unet, whole.decoder, whole.hints, whole.multiples) is need


def test_a_pipeline_short_of_memory_works_in_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = networks("unet", sizes=Sizes(tile_size=200))
    image, trimap = picture(480)
    need = need_of(whole.codec, whole.joint_unet, whole.decoder, whole.hints, whole.multiples)
    layout = whole.sizes.layout(trimap, whole.multiples)
    assert layout is not None
    left = need.fixed(layout, trimap.numel(), 1) + int(0.7 * need.decoded_tile(layout))
    monkeypatch.setattr(MemoryBound, "left", lambda self, device: left)
    bounded = fitted(whole.sizes, trimap, whole.multiples, need, decoders=1, left=left)
    assert bounded.tiles.each[0].width < layout.tiles.each[0].width
    assert need.all_of(bounded, trimap.numel(), 1) <= left
    parts: list[int] = []
    generators = [torch.Generator().manual_seed(3)]
    result = whole(image, trimap, steps=2, generators=generators, progress=lambda part, all_: parts.append(all_))
    assert parts[-1] == len(parts) == len(bounded.tiles.each) + 4 * len(bounded.seen.each)
    assert result.alpha.isfinite().all()


def test_what_is_held_counts_against_a_limit() -> None:
    device = torch.device("cpu")
    assert MemoryBound(10**15).left(device) > 9 * 10**14
    assert MemoryBound(1).left(device) < 0
    assert 0 < MemoryBound().left(device) < 10**15
