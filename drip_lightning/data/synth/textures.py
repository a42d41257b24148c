"""Procedural colour: palettes, textured fields, and the backgrounds made of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Texture = Callable[[int, np.random.Generator], Bytes]
"""`(size, generator) -> (size, size, 3)`: the surface of an object."""

# (hue centre, hue spread, saturation range, value range): what the world is made of, so that an object and a
# background drawn apart share their colours now and then.
_MATERIALS = {
    "earth": (0.08, 0.04, (0.25, 0.7), (0.15, 0.8)),
    "foliage": (0.27, 0.08, (0.3, 0.8), (0.12, 0.75)),
    "sky": (0.58, 0.05, (0.15, 0.7), (0.45, 1.0)),
    "skin": (0.05, 0.02, (0.25, 0.6), (0.35, 0.98)),
    "stone": (0.1, 0.5, (0.0, 0.12), (0.15, 0.95)),
    "dusk": (0.72, 0.12, (0.2, 0.7), (0.05, 0.5)),
    "cloth": (0.5, 0.5, (0.45, 0.9), (0.25, 0.95)),
    "flower": (0.93, 0.08, (0.4, 0.9), (0.4, 1.0)),
}
MATERIALS = tuple(_MATERIALS)


def hsv_to_rgb(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """Hexcone HSV to RGB; arrays of one shape in, an extra last axis of 3 out, all in [0, 1] (hue wraps)."""
    turn = (np.array([5.0, 3.0, 1.0]) + np.asarray(hue)[..., None] * 6.0) % 6.0
    ramp = np.clip(np.minimum(turn, 4.0 - turn), 0.0, 1.0)
    return (value[..., None] * (1.0 - saturation[..., None] * ramp)).astype(np.float32)


def draw_palette(generator: np.random.Generator, material: str | None = None) -> Floats:
    """Draw four to six colours that belong together, from dark to light.

    Args:
        generator: Source of every choice.
        material: One of `MATERIALS`; drawn when not given.

    Returns:
        (K, 3) in [0, 1].
    """
    name = material or MATERIALS[generator.integers(len(MATERIALS))]
    centre, spread, saturations, values = _MATERIALS[name]
    count = int(generator.integers(4, 7))
    hue = (centre + generator.uniform(-spread, spread) + generator.normal(0, 0.02, count)).astype(np.float32)
    saturation = generator.uniform(*saturations, count).astype(np.float32)
    low, high = np.sort(generator.uniform(*values, 2))
    middle, reach = (low + high) / 2, max(high - low, 0.35 * (values[1] - values[0])) / 2
    value = np.clip(np.linspace(middle - reach, middle + reach, count) + generator.normal(0, 0.03, count), 0.02, 1.0)
    return hsv_to_rgb(hue, saturation, value.astype(np.float32))


def colourise(field: Floats, palette: Floats) -> Bytes:
    """Map a field (H, W) in [0, 1] along a palette (K, 3) to colours (H, W, 3)."""
    stops = np.linspace(0, 255, len(palette))
    table = np.stack([np.interp(np.arange(256), stops, palette[:, c]) for c in range(3)], axis=1)
    return np.take(np.round(table * 255).astype(np.uint8), to_bytes(field), axis=0)


def to_bytes(field: Floats) -> Bytes:
    """Round a field in [0, 1] to 8 bits, clipping what lies outside."""
    return (np.clip(field, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def resize(field: Floats, width: int, height: int) -> Floats:
    """Resample a field (H, W) bicubically."""
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def coordinates(size: int) -> tuple[Floats, Floats]:
    """Pixel centres `x` (1, size) and `y` (size, 1), in fractions of the picture's side."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return line[None, :], line[:, None]


def noise(
    size: int,
    generator: np.random.Generator,
    *,
    cells: float = 4,
    stretch: float = 1.0,
    octaves: int = 5,
    persistence: float = 0.55,
) -> Floats:
    """Multi-octave value noise.

    Args:
        size: Side of the result.
        generator: Source of the lattice values.
        cells: Lattice cells along the picture in the first octave.
        stretch: Ratio of the lattice's columns to its rows; above 1 the noise runs in upright streaks.
        octaves: Most octaves, each twice as fine; fewer where the lattice would be finer than the pixels.
        persistence: Weight of an octave relative to the one before.

    Returns:
        (size, size), its lowest value 0 and its highest 1.
    """
    columns, rows = max(2, round(cells * stretch**0.5)), max(2, round(cells / stretch**0.5))
    total = generator.random((rows, columns), dtype=np.float32)
    weight = 1.0
    for _ in range(octaves - 1):
        if max(columns, rows) * 2 > size:
            break
        columns, rows, weight = columns * 2, rows * 2, weight * persistence
        total = resize(total, columns, rows) + np.float32(weight) * generator.random((rows, columns), dtype=np.float32)
    total = resize(total, size, size)
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def _rotated(size: int, generator: np.random.Generator, warp: float) -> tuple[Floats, Floats]:
    """Coordinates turned by a random angle and bent by smooth noise of `warp` picture sides."""
    x, y = coordinates(size)
    angle = generator.uniform(0, np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    bend = np.float32(warp) * (noise(size, generator, cells=3, octaves=2) - np.float32(0.5))
    return cosine * x + sine * y + bend, cosine * y - sine * x + bend


def _cloudy(size: int, generator: np.random.Generator) -> Floats:
    cells = generator.uniform(2, 10)
    return noise(size, generator, cells=cells, octaves=7, persistence=generator.uniform(0.45, 0.75))


def _streaked(size: int, generator: np.random.Generator) -> Floats:
    stretch = float(generator.choice([0.02, 0.05, 0.1, 10, 20, 50]))
    return noise(size, generator, cells=generator.uniform(6, 16), stretch=stretch, octaves=5)


def _gradient(size: int, generator: np.random.Generator) -> Floats:
    u, v = _rotated(size, generator, 0.3)
    if generator.random() < 0.5:
        u = np.hypot(u - u.mean() + generator.uniform(-0.3, 0.3), v - v.mean())
    ramp = (u - u.min()) / np.ptp(u)
    return 0.75 * ramp + 0.25 * noise(size, generator, cells=12, octaves=4)


def _striped(size: int, generator: np.random.Generator) -> Floats:
    u, _ = _rotated(size, generator, generator.uniform(0, 0.2))
    wave = np.sin(2 * np.pi * generator.uniform(4, 24) * u)
    sharpness = generator.uniform(1, 8)
    return 0.4 + 0.3 * np.tanh(sharpness * wave) / float(np.tanh(sharpness)) + 0.3 * (_cloudy(size, generator) - 0.2)


def _marbled(size: int, generator: np.random.Generator) -> Floats:
    u, _ = _rotated(size, generator, 0.2)
    veins = np.sin(2 * np.pi * (generator.uniform(2, 7) * u + 2.5 * noise(size, generator, cells=4, octaves=6)))
    return 0.5 + 0.5 * veins


def _chequered(size: int, generator: np.random.Generator) -> Floats:
    u, v = _rotated(size, generator, generator.uniform(0, 0.1))
    count = generator.uniform(3, 14)
    first, second = (np.tanh(6 * np.sin(2 * np.pi * count * w)) for w in (u, v))
    return 0.5 + 0.18 * first + 0.18 * second + 0.28 * (_cloudy(size, generator) - 0.5)


def _bricked(size: int, generator: np.random.Generator) -> Floats:
    u, v = _rotated(size, generator, 0.03)
    rows = generator.uniform(6, 18)
    v = v * rows + 64
    row = np.floor(v)
    u = u * rows * generator.uniform(0.35, 0.8) + 64 + (row % 2) / 2
    column = np.floor(u)
    tone = generator.random((64, 64), dtype=np.float32)[row.astype(np.intp) % 64, column.astype(np.intp) % 64]
    joint = np.minimum(np.minimum(v - row, row + 1 - v), 2 * np.minimum(u - column, column + 1 - u))
    mortar = np.clip((0.1 - joint) * 20, 0, 1)
    return (0.35 + 0.4 * tone) * (1 - mortar) + 0.05 * mortar + 0.25 * (_cloudy(size, generator) - 0.3)


def _spotted(size: int, generator: np.random.Generator) -> Floats:
    cells = noise(size, generator, cells=generator.uniform(10, 30), octaves=2)
    spots = 1 / (1 + np.exp(-(cells - generator.uniform(0.4, 0.65)) * generator.uniform(15, 60)))
    return 0.7 * spots.astype(np.float32) + 0.3 * _cloudy(size, generator)


_FIELDS: tuple[Callable[[int, np.random.Generator], Floats], ...] = (
    _cloudy,
    _streaked,
    _gradient,
    _striped,
    _marbled,
    _chequered,
    _bricked,
    _spotted,
)


def draw_texture(size: int, generator: np.random.Generator, palette: Floats | None = None) -> Bytes:
    """Draw a texture: one of eight patterns in one palette, shaded by a second, softer one.

    Returns:
        (size, size, 3).
    """
    palette = draw_palette(generator) if palette is None else palette
    field = _FIELDS[generator.integers(len(_FIELDS))](size, generator)
    colour = colourise(field.astype(np.float32), palette)
    shade = to_bytes(0.5 + 0.5 * noise(size, generator, cells=2, octaves=8, persistence=0.45))
    return scaled(colour, shade)


def scaled(colour: Bytes, shade: Bytes) -> Bytes:
    """Darken colours (H, W, 3) by a shade (H, W), 255 leaving them as they are."""
    return ((colour.astype(np.uint16) * shade[..., None] + 127) // 255).astype(np.uint8)


def blended(first: Bytes, second: Bytes, weight: Bytes) -> Bytes:
    """Go from `first` (H, W, 3) to `second` where `weight` (H, W) goes from 0 to 255."""
    images = (Image.fromarray(second), Image.fromarray(first), Image.fromarray(weight))
    return np.asarray(Image.composite(*images))


def _defocused(picture: Image.Image, deviation: float) -> Image.Image:
    """Blur a picture; a strong blur is drawn at half the size, which is as smooth and a third of the work."""
    if deviation < 3:
        return picture.filter(ImageFilter.GaussianBlur(deviation))
    half = picture.reduce(2).filter(ImageFilter.GaussianBlur(deviation / 2))
    return half.resize(picture.size, Image.Resampling.BILINEAR)


def _bokeh(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Scatter out-of-focus lights over a picture."""
    size = picture.width
    palette = (draw_palette(generator) * 155 + 100).astype(int)
    lights = ImageDraw.Draw(picture, "RGBA")
    radius = generator.uniform(0.02, 0.07) * size
    for x, y, grow in generator.random((int(generator.integers(12, 50)), 3)):
        r = radius * (0.6 + 0.8 * grow)
        box = (x * size - r, y * size - r, x * size + r, y * size + r)
        red, green, blue = palette[generator.integers(len(palette))].tolist()
        lights.ellipse(box, fill=(red, green, blue, int(generator.integers(60, 190))))
    return picture.filter(ImageFilter.GaussianBlur(0.08 * radius))


def draw_background(size: int, generator: np.random.Generator, palette: Floats | None = None) -> Bytes:
    """Draw a background: one texture or two meeting along a wavy border, then perhaps defocus, bokeh and grain.

    Args:
        size: Side of the picture.
        generator: Source of every choice.
        palette: (K, 3) in [0, 1]; give the object's to make a background hard to tell from it.

    Returns:
        (size, size, 3).
    """
    colour = draw_texture(size, generator, palette)
    if generator.random() < 0.5:
        u, _ = _rotated(size, generator, generator.uniform(0.1, 1.0))
        border = to_bytes((u - u.mean()) * generator.uniform(3, 200) + generator.uniform(-1, 1) + 0.5)
        colour = blended(colour, draw_texture(size, generator), border)
    picture = Image.fromarray(colour)
    if generator.random() < 0.4:
        picture = _defocused(picture, generator.uniform(0.002, 0.02) * size)
    if generator.random() < 0.18:
        picture = _bokeh(picture, generator)
    colour = np.asarray(picture)
    if generator.random() < 0.5:
        grain = generator.integers(-5, 6, (size, size, 1), dtype=np.int16)
        colour = np.clip(colour + grain, 0, 255).astype(np.uint8)
    return colour
