"""Outlines and their exact, supersampled rasterisation: what the families of procedural objects are drawn with."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from drip_lightning.data.synth.textures import Bytes, Floats

Points = NDArray[np.float64]

SUPERSAMPLING = 4


def blob(generator: np.random.Generator, *, radius: float, roughness: float = 0.25, points: int = 96) -> Points:
    """A closed random outline around the origin, as (points, 2) x, y in the unit of `radius`.

    Its area is close to that of an ellipse with the mean radius `radius`; `roughness` 0 is that ellipse.
    """
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    waves = np.arange(2, 8)
    heights = generator.normal(0, roughness, len(waves)) / waves
    phases = generator.uniform(0, 2 * np.pi, len(waves))
    reach = np.clip(1 + (heights[:, None] * np.cos(waves[:, None] * angle + phases[:, None])).sum(0), 0.35, 1.6)
    aspect = np.exp(generator.uniform(-0.25, 0.25))
    outline = radius * np.stack([aspect * reach * np.cos(angle), reach * np.sin(angle) / aspect], axis=1)
    return rotated(outline, generator.uniform(0, 2 * np.pi))


def spiky(generator: np.random.Generator, *, radius: float) -> Points:
    """A polygon, a star or a gear around the origin, as (K, 2)."""
    corners = int(generator.integers(3, 14))
    depth = generator.uniform(0.55, 1.0) if corners > 4 else 1.0
    angle = np.linspace(0, 2 * np.pi, 2 * corners, endpoint=False) + generator.normal(0, 0.03, 2 * corners)
    reach = np.where(np.arange(2 * corners) % 2 == 0, 1.0, depth if corners > 4 else np.cos(np.pi / corners))
    outline = 1.1 * radius * np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    return rotated(outline, generator.uniform(0, 2 * np.pi))


def rotated(points: Points, angle: float) -> Points:
    """Rotate points (…, 2) about the origin."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def rasterise(outlines: Iterable[Points], size: int, *, holes: Iterable[Points] = ()) -> Bytes:
    """Coverage of the union of outlines less the holes, each pixel the mean of 4×4 samples.

    Args:
        outlines: Polygons (K, 2), x and y in fractions of the picture's side.
        size: Side of the picture.
        holes: Polygons cut out of the union.

    Returns:
        (size, size), 255 inside.
    """
    canvas = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    brush = ImageDraw.Draw(canvas)
    for polygons, ink in ((outlines, 255), (holes, 0)):
        for polygon in polygons:
            brush.polygon((polygon * canvas.width).ravel().tolist(), fill=ink)
    return np.asarray(canvas.reduce(SUPERSAMPLING))


def paint_shades(shades: Bytes, outlines: Iterable[Points], inks: Iterable[int]) -> Bytes:
    """Paint polygons over a map of shades (H, W), each in its own shade, later ones on top."""
    canvas = Image.fromarray(shades)
    brush = ImageDraw.Draw(canvas)
    for polygon, ink in zip(outlines, inks, strict=True):
        brush.polygon((polygon * canvas.width).ravel().tolist(), fill=ink)
    return np.asarray(canvas)


def blurred(plane: Bytes, radius: float) -> Bytes:
    """Blur (H, W) or (H, W, 3) with a Gaussian of `radius` pixels."""
    return np.asarray(Image.fromarray(plane).filter(ImageFilter.GaussianBlur(radius)))


def joined(first: Bytes, second: Bytes) -> Bytes:
    """Coverage of two independent layers together, `1 - (1 - a)(1 - b)`."""
    product = (255 - first.astype(np.uint16)) * (255 - second.astype(np.uint16))
    return (255 - (product + 127) // 255).astype(np.uint8)


def multiplied(first: Bytes, second: Bytes) -> Bytes:
    """Product of two maps, 255 being one."""
    return ((first.astype(np.uint16) * second + 127) // 255).astype(np.uint8)


def ribbons(paths: Points, widths: Points) -> Points:
    """Polygons around curves.

    Args:
        paths: (N, K, 2) points along each curve.
        widths: (N, K) full width there, in the paths' unit.

    Returns:
        (N, 2K, 2): down one side of each curve and back up the other.
    """
    along = np.gradient(paths, axis=1)
    along /= np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-9)
    across = np.stack([-along[..., 1], along[..., 0]], axis=2) * (widths / 2)[..., None]
    return np.concatenate([paths + across, (paths - across)[:, ::-1]], axis=1)


def grown(
    roots: Points,
    headings: Points,
    lengths: Points,
    *,
    curls: Points,
    gravity: float,
    steps: int = 14,
) -> Points:
    """Let curves grow from their roots.

    Args:
        roots: (N, 2) where they start.
        headings: (N,) direction there, in radians.
        lengths: (N,) arc length.
        curls: (N,) turn from root to tip, in radians.
        gravity: Share of the heading that has turned downwards (y grows downwards) at the tip; 0 for none.
        steps: Segments of each curve.

    Returns:
        (N, steps + 1, 2).
    """
    points = [roots]
    for step in range(steps):
        progress = (step + 0.5) / steps
        angle = headings + curls * progress**1.5
        heading = np.stack([np.cos(angle), np.sin(angle) + gravity * 2 * progress], axis=1)
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
        points.append(points[-1] + heading * (lengths / steps)[:, None])
    return np.stack(points, axis=1)


def as_floats(plane: Bytes) -> Floats:
    """8 bits to [0, 1]."""
    return plane.astype(np.float32) / np.float32(255)
