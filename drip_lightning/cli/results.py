"""What `drip matte` writes for a picture: which of its layers, in which format, and where."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from torch import Tensor

from drip_lightning.data.encode import FORMATS, Format, encode_picture, rounded
from drip_lightning.data.frames import Frames, encode_frames, frames_of, require_single
from drip_lightning.data.own_colours import OwnColours, density_of, linear_colours, profile_colours, srgb_colours
from drip_lightning.data.picture_files import FORMATS as READ
from drip_lightning.data.picture_files import SUFFIXES, read_file
from drip_lightning.data.pictures import open_picture
from drip_lightning.data.pixels import colour_pixels
from drip_lightning.errors import InputError
from drip_lightning.files import whole_file
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.panel import matte_panel
from drip_lightning.ops.picture import as_picture

JPEG_SIDE = 65500
"""Longest side of a JPEG that Pillow writes, in pixels."""

STREAM = Path("-")
"""Stands for standard input and output."""

Layer = Literal["cut-out", "alpha", "foreground", "composite"]


@dataclass(frozen=True)
class Results:
    """How every picture's result is written.

    Attributes:
        out: A folder, the file of a single result, or `STREAM`.
        form: The files' format.
        bits: Of each channel.
        layer: Straight colour with alpha, alpha alone, straight colour alone, or the foreground over `backdrop`.
        backdrop: What a composite has behind it: a colour or a picture, in sRGB.
        keep_profile: Colours stay in the picture's own colour profile.
        is_chosen: Whether the user chose the format; else several frames are written as they came.
    """

    out: Path
    form: Format
    bits: int
    layer: Layer = "cut-out"
    backdrop: Image.Image | None = None
    keep_profile: bool = False
    is_chosen: bool = False

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Results":
        """Make sense of the options that `drip matte` has for them.

        Raises:
            InputError: they contradict each other.
        """
        named = None if options.out.is_dir() else _format_of(options.out)
        if named is None and options.out.suffix.lower() in SUFFIXES and not options.out.is_dir():
            raise InputError(f"--out {options.out}: results are PNG, WebP, TIFF or OpenEXR, not {options.out.suffix}")
        form = FORMATS[options.format] if options.format else named or FORMATS["png"]
        if named not in (None, form):
            raise InputError(f"--out {options.out} and --format {form.name} contradict each other: leave one out")
        bits = options.bits or form.bits[0]
        if bits not in form.bits:
            raise InputError(f"--bits {bits}: {form.name} has {form.bits[0]} (16 go with png, tiff and exr)")
        if form.is_linear and options.keep_profile:
            raise InputError("--keep-profile: OpenEXR has no profile, its colours are linear with sRGB's primaries")
        if options.out == STREAM and (options.panel or options.json):
            raise InputError("--panel and --json need a file: the picture goes to standard output")
        layer: Layer = "alpha" if options.only_alpha else "foreground" if options.foreground else "cut-out"
        layer = "composite" if options.over else layer
        backdrop = _backdrop(options.over) if options.over else None
        is_chosen = bool(options.format or named)
        return cls(options.out, form, bits, layer, backdrop, options.keep_profile, is_chosen)

    @property
    def file(self) -> Path | None:
        """The file of the single result, if `out` names one; else none."""
        return self.out if self.out == STREAM or (not self.out.is_dir() and _format_of(self.out)) else None

    @property
    def folder(self) -> Path:
        """The folder that must be there to write."""
        return self.out if self.file is None else self.out.parent

    def suffix(self, picture: Path) -> str:
        """What the name of a picture's result ends with.

        Raises:
            InputError: the picture cannot be decoded.
        """
        if not self.is_chosen and picture.suffix.lower() in (".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"):
            frames = frames_of(read_file(picture), name=str(picture))
            return frames.suffix if len(frames.numbers) > 1 else self.form.suffixes[0]
        return self.form.suffixes[0]

    def require_frames(self, path: Path, frames: Frames, *, name: str) -> None:
        """Refuse to write several frames in a way that is only to be had of a single one.

        Args:
            path: Where they are to go.
            frames: Of the picture.
            name: What to call it.

        Raises:
            InputError: there are several, and they cannot be written so.
        """
        count = len(frames.numbers)
        if count == 1:
            return
        if self.form.is_linear:
            raise InputError(f"{name} has {count} frames or pages, and OpenEXR one: choose another --format")
        if self.keep_profile:
            raise InputError(f"{name} has {count} frames or pages, which are written in sRGB: leave out --keep-profile")
        if self.bits != 8 and self._frames_suffix(path) != ".tif":
            raise InputError(f"{name} has {count} frames or pages: of 16 bits they go with --format tiff alone")

    def page(self, matte: Matte, image: Tensor) -> NDArray[np.integer]:
        """One of several frames of a result, (H, W) or (H, W, C), of as many bits.

        Raises:
            InputError: the format cannot hold it.
        """
        return rounded(self.pixels(matte, image, srgb_colours()), self.form, bits=self.bits)

    def write_frames(self, path: Path, pages: Sequence[NDArray[np.integer]], frames: Frames, *, picture: Path) -> None:
        """Write a result of several frames, whole or not at all; the picture's file says their density."""
        dpi = density_of(read_file(picture))
        _put(path, encode_frames(pages, frames, suffix=self._frames_suffix(path), dpi=dpi))

    def _frames_suffix(self, path: Path) -> str:
        return self.form.suffixes[0] if path == STREAM else path.suffix.lower().replace(".tiff", ".tif")

    def write(self, path: Path, matte: Matte, image: Tensor, *, picture: Path) -> None:
        """Write a picture's result, whole or not at all.

        Args:
            path: Where to.
            matte: Of one picture.
            image: The picture (1, 3, H, W) as the networks saw it.
            picture: Its file, which says its density, profile and colours beyond sRGB.

        Raises:
            InputError: the format cannot hold it, or the picture has no profile that can be kept.
        """
        content = read_file(picture)
        own = self._own_colours(content, name=str(picture))
        encoded = encode_picture(
            self.pixels(matte, image, own),
            self.form,
            bits=self.bits,
            profile=None if self.layer == "alpha" else own.profile,
            dpi=density_of(content),
        )
        _put(path, encoded)

    def pixels(self, matte: Matte, image: Tensor, own: OwnColours) -> NDArray[np.floating]:
        """What is written, (H, W, C), in the picture's own values.

        Colour is 0 where alpha is: what the networks say there means nothing, and would double the file.
        """
        colour, alpha, seen = map(_channels_last, (matte.foreground, matte.alpha, image))
        if self.layer == "alpha":
            return alpha
        colour = own.of(colour, image=seen, alpha=alpha)
        if self.layer == "composite":
            assert self.backdrop is not None
            height, width = alpha.shape[:2]
            behind = np.asarray(ImageOps.fit(self.backdrop, (width, height)), np.float32) / 255
            return alpha * colour + (1 - alpha) * own.encode(behind)
        is_seen = alpha > 0 if self.form.is_linear else np.rint(alpha * (2**self.bits - 1)) > 0
        return colour * is_seen if self.layer == "foreground" else np.dstack([colour * is_seen, alpha])

    def _own_colours(self, content: bytes, *, name: str) -> OwnColours:
        if self.form.is_linear:
            return linear_colours(content, name=name)
        return profile_colours(content, name=name) if self.keep_profile else srgb_colours()


def _put(path: Path, encoded: bytes) -> None:
    if path == STREAM:
        sys.stdout.buffer.write(encoded)
        sys.stdout.buffer.flush()
        return
    with whole_file(path) as file:
        file.write_bytes(encoded)


def _format_of(path: Path) -> Format | None:
    return next((form for form in FORMATS.values() if path.suffix.lower() in form.suffixes), None)


def _backdrop(colour_or_picture: str) -> Image.Image:
    path = Path(colour_or_picture)
    if path.is_file():
        content, name = read_file(path), str(path)
        require_single(content, name=name)
        return Image.fromarray(colour_pixels(open_picture(content, name=name, formats=READ)))
    try:
        colour = ImageColor.getrgb(colour_or_picture)
    except ValueError as error:
        raise InputError(
            f"--over {colour_or_picture}: no picture there, and no colour (such as white, #00ff00 or 'rgb(0,177,64)')"
        ) from error
    if len(colour) > 3:
        raise InputError(f"--over {colour_or_picture}: a backdrop is opaque, give a colour without alpha")
    return Image.new("RGB", (1, 1), colour)


def _channels_last(values: Tensor) -> NDArray[np.floating]:
    return values[0].detach().float().permute(1, 2, 0).cpu().numpy()


def panel_path(result: Path) -> Path:
    """Where the panel lies that belongs to a result."""
    return result.with_suffix(".panel.jpg")


def trimap_path(result: Path) -> Path:
    """Where the trimap lies that was made for a result."""
    return result.with_suffix(".trimap.png")


def write_panel(path: Path, image: Tensor, trimap: Tensor, matte: Matte) -> None:
    """Write image, trimap and matte side by side as a JPEG, smaller where it would be too wide for one."""
    panel = as_picture(matte_panel(image, trimap, matte.alpha.cpu(), matte.foreground.cpu())[0])
    panel.thumbnail((JPEG_SIDE, JPEG_SIDE), Image.Resampling.BOX)
    with whole_file(path) as file:
        panel.save(file, quality=92)
