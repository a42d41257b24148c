"""The families of procedural objects, each with an alpha and a straight colour that are exact."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from drip_lightning.data.synth.overlap import Draw, overlapping
from drip_lightning.data.synth.raster import (
    Points,
    as_floats,
    blob,
    blurred,
    joined,
    multiplied,
    rasterise,
    rotated,
    spiky,
)
from drip_lightning.data.synth.strands import foliage, strands
from drip_lightning.data.synth.textures import (
    Bytes,
    Floats,
    Texture,
    blended,
    colourise,
    coordinates,
    draw_palette,
    draw_texture,
    noise,
    resize,
    to_bytes,
)
from drip_lightning.errors import InputError


def _placed(generator: np.random.Generator, outline: Points) -> Points:
    return outline + generator.uniform(0.42, 0.58, 2)


def _silhouette(size: int, generator: np.random.Generator) -> Bytes:
    """Coverage of one or two outlines with holes in them."""
    radius = generator.uniform(0.32, 0.42)
    outlines = [_placed(generator, (blob if generator.random() < 0.65 else spiky)(generator, radius=radius))]
    if generator.random() < 0.4:
        outlines.append(blob(generator, radius=0.5 * radius) + generator.uniform(0.25, 0.75, 2))
    holes = [
        blob(generator, radius=radius * generator.uniform(0.06, 0.25)) + generator.uniform(0.35, 0.65, 2)
        for _ in range(int(generator.integers(0, 5)))
    ]
    return rasterise(outlines, size, holes=holes)


def solid(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """An opaque body whose outline is sharp, out of focus, or sharp on one side only."""
    alpha = _silhouette(size, generator)
    if generator.random() < 0.6:
        soft = blurred(alpha, generator.uniform(0.002, 0.02) * size)
        if generator.random() < 0.5:
            alpha = soft
        else:
            weight = as_floats(to_bytes(3 * noise(size, generator, cells=2, octaves=1) - 1))
            alpha = to_bytes(as_floats(alpha) * (1 - weight) + as_floats(soft) * weight)
    return texture(size, generator), alpha


def motion(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """A body blurred along the way that it moved while the shutter was open."""
    alpha = _silhouette(size, generator)
    colour = texture(size, generator)
    angle, reach, bow = generator.uniform(0, np.pi), generator.uniform(0.03, 0.12) * size, generator.normal(0, 0.2)
    steps = 16
    time = np.linspace(-0.5, 0.5, steps)
    path = np.round(reach * rotated(np.stack([time, bow * (4 * time**2 - 0.5)], axis=1), angle)).astype(int)
    margin = int(np.abs(path).max()) + 1
    planes = np.dstack([colour, alpha])
    padded = np.pad(planes, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    total = np.zeros(planes.shape, np.uint16)
    for x, y in path + margin:
        total += padded[y : y + size, x : x + size]
    mean = (total // steps).astype(np.uint8)
    return mean[..., :3], mean[..., 3]


def _threads(u: Floats, count: float, width: float) -> Floats:
    """Exact coverage, along their normal, of parallel threads: `count` a side, `width` pixels wide.

    `u` is (H, W) in picture sides; a bent `u` gives bent threads, their width measured across them.
    """
    size = u.shape[0]
    across = np.hypot(*np.gradient(u)) * size
    distance = np.abs((u * count) % 1.0 - 0.5) * (size / count) / np.maximum(across, 0.2)
    return np.clip(np.minimum(distance + 0.5, width / 2) - np.maximum(distance - 0.5, -width / 2), 0, 1)


def net(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """A net, a lattice or lace: thin threads in a rim, some with opaque motifs."""
    x, y = coordinates(size)
    angle = generator.uniform(0, np.pi)
    bend = generator.uniform(0.02, 0.2)
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    u = cosine * x + sine * y + bend * (noise(size, generator, cells=2, octaves=2) - 0.5)
    v = cosine * y - sine * x + bend * (noise(size, generator, cells=2, octaves=2) - 0.5)
    count = generator.uniform(9, 26) * min(1.0, (size / 256) ** 0.5)
    width = float(np.exp(generator.uniform(np.log(0.6), np.log(3.0)))) * (size / 512) ** 0.5
    style = generator.choice(["square", "triangle", "lace"])
    threads = 1 - (1 - _threads(u, count, width)) * (1 - _threads(v, count, width))
    if style == "triangle":
        threads = 1 - (1 - threads) * (1 - _threads(u + v, count, width))
    if style == "lace":
        rings = np.hypot((u * count) % 1.0 - 0.5, (v * count) % 1.0 - 0.5)
        threads = 1 - (1 - threads) * (1 - np.clip(width / 2 + 0.5 - np.abs(rings - 0.3) * size / count, 0, 1))
    radius = generator.uniform(0.36, 0.44)
    outline = blob(generator, radius=radius, roughness=0.15)
    middle = generator.uniform(0.45, 0.55, 2)
    rim = rasterise([outline + middle], size, holes=[outline * (1 - generator.uniform(0.05, 0.2)) + middle])
    motifs = [
        (spiky if generator.random() < 0.5 else blob)(generator, radius=generator.uniform(0.03, 0.1))
        + middle
        + generator.uniform(-0.2, 0.2, 2)
        for _ in range(int(generator.integers(0, 7)))
    ]
    mesh = multiplied(to_bytes(threads), rasterise([outline + middle], size))
    return texture(size, generator), joined(mesh, np.maximum(rim, rasterise(motifs, size)))


def pane(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """Something translucent: a framed window, a bubble or a filled vessel with a cap, with bright reflections."""
    kind = generator.choice(["window", "bubble", "vessel"])
    outline, opaque, openings = {"window": _window, "bubble": _bubble, "vessel": _vessel}[str(kind)](generator)
    inside = rasterise([outline], size)
    depth = as_floats(blurred(inside, generator.uniform(0.02, 0.06) * size))
    edge = np.clip(2 - 2 * depth, 0, 1) ** generator.uniform(1.0, 2.5)
    tint = generator.uniform(0.08, 0.5) + 0.2 * (noise(size, generator, cells=3, octaves=3) - 0.5)
    film = tint + (generator.uniform(0.4, 0.9) - tint) * edge
    if kind == "vessel":
        _, y = coordinates(size)
        liquid = np.clip((y - generator.uniform(0.4, 0.65)) * size, 0, 1)
        film = film + liquid * generator.uniform(0.15, 0.4)
    streak = np.sin(
        7 * (coordinates(size)[0] + coordinates(size)[1] * generator.uniform(-1, 1)) + 9 * generator.random()
    )
    shine = (np.clip(streak, 0, 1) ** generator.uniform(12, 40)) * generator.uniform(0.5, 1.0)
    shine = shine * (0.3 + 0.7 * noise(size, generator, cells=3, octaves=3))
    film = 1 - (1 - np.clip(film, 0, 1)) * (1 - shine)
    body = rasterise(opaque, size, holes=openings)
    alpha = joined(multiplied(to_bytes(film), inside), body)
    glass = colourise(noise(size, generator, cells=3, octaves=4), 0.3 + 0.7 * draw_palette(generator))
    glass = blended(glass, np.full_like(glass, 250), to_bytes(shine))
    return blended(glass, texture(size, generator), body), alpha


def _window(generator: np.random.Generator) -> tuple[Points, list[Points], list[Points]]:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * generator.uniform(0.3, 0.4, 2)
    corners = rotated(corners + generator.normal(0, 0.02, (4, 2)), generator.normal(0, 0.3))
    middle = generator.uniform(0.45, 0.55, 2)
    opening = corners * (1 - generator.uniform(0.08, 0.2))
    return corners + middle, [corners + middle], [opening + middle]


def _bubble(generator: np.random.Generator) -> tuple[Points, list[Points], list[Points]]:
    outline = _placed(generator, blob(generator, radius=generator.uniform(0.34, 0.44), roughness=0.04))
    core = blob(generator, radius=generator.uniform(0.08, 0.16)) + outline.mean(axis=0) + generator.normal(0, 0.05, 2)
    return outline, [core], []


def _vessel(generator: np.random.Generator) -> tuple[Points, list[Points], list[Points]]:
    height = np.linspace(0, 1, 40)
    waist, neck = generator.uniform(0.2, 0.32), generator.uniform(0.06, 0.12)
    shoulder = 1 / (1 + np.exp(-(height - generator.uniform(0.2, 0.4)) * 25))
    half = neck + (waist - neck) * shoulder * (1 - generator.uniform(0, 0.3) * (height - 0.5) ** 2)
    sides = np.concatenate([np.stack([half, height], 1), np.stack([-half, height], 1)[::-1]])
    shift = np.array([generator.uniform(0.42, 0.58), 0.06])
    outline = sides * [1, 0.88] + shift
    cap = np.array([[-1.15, -0.02], [1.15, -0.02], [1.15, 0.12], [-1.15, 0.12]]) * [neck, 1] + shift
    label = np.array([[-1, 0.5], [1, 0.5], [1, 0.72], [-1, 0.72]]) * [waist * 0.8, 1] + shift
    return outline, [cap, label], []


def smoke(size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """Smoke, steam or flame: broad soft translucency, seldom opaque."""
    small = max(16, size // 2)
    x, y = coordinates(small)
    field = noise(small, generator, cells=generator.uniform(2, 4), octaves=6, persistence=0.5)
    warp = noise(small, generator, cells=3, octaves=4)
    amount = generator.uniform(0.1, 0.35) * small
    rows = np.clip(np.arange(small)[:, None] + amount * (field - 0.5), 0, small - 1).astype(np.intp)
    columns = np.clip(np.arange(small)[None, :] + amount * (warp - 0.5), 0, small - 1).astype(np.intp)
    billows = noise(small, generator, cells=generator.uniform(3, 6), octaves=6)[rows, columns]
    if generator.random() < 0.4:
        billows = 1 - np.abs(2 * billows - 1)
    sway = generator.uniform(0.42, 0.58) + 0.3 * (warp - 0.5)
    if generator.random() < 0.5:
        envelope = 1 - np.hypot((x - sway) / 0.5, (y - generator.uniform(0.42, 0.58)) / 0.5) ** 2
    else:
        envelope = 1 - ((x - sway) / (0.15 + 0.35 * (1 - y))) ** 2 - np.clip(0.25 - y, 0, 1) * 4
    density = np.clip(envelope, 0, 1) ** 0.7 * np.clip(billows * 2.2 - 0.5, 0, None) * generator.uniform(1.0, 3.0)
    alpha = 1 - np.exp(-density * generator.uniform(0.8, 1.6))
    alpha = resize(np.clip(alpha * 1.03 - 0.01, 0, 1).astype(np.float32), size, size)
    palette = draw_palette(generator, "stone") if generator.random() < 0.6 else draw_palette(generator)
    colour = colourise(resize(billows.astype(np.float32), size, size), 0.4 * palette + 0.6 * palette[-1])
    return colour, to_bytes(alpha)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of procedural object.

    Attributes:
        draw: `(size, generator, texture) -> (colour (size, size, 3), alpha (size, size))`, both 8-bit, colour straight;
            what is opaque has the texture.
        opaque_core: Whether every object has pixels that are wholly foreground.
    """

    draw: Draw
    opaque_core: bool = True


_SINGLE = {
    "solid": Family(draw=solid),
    "motion": Family(draw=motion),
    "strands": Family(draw=strands),
    "foliage": Family(draw=foliage),
    "net": Family(draw=net),
    "pane": Family(draw=pane),
    "smoke": Family(draw=smoke, opaque_core=False),
}
FAMILIES = {
    **_SINGLE,
    "overlap": Family(draw=partial(overlapping, kinds=[family.draw for family in _SINGLE.values()]), opaque_core=False),
}


def draw_foreground(
    family: str, size: int, generator: np.random.Generator, texture: Texture = draw_texture
) -> tuple[Bytes, Bytes]:
    """Draw an object; a family's mean alpha over many objects lies between 0.15 and 0.65.

    Args:
        family: A name in `FAMILIES`.
        size: Side of the picture.
        generator: Source of every choice.
        texture: Draws the surface of what is opaque.

    Returns:
        Straight colour (size, size, 3), defined where alpha is 0 as well, and alpha (size, size), both 8-bit.

    Raises:
        InputError: there is no such family.
    """
    if family not in FAMILIES:
        raise InputError(f"no family {family!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[family].draw(size, generator, texture)
