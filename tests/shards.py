"""Small shards made on the fly, for the tests of whatever reads data."""

import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from drip_lightning.data.shards.writer import ShardWriter


def picture_bytes(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    """Encode uint8 (or uint16 grey) pixels, (H, W) or (H, W, C)."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def disc_rgba(seed: int, height: int, width: int) -> np.ndarray:
    """A bright textured disc with a soft edge on a black, undefined ground: (H, W, 4) uint8."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    centre_y, centre_x = random.uniform(0.4, 0.6, 2) * (height, width)
    distance = np.hypot(rows - centre_y, columns - centre_x)
    alpha = np.clip((0.35 * min(height, width) - distance) / 4 + 0.5, 0, 1)
    colour = random.uniform(100, 255, 3) + random.uniform(-40, 0, (height, width, 3))
    colour[alpha == 0] = 0
    return np.dstack([colour, alpha * 255]).round().astype(np.uint8)


def png_of_200_megapixels() -> bytes:
    """A PNG that says 20000x10000 pixels, in a hundred bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 20000, 10000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def write_shards(folder: Path, samples: Iterable[dict[str, object]], *, samples_per_shard: int = 3) -> str:
    with ShardWriter(folder, converter="test", arguments={"seed": 0}, samples_per_shard=samples_per_shard) as writer:
        for sample in samples:
            writer.write(sample)
    return str(folder)


def foreground_shards(folder: Path, count: int = 7, size: tuple[int, int] = (40, 48), prefix: str = "f") -> str:
    """Alternately `rgba.png` and `fg.png` + `alpha.png`; sizes vary a little from sample to sample."""

    def samples() -> Iterable[dict[str, object]]:
        for i in range(count):
            rgba = disc_rgba(i, size[0] + i % 3, size[1] - i % 2)
            if i % 2:
                members = {"fg.png": picture_bytes(rgba[..., :3].copy()), "alpha.png": picture_bytes(rgba[..., 3])}
            else:
                members = {"rgba.png": picture_bytes(rgba)}
            yield {"__key__": f"{prefix}{i:03d}", **members, "json": b"{}"}

    return write_shards(folder, samples())


def background_shards(folder: Path, count: int = 5, size: tuple[int, int] = (36, 30)) -> str:
    def samples() -> Iterable[dict[str, object]]:
        for i in range(count):
            pixels = np.random.default_rng(100 + i).integers(0, 256, (*size, 3), dtype=np.uint8)
            yield {"__key__": f"b{i:03d}", "jpg": picture_bytes(pixels, "JPEG", quality=95)}

    return write_shards(folder, samples(), samples_per_shard=2)


def evaluation_shards(folder: Path, count: int = 3) -> str:
    """Pictures of different sizes; the first has no `fg.png`."""

    def samples() -> Iterable[dict[str, object]]:
        for i in range(count):
            rgba = disc_rgba(200 + i, 20 + i, 24)
            alpha = rgba[..., 3]
            image = (rgba[..., :3] * (alpha[..., None] / 255.0)).round().astype(np.uint8)
            trimap = np.where(alpha == 255, 255, np.where(alpha == 0, 0, 128)).astype(np.uint8)
            members = {"image.png": image, "trimap.png": trimap, "alpha.png": alpha}
            if i:
                members["fg.png"] = rgba[..., :3].copy()
            yield {"__key__": f"e{i:03d}", **{name: picture_bytes(pixels) for name, pixels in members.items()}}

    return write_shards(folder, samples(), samples_per_shard=2)
