"""What the page asks for and is given: a picture cut out as `drip matte` does it, and small views of it."""

import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from torch import Tensor

from drip_lightning.cli.demo.strokes import COLOURS, painted_over, read_strokes
from drip_lightning.cli.matte_model import MatteModel, told_memory
from drip_lightning.cli.results import Results
from drip_lightning.data.encode import FORMATS
from drip_lightning.data.matte_inputs import find_frames, read_inputs, read_picture
from drip_lightning.data.matte_jobs import MatteJob
from drip_lightning.errors import DripError, InputError
from drip_lightning.nn.sampler import Progress
from drip_lightning.ops.panel import checkerboard
from drip_lightning.ops.picture import as_picture

SHOWN = 1280
"""Longest side of what is shown, in pixels; files have the picture's own size."""


@dataclass(frozen=True)
class Wish:
    """What is to be cut out, and how.

    Attributes:
        picture: A file, as it was uploaded.
        guide: Its trimap or mask, if there is one.
        is_mask: Whether that is a mask.
        layer: What was painted over the shown picture, (h, w, 4) straight RGBA.
        band: Half the unknown band of a mask, in pixels.
        steps: Denoising steps.
        seed: Of the noise.
        processing_size: Longest side that the denoiser sees; 0 for the picture's own, none for the model's choice.
    """

    picture: Path
    guide: Path | None = None
    is_mask: bool = True
    layer: NDArray[np.uint8] | None = None
    band: int = 15
    steps: int | None = None
    seed: int = 0
    processing_size: int | None = None


@dataclass(frozen=True)
class CutOut:
    """What was found.

    Attributes:
        picture: What it was cut out of.
        cut_out: RGBA PNG, as `drip matte` writes it.
        alpha: Grey PNG.
        exr: OpenEXR, linear and premultiplied; none where its package is missing.
        trimap: What was taken for known; `drip matte --trimap` makes the same cut-out of it.
        size: Of the picture, width and height.
        seconds: That it took.
        peak_bytes: Most memory at once: a GPU's, else the process's until now.
    """

    picture: Path
    cut_out: Path
    alpha: Path
    exr: Path | None
    trimap: Path
    size: tuple[int, int]
    seconds: float
    peak_bytes: int


def cut_out(wish: Wish, model: MatteModel, folder: Path, *, progress: Progress) -> CutOut:
    """Cut a picture out.

    What is painted corrects the trimap that a given guide leads to. Without one, what is painted as foreground is a
    mask, a band around it unknown, and the other strokes correct that.

    Args:
        wish: What is asked for.
        model: What finds it.
        folder: A new folder in it takes the files.
        progress: Told how far it is.

    Raises:
        InputError: the line that is to be shown.
    """
    here = Path(tempfile.mkdtemp(dir=folder))
    guide = wish.guide or here / "painted.png"
    job = MatteJob(wish.picture, guide, here / f"{wish.picture.stem}.png")
    try:
        with _told_by_name(wish.picture, guide):
            return _cut_out(wish, model, job, progress=progress)
    except BaseException:
        shutil.rmtree(here)
        raise


def shown_picture(picture: Path) -> Image.Image:
    """An uploaded picture, upright and in sRGB, reduced to what is shown.

    Raises:
        InputError: it cannot be read, or has several frames.
    """
    with _told_by_name(picture):
        frame, _ = _single_place(MatteJob(picture, picture, picture))
        colour, _, _ = read_picture(picture, frame=frame)
        return _reduced(as_picture(torch.from_numpy(colour).permute(2, 0, 1)))


@dataclass(frozen=True)
class Views:
    """A cut-out as it is shown: picture, RGB over a backdrop, alpha, foreground (black where alpha is 0), trimap."""

    picture: Image.Image
    composite: Image.Image
    alpha: Image.Image
    foreground: Image.Image
    trimap: Image.Image

    @classmethod
    def of(cls, found: CutOut, backdrop: Image.Image | None) -> "Views":
        """Draw them; without a backdrop over a checkerboard."""
        with Image.open(found.cut_out) as file, Image.open(found.trimap) as trimap:
            whole, known = file.convert("RGBA"), _reduced(trimap.convert("L"))
        small = _reduced(whole.convert("RGBa")).convert("RGBA")  # premultiplied: what alpha 0 hides must not bleed
        if backdrop is None:
            behind = as_picture(checkerboard(small.height, small.width)[0])
        else:
            behind = ImageOps.fit(backdrop.convert("RGB"), small.size)
        behind.putalpha(255)
        composite = Image.alpha_composite(behind, small).convert("RGB")
        return cls(shown_picture(found.picture), composite, small.getchannel("A"), small.convert("RGB"), known)


def colour_of(text: str) -> tuple[int, int, int]:
    """A colour as a colour picker says it: `#00b140`, or `rgba(0, 177.2, 64, 1)`.

    Raises:
        InputError: it is none.
    """
    numbers = re.fullmatch(r"rgba?\(([\d.]+), *([\d.]+), *([\d.]+)(?:, *[\d.]+)?\)", text.strip())
    try:
        if numbers:
            return ImageColor.getrgb(f"rgb({','.join(str(round(float(value))) for value in numbers.groups())})")[:3]
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"{text} is no colour: choose one") from error


def _cut_out(wish: Wish, model: MatteModel, job: MatteJob, *, progress: Progress) -> CutOut:
    start = time.perf_counter()
    image, trimap = _read(wish, job)
    if wish.processing_size is not None:
        model = model.with_processing_size(wish.processing_size or None)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    with told_memory(str(wish.picture), model.device):
        matte = model.matte(image, trimap, steps=wish.steps, seed=wish.seed, progress=progress)
    here, stem = job.result.parent, wish.picture.stem
    alpha, exr, known = here / f"{stem}_alpha.png", here / f"{stem}.exr", here / f"{stem}_trimap.png"
    Results(here, FORMATS["png"], 8).write(job.result, matte, image, picture=wish.picture)
    Results(here, FORMATS["png"], 8, "alpha").write(alpha, matte, image, picture=wish.picture)
    if writes_exr():
        Results(here, FORMATS["exr"], 16).write(exr, matte, image, picture=wish.picture)
    as_picture(trimap[0]).save(known)
    return CutOut(
        wish.picture,
        job.result,
        alpha,
        exr if exr.exists() else None,
        known,
        size=(image.shape[-1], image.shape[-2]),
        seconds=time.perf_counter() - start,
        peak_bytes=_peak_bytes(model.device),
    )


def _read(wish: Wish, job: MatteJob) -> tuple[Tensor, Tensor]:
    """Picture (1, 3, H, W) and trimap (1, 1, H, W); what was painted as a mask becomes the job's guide."""
    strokes = None
    if wish.layer is not None:
        frame, _ = _single_place(MatteJob(wish.picture, wish.picture, job.result))
        colour, _, _ = read_picture(wish.picture, frame=frame)
        strokes = read_strokes(wish.layer, (colour.shape[0], colour.shape[1]))
    if wish.guide is None:
        if strokes is None or not strokes["foreground"].any():
            raise InputError("nothing is painted as foreground: paint the object, or give a mask or trimap")
        Image.fromarray(strokes["foreground"]).save(job.guide)
    return read_inputs(
        job,
        band=wish.band if wish.is_mask or wish.guide is None else None,
        guide_lies="upright" if wish.guide is None else None,
        place=_single_place(job),
        amend=painted_over(strokes, ("unknown", "background") if wish.guide is None else tuple(COLOURS)),
    )


def _single_place(job: MatteJob) -> tuple[int, int]:
    """Where in its file a picture of one frame is, and its guide.

    Raises:
        InputError: there are several.
    """
    _, places = find_frames(job)
    if len(places) > 1:
        raise InputError(f"{job.picture} has {len(places)} frames or pages: this page takes one, drip matte takes all")
    return places[0]


@contextmanager
def _told_by_name(*files: Path) -> Iterator[None]:
    """Name files in a line as the user knows them, not by where they lie here."""
    try:
        yield
    except DripError as error:
        line = str(error)
        for file in files:
            line = line.replace(str(file), file.name)
        raise InputError(line) from error


def _reduced(picture: Image.Image) -> Image.Image:
    picture.thumbnail((SHOWN, SHOWN), Image.Resampling.BOX)
    return picture


def writes_exr() -> bool:
    """Whether OpenEXR's package is there."""
    try:
        import OpenEXR  # noqa: F401
    except ImportError:
        return False
    return True


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
