"""CPU time of a training sample: this project's data engine against a plain pipeline of the common order.

    python benchmarks/data.py

Makes its own foregrounds (1.5-megapixel PNG, soft alpha) and backgrounds (640x480 JPEG), and prints Markdown tables.
CPU time is that of the process and its children. The plain pipeline decodes whole, warps whole, then crops.
"""

import argparse
import io
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from scipy.ndimage import maximum_filter, zoom
from torch.utils.data import DataLoader, Dataset

from drip_lightning.data import compose, datasets, decoded
from drip_lightning.data.augment import Augmentation
from drip_lightning.data.cache import LocalCache
from drip_lightning.data.compose import Composer, as_batch, stack_layers
from drip_lightning.data.datasets import TrainingLayers
from drip_lightning.data.degradations import Blur, Jpeg, Noise, Shrink
from drip_lightning.data.mixture import ShardMixture
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.data.shards.writer import ShardWriter

SIZE = 512
BLUR, SHRINK, NOISE, JPEG = Blur(), Shrink(), Noise(), Jpeg()
AUGMENTATION = Augmentation(second_foreground_probability=0.5, degradations=(BLUR, SHRINK, NOISE, JPEG))
PARTS = (
    (Augmentation, "draw", "draw choices"),
    (decoded.DecodedPictures, "__getitem__", "read (decode when cold)"),
    (datasets, "crop_foreground", "warp foregrounds"),
    (datasets, "lay_over", "two foregrounds"),
    (datasets, "crop_background", "warp background"),
    (compose, "distort", "colour jitter"),
    (compose, "pad_push_pull", "padding"),
    (compose, "trimap_from_alpha", "trimap"),
    (compose, "composite_uint8", "composite"),
    (compose, "degrade", "degradation"),
)


def make_sources(folder: Path, foregrounds: int, backgrounds: int) -> None:
    """Textured objects with a wide soft edge and thin strands; smooth backgrounds with grain."""

    def texture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
        coarse = zoom(random.uniform(40, 215, (9, 12, 3)), (height / 9, width / 12, 1), order=1)
        return (coarse[:height, :width] + random.normal(0, 3, (height, width, 3))).clip(0, 255).astype(np.uint8)

    with ShardWriter(folder / "foregrounds", converter="benchmark", arguments={}, samples_per_shard=8) as writer:
        for i in range(foregrounds):
            random = np.random.default_rng(i)
            rows, columns = np.mgrid[-1:1:1200j, -1:1:1250j]
            angle = np.arctan2(rows, columns)
            ragged = 0.65 + 0.06 * np.sin(90 * angle + 5 * np.hypot(rows, columns)) + 0.05 * np.sin(7 * angle + i)
            alpha = ((ragged - np.hypot(rows, columns)) / 0.12 + 0.5).clip(0, 1) * 255
            rgba = np.dstack([texture(random, 1200, 1250), alpha.astype(np.uint8)])
            rgba[rgba[..., 3] == 0] = 0
            writer.write({"__key__": f"{i:06d}", "rgba.png": _encode(rgba, "PNG")})
    with ShardWriter(folder / "backgrounds", converter="benchmark", arguments={}, samples_per_shard=64) as writer:
        for i in range(backgrounds):
            picture = texture(np.random.default_rng(10**6 + i), 480, 640)
            writer.write({"__key__": f"{i:06d}", "jpg": _encode(picture, "JPEG", quality=90)})


def _encode(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


class Engine(Dataset[Any]):
    """This project's way, up to the 8-bit values that a worker sends; `finish` makes floats of them."""

    finish = staticmethod(as_batch)

    def __init__(self, folder: Path, cache: LocalCache) -> None:
        mixtures = [ShardMixture(f"{folder}/{name}", cache=cache) for name in ("foregrounds", "backgrounds")]
        self._layers = TrainingLayers(*mixtures, augmentation=AUGMENTATION, image_size=SIZE, seed=0, cache=cache)
        self._composer = Composer()

    def __getitem__(self, number: int) -> Any:
        return self._composer.compose(stack_layers([self._layers[number]]))


class Plain(Dataset[Any]):
    """The common order: decode whole, combine and warp whole, find the crop, resize, distort, composite, to floats."""

    @staticmethod
    def finish(sample: Any) -> None:
        """Nothing is left to do."""

    def __init__(self, folder: Path) -> None:
        self._foregrounds, self._backgrounds = (ShardFolder(folder / name) for name in ("foregrounds", "backgrounds"))

    def __getitem__(self, number: int) -> list[torch.Tensor]:
        random = np.random.default_rng(number)
        foreground, alpha = self._foreground(number)
        if random.random() < AUGMENTATION.second_foreground_probability:
            foreground, alpha = self._combine(foreground, alpha, int(random.integers(len(self._foregrounds))))
        foreground, alpha = self._warp(foreground, alpha, random)
        foreground, alpha = self._crop(foreground, alpha, random)
        foreground = self._jitter(foreground, random)
        background = self._background(number, random)
        matte = np.asarray(alpha)
        grown = maximum_filter(matte, 2 * int(random.integers(1, 26)) + 1) > 0
        shrunk = maximum_filter(255 - matte, 2 * int(random.integers(1, 26)) + 1) > 0
        trimap = np.where(shrunk, np.where(grown, 128, 0), 255).astype(np.uint8)
        weight = matte[..., None].astype(np.float32) / 255
        front, back = (np.asarray(layer, np.float32) for layer in (foreground, background))
        image = self._spoil(Image.fromarray((weight * front + (1 - weight) * back).astype(np.uint8)), random)
        maps = [np.asarray(picture) for picture in (image, foreground, background)] + [matte[..., None]]
        tensors = [torch.from_numpy(picture.transpose(2, 0, 1).copy()).float().div(255) for picture in maps]
        return [*tensors, torch.from_numpy(trimap)[None].float().div(255)]

    def _foreground(self, number: int) -> tuple[Image.Image, Image.Image]:
        sample = self._foregrounds[number % len(self._foregrounds)]
        rgba = Image.open(io.BytesIO(sample["rgba.png"]))
        return rgba.convert("RGB"), rgba.getchannel("A")

    def _combine(self, foreground: Image.Image, alpha: Image.Image, number: int) -> tuple[Image.Image, Image.Image]:
        other, other_alpha = (layer.resize(alpha.size, Image.Resampling.BILINEAR) for layer in self._foreground(number))
        first, second = (np.asarray(a, np.float32)[..., None] / 255 for a in (alpha, other_alpha))
        joint = 1 - (1 - first) * (1 - second)
        mixed = np.asarray(foreground, np.float32) * first + np.asarray(other, np.float32) * ((1 - first) * second)
        mixed = (mixed / np.maximum(joint, 1e-6)).clip(0, 255).astype(np.uint8)
        return Image.fromarray(mixed), Image.fromarray((joint[..., 0] * 255).astype(np.uint8))

    def _warp(self, *layers: Any) -> list[Image.Image]:
        *pictures, random = layers
        angle, shear = np.deg2rad(random.uniform(-15, 15)), np.deg2rad(random.uniform(-5, 5))
        linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = linear @ np.array([[random.choice([-1, 1]), np.tan(shear)], [0, random.uniform(0.9, 1.1)]])
        middle = np.array(pictures[0].size) / 2
        offset = middle - linear @ middle
        data = (*linear[0], offset[0], *linear[1], offset[1])
        affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        return [picture.transform(picture.size, affine, data, bilinear) for picture in pictures]

    def _crop(self, foreground: Image.Image, alpha: Image.Image, random: np.random.Generator) -> list[Image.Image]:
        matte = np.asarray(alpha)
        rows, columns = np.where((matte > 0) & (matte < 255))
        side = int(min(random.uniform(*AUGMENTATION.crop_scale) * SIZE, *alpha.size))
        place = int(random.integers(len(rows)))
        left = int(np.clip(columns[place] - side // 2, 0, alpha.size[0] - side))
        top = int(np.clip(rows[place] - side // 2, 0, alpha.size[1] - side))
        box = (left, top, left + side, top + side)
        return [layer.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for layer in (foreground, alpha)]

    def _jitter(self, picture: Image.Image, random: np.random.Generator) -> Image.Image:
        for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhancer(picture).enhance(random.uniform(0.8, 1.2))
        hue, saturation, value = picture.convert("HSV").split()
        shift = int(random.integers(-6, 7))
        hue = hue.point(lambda value: (value + shift) % 256)
        return Image.merge("HSV", (hue, saturation, value)).convert("RGB")

    def _background(self, number: int, random: np.random.Generator) -> Image.Image:
        picture = Image.open(io.BytesIO(self._backgrounds[number % len(self._backgrounds)]["jpg"]))
        scale = max(1.0, SIZE / min(picture.size)) * random.uniform(1, 1.5)
        size = [int(np.ceil(side * scale)) for side in picture.size]
        left, top = (int(random.integers(side - SIZE + 1)) for side in size)
        picture = picture.resize(tuple(size), Image.Resampling.BILINEAR)
        return self._jitter(picture.crop((left, top, left + SIZE, top + SIZE)), random)

    def _spoil(self, image: Image.Image, random: np.random.Generator) -> Image.Image:
        chances = random.random(4)
        if chances[0] < BLUR.probability:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(*BLUR.sigma)))
        if chances[1] < SHRINK.probability:
            small = int(SIZE * random.uniform(*SHRINK.factor))
            image = image.resize((small, small), Image.Resampling.BILINEAR).resize((SIZE, SIZE))
        if chances[2] < NOISE.probability:
            noise = random.normal(0, random.uniform(*NOISE.deviation), (SIZE, SIZE, 3))
            image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
        if chances[3] < JPEG.probability:
            image = Image.open(io.BytesIO(_encode(np.asarray(image), "JPEG", quality=int(random.integers(50, 96)))))
        return image.convert("RGB")


def measure(samples: Engine | Plain, numbers: range, *, workers: int = 0) -> tuple[float, float]:
    """CPU milliseconds of a sample, and samples a second of wall time."""
    began, wall = _cpu_seconds(), time.perf_counter()
    if workers:
        loader = DataLoader(samples, batch_size=None, sampler=numbers, num_workers=workers)
        for sample in loader:
            samples.finish(sample)
        del loader
    else:
        for number in numbers:
            samples.finish(samples[number])
    spent, elapsed = _cpu_seconds() - began, time.perf_counter() - wall
    return 1000 * spent / len(numbers), len(numbers) / elapsed


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """CPU seconds that each part of the engine takes within the block."""
    spent: dict[str, float] = defaultdict(float)

    def timed(function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[label] += time.process_time() - began

        return call

    before = []
    for owner, name, label in PARTS:
        if name == "pad_push_pull":
            before.append((compose._PADDINGS, "push_pull", compose._PADDINGS["push_pull"]))
            compose._PADDINGS["push_pull"] = timed(compose._PADDINGS["push_pull"], label)
        else:
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, timed(getattr(owner, name), label))
    yield spent
    for owner, name, function in before:
        if isinstance(owner, dict):
            owner[name] = function
        else:
            setattr(owner, name, function)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foregrounds", type=int, default=24)
    parser.add_argument("--backgrounds", type=int, default=64)
    parser.add_argument("--samples", type=int, default=200, help="warm samples; the plain pipeline makes a quarter")
    parser.add_argument("--rounds", type=int, default=3, help="of cold, warm and plain in turn; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_sources(folder, options.foregrounds, options.backgrounds)
        plain, few = Plain(folder), range(options.samples // 4)
        warm = range(options.foregrounds, options.foregrounds + options.samples)
        Engine(folder, LocalCache(folder / "none", 0))[0]  # compiles
        plain[0]
        rounds = defaultdict(list)
        for number in range(options.rounds):
            engine = Engine(folder, LocalCache(folder / f"cache{number}"))
            rounds["cold: first epoch"].append(measure(engine, range(options.foregrounds)))
            rounds["warm"].append(measure(engine, warm))
            rounds["plain"].append(measure(plain, few))
        rounds["warm, 2 workers"].append(measure(engine, warm, workers=2))
        rounds["plain, 2 workers"].append(measure(plain, few, workers=2))
        rows = [(name, *np.median(measured, axis=0)) for name, measured in rounds.items()]
        print("| pipeline | CPU ms a sample | samples/s |\n|---|---:|---:|")
        for name, cpu, rate in rows:
            print(f"| {name} | {cpu:.1f} | {rate:.1f} |")
        cpu = {name: value for name, value, _ in rows}
        print(f"\nplain / warm: {cpu['plain'] / cpu['warm']:.1f} times the CPU time;", end=" ")
        print(f"with two workers each: {cpu['plain, 2 workers'] / cpu['warm, 2 workers']:.1f}\n")
        with timed_parts() as spent:
            total, _ = measure(engine, warm)
        spent["stack, floats, rest"] = total * len(warm) / 1000 - sum(spent.values())
        print("| part, warm | CPU ms a sample |\n|---|---:|")
        for label, seconds in spent.items():
            print(f"| {label} | {1000 * seconds / len(warm):.2f} |")
        size = sum(path.stat().st_size for path in (folder / "cache0").rglob("*") if path.is_file())
        sources = sum(path.stat().st_size for path in folder.glob("*grounds/*.tar"))
        print(f"\ncache on disk: {size / 1e6:.0f} MB for {sources / 1e6:.0f} MB of shards")


if __name__ == "__main__":
    main()
