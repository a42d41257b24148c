"""Families made of many thin pieces: hair, fur and tufts; leaves on twigs."""

import numpy as np

from drip_lightning.data.synth.raster import (
    Points,
    as_floats,
    blob,
    blurred,
    grown,
    multiplied,
    paint_shades,
    rasterise,
    ribbons,
    rotated,
)
from drip_lightning.data.synth.textures import (
    Bytes,
    Floats,
    Texture,
    blended,
    colourise,
    draw_palette,
    noise,
    to_bytes,
)

_HAIR = np.array(
    [
        [[0.03, 0.02, 0.02], [0.12, 0.08, 0.07], [0.34, 0.27, 0.24]],
        [[0.14, 0.07, 0.04], [0.36, 0.2, 0.11], [0.66, 0.44, 0.28]],
        [[0.38, 0.26, 0.12], [0.72, 0.55, 0.32], [0.97, 0.88, 0.67]],
        [[0.3, 0.09, 0.03], [0.62, 0.24, 0.09], [0.93, 0.54, 0.28]],
        [[0.35, 0.34, 0.33], [0.63, 0.62, 0.61], [0.97, 0.97, 0.96]],
    ],
    dtype=np.float32,
)


_TURN = np.linspace(0, 2 * np.pi, 64, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


def strands(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """Hair on a head, fur on a body, or a tuft radiating from its middle."""
    style = (_hair, _fur, _tuft)[generator.choice(3, p=(0.45, 0.4, 0.15))]
    colour, alpha = style(size, generator, texture)
    if generator.random() < 0.2:
        alpha = blurred(alpha, generator.uniform(0.001, 0.004) * size)
    return colour, alpha


def _strand_palette(generator: np.random.Generator) -> Floats:
    if generator.random() < 0.25:
        return draw_palette(generator)
    return np.clip(_HAIR[generator.integers(len(_HAIR))] * generator.uniform(0.8, 1.15), 0, 1).astype(np.float32)


def _clumped(generator: np.random.Generator, count: int, spread: float, stray: float) -> Points:
    """Offsets (count,) shared by neighbouring strands, plus a little of their own, plus a lot for one in ten."""
    clumps = generator.normal(0, spread, max(2, count // 9))
    position = np.linspace(0, len(clumps) - 1, count)
    shared = np.interp(position, np.arange(len(clumps)), clumps)
    own = generator.normal(0, 1, count) * np.where(generator.random(count) < 0.1, stray, 0.15 * stray)
    return shared + own


def _thicknesses(generator: np.random.Generator, count: int, size: int, steps: int) -> Points:
    """Widths (count, steps + 1) of tapering strands: 0.7 to 2 pixels at the root of a 512-pixel picture."""
    pixel = 1 / max(size, 160)
    root = pixel * (0.7 + 1.3 * generator.random(count) ** 2) * (max(size, 160) / 512) ** 0.5
    return root[:, None] * (1 - np.linspace(0, 1, steps + 1) ** 2 * 0.8)


def _streaks(size: int, generator: np.random.Generator, stretch: float) -> Bytes:
    return to_bytes(0.15 + 0.55 * noise(size, generator, cells=14, stretch=stretch, octaves=4))


def _drawn(
    size: int, generator: np.random.Generator, paths: Points, body: list[Points], shades: Bytes
) -> tuple[Bytes, Bytes]:
    """Rasterise strands over a body: a map of shades for the colour, and the coverage."""
    widths = _thicknesses(generator, len(paths), size, paths.shape[1] - 1)
    alpha = rasterise([*body, *ribbons(paths, widths)], size)
    inks = np.clip(generator.normal(125, 45, len(paths)), 0, 255).astype(int).tolist()
    shades = paint_shades(shades, ribbons(paths, np.maximum(widths, 2.0 / size)), inks)
    return blurred(shades, 0.5), alpha


def _hair(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """A head and shoulders; the hair frames the face and comes loose at its outline."""
    middle = np.array([generator.uniform(0.43, 0.57), generator.uniform(0.36, 0.43)])
    head = generator.uniform(0.17, 0.22)
    face = middle + np.array([0, 0.25 * head]) + _CIRCLE * head * [0.8, 1.1]
    neck = middle + np.array([[-0.45, 0.8], [0.45, 0.8], [0.55, 2.2], [-0.55, 2.2]]) * head
    shoulders = middle + np.array([0, 0.8]) + _CIRCLE * [generator.uniform(0.34, 0.48), 0.46]
    fall = generator.uniform(0.1, 2.0)
    mass = middle + _hair_mass(generator, fall) * head
    paths = _hair_strands(generator, mass, middle, head)

    shades, alpha = _drawn(size, generator, paths, [mass, face, neck, shoulders], _streaks(size, generator, 12.0))
    shade = as_floats(shades) * (0.75 + 0.5 * noise(size, generator, cells=3, octaves=2))
    colour = colourise(np.clip(shade, 0, 1), _strand_palette(generator))
    skin = colourise(noise(size, generator, cells=2, octaves=4), draw_palette(generator, "skin"))
    parting = generator.uniform(-0.35, 0.35)
    curtain = np.array([[0.85, 0.5], [0.7, -0.1], [parting + 0.3, -0.55], [parting, -0.7], [parting - 0.3, -0.55]])
    above = np.array([[-0.7, -0.1], [-0.85, 0.5], [-1.3, 0.5], [-1.3, -1.4], [1.3, -1.4], [1.3, 0.5]])
    fringe = middle + np.concatenate([curtain, above]) * head
    colour = blended(colour, skin, blurred(rasterise([face], size, holes=[fringe]), 0.002 * size))
    below = multiplied(rasterise([neck, shoulders], size), 255 - rasterise([mass, face], size))
    colour = blended(colour, skin, multiplied(below, rasterise([neck], size)))
    return blended(colour, texture(size, generator), multiplied(below, rasterise([shoulders], size))), alpha


def _hair_mass(generator: np.random.Generator, fall: float) -> Points:
    """Outline of the hair around a head of radius 1, reaching `fall` below its middle."""
    wide, flare = generator.uniform(1.05, 1.3), generator.uniform(0.85, 1.4)
    angle = np.linspace(np.pi, 2 * np.pi, 40)
    top = np.stack([wide * np.cos(angle), 1.25 * np.sin(angle)], axis=1)
    across = np.linspace(1, -1, 24)
    ends = fall + 0.12 * generator.normal(0, 1, 24) * min(1.0, fall)
    bottom = np.stack([wide * flare * across, ends + 0.25 * (1 - across**2)], axis=1)
    return np.concatenate([top, bottom])


def _hair_strands(generator: np.random.Generator, mass: Points, middle: Points, head: float) -> Points:
    """Strands that leave the outline of the hair, and others that lie within it."""
    count, inner = int(generator.integers(350, 600)), 250
    at = np.sort(generator.uniform(0, len(mass) - 1.001, count))
    floor, share = at.astype(int), (at % 1)[:, None]
    rim = mass[floor] * (1 - share) + mass[floor + 1] * share
    rim = middle + (rim - middle) * generator.uniform(0.8, 1.0, (count, 1))
    within = middle + (rim[generator.integers(0, count, inner)] - middle) * generator.uniform(0.2, 0.9, (inner, 1))
    roots = np.concatenate([rim, within])
    outward = (roots - middle) / head
    lift = generator.uniform(0.3, 1.2)
    heading = np.stack([lift * outward[:, 0], lift * np.minimum(outward[:, 1], 0.3) + generator.uniform(0, 1.0)], 1)
    total = count + inner
    return grown(
        roots,
        np.arctan2(heading[:, 1], heading[:, 0]) + _clumped(generator, total, 0.25, 0.6),
        generator.uniform(0.08, 0.25) * np.abs(1 + _clumped(generator, total, 0.2, 0.4)),
        curls=_clumped(generator, total, generator.uniform(0.2, 1.8), 0.9),
        gravity=generator.uniform(0.2, 1.2),
    )


def _fur(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """A furry body: short strands all over it, combed one way."""
    middle = generator.uniform(0.42, 0.58, 2)
    outline = blob(generator, radius=generator.uniform(0.27, 0.36), points=128)
    edge, inside = int(generator.integers(500, 800)), 500
    at = np.sort(generator.uniform(0, len(outline), edge))
    floor, share = at.astype(int), (at % 1)[:, None]
    rim = outline[floor % 128] * (1 - share) + outline[(floor + 1) % 128] * share
    roots = np.concatenate(
        [rim * 0.99, rim[generator.integers(0, edge, inside)] * generator.uniform(0, 1, (inside, 1))]
    )
    comb = generator.uniform(0, 2 * np.pi)
    outward = roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-9)
    heading = outward + generator.uniform(0.2, 0.9) * np.array([np.cos(comb), np.sin(comb)])
    paths = grown(
        roots + middle,
        np.arctan2(heading[:, 1], heading[:, 0]) + _clumped(generator, edge + inside, 0.25, 0.5),
        generator.uniform(0.04, 0.13) * np.abs(1 + _clumped(generator, edge + inside, 0.2, 0.4)),
        curls=_clumped(generator, edge + inside, 0.5, 0.6),
        gravity=generator.uniform(0, 0.5),
        steps=8,
    )
    coat = to_bytes(noise(size, generator, cells=generator.uniform(3, 14), octaves=6))
    shades, alpha = _drawn(size, generator, paths, [outline + middle], coat)
    return colourise(as_floats(shades), _strand_palette(generator)), alpha


def _tuft(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """Strands radiating from a small core, like a seed head, a brush or a plume."""
    middle = np.array([0.5, generator.uniform(0.45, 0.6)])
    count = int(generator.integers(450, 900))
    fan = generator.uniform(0.6, 1.0) * np.pi
    angle = np.linspace(-fan, fan, count) - np.pi / 2
    core = generator.uniform(0.1, 0.16)
    roots = middle + np.stack([np.cos(angle), np.sin(angle)], 1) * core * 0.9
    paths = grown(
        roots,
        angle + _clumped(generator, count, 0.1, 0.3),
        generator.uniform(0.22, 0.34) * np.abs(1 + _clumped(generator, count, 0.12, 0.2)),
        curls=_clumped(generator, count, 0.4, 0.5),
        gravity=generator.uniform(0, 0.8),
    )
    stem = middle + np.array([[-0.02, 0], [0.02, 0], [0.03, 0.6], [-0.03, 0.6]])
    body = [middle + blob(generator, radius=core, roughness=0.1), stem]
    shades, alpha = _drawn(size, generator, paths, body, _streaks(size, generator, 1.0))
    return colourise(as_floats(shades), _strand_palette(generator)), alpha


def foliage(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """Leaves on twigs, thick in the middle and loose at the rim."""
    boughs = int(generator.integers(7, 12))
    root = np.array([generator.uniform(0.4, 0.6), generator.uniform(0.6, 0.85)])
    twigs = grown(
        np.broadcast_to(root, (boughs, 2)),
        -np.pi / 2 + np.linspace(-1.6, 1.6, boughs) + generator.normal(0, 0.15, boughs),
        generator.uniform(0.35, 0.7, boughs),
        curls=generator.normal(0, 0.5, boughs),
        gravity=0.0,
        steps=20,
    )
    wood = ribbons(twigs, np.broadcast_to(np.linspace(0.014, 0.003, 21), (boughs, 21)))
    leaves, veins = _leaves(generator, twigs)
    inks = np.clip(generator.normal(130, 50, len(leaves)), 20, 225).astype(int)
    shades = to_bytes(0.2 + 0.4 * noise(size, generator, cells=5, octaves=4))
    shades = paint_shades(shades, wood, [30] * boughs)
    pairs = [polygon for both in zip(leaves, veins, strict=True) for polygon in both]
    shades = paint_shades(shades, pairs, np.stack([inks, inks + 30], axis=1).ravel().tolist())
    shade = as_floats(shades) + 0.2 * noise(size, generator, cells=40, octaves=2) - 0.1
    palette = draw_palette(generator, str(generator.choice(["foliage", "foliage", "flower", "earth"])))
    alpha = rasterise([*leaves, *wood], size)
    if generator.random() < 0.3:
        alpha = blurred(alpha, generator.uniform(0.001, 0.006) * size)
    return colourise(np.clip(shade, 0, 1), palette), alpha


def _leaves(generator: np.random.Generator, twigs: Points) -> tuple[list[Points], list[Points]]:
    """Outlines of leaves along twigs (N, K, 2), denser near their root, and the vein of each leaf."""
    count = int(generator.integers(220, 420))
    along = (twigs.shape[1] * generator.uniform(0.05, 1, count) ** 1.5).astype(int)
    places = twigs[generator.integers(0, len(twigs), count), along] + generator.normal(0, 0.025, (count, 2))
    lengths = generator.uniform(0.09, 0.15) * generator.uniform(0.6, 1.3, count)
    angles = generator.uniform(0, 2 * np.pi, count)
    line = np.linspace(0, 1, 9)
    half = np.stack([line, np.sin(np.pi * line**0.8) * generator.uniform(0.15, 0.32)], axis=1)
    shape = np.concatenate([half, half[::-1] * [1, -1]])
    pieces = [
        [rotated(shape * [length, breadth * length], angle) + place for breadth in (1.0, 0.06)]
        for length, angle, place in zip(lengths, angles, places, strict=True)
    ]
    return [leaf for leaf, _ in pieces], [vein for _, vein in pieces]
