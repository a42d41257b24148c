"""Mattes that another program has written: a folder of picture files, measured like any method."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from drip_lightning.data.exr import is_exr, read_exr
from drip_lightning.data.frames import require_single
from drip_lightning.data.maps import map_pixels
from drip_lightning.data.picture_files import read_file
from drip_lightning.data.pictures import open_picture
from drip_lightning.data.pixels import colour_pixels, opacity
from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError
from drip_lightning.evaluation.method import Method
from drip_lightning.nn.sampler import Matte

_SUFFIXES = (".png", ".tif", ".tiff", ".webp", ".exr")
_FORMATS = ("PNG", "TIFF", "WEBP")


class Predictions(Method):
    """A folder of predicted mattes, one file a picture, `KEY.png`, `.tif`, `.webp` or `.exr` for the picture's key.

    A file with an alpha channel brings the matte as its alpha, and the foreground as its straight colour; a grey one
    brings the matte alone, and is not measured by foreground metrics. OpenEXR is linear and premultiplied.
    """

    def __init__(self, folder: Path, *, name: str) -> None:
        """List the folder.

        Raises:
            InputError: it holds no such file, or two of one name.
        """
        super().__init__(name)
        self._folder = folder
        self._files: dict[str, Path] = {}
        for file in prediction_files(folder):
            if file.stem in self._files:
                raise InputError(f"{folder}: {self._files[file.stem].name} and {file.name} are both {file.stem!r}")
            self._files[file.stem] = file
        if not self._files:
            raise InputError(f"{folder} holds no predicted mattes: expected KEY{', KEY'.join(_SUFFIXES)}")

    def left_over(self, keys: Sequence[str]) -> list[str]:
        """Files that belong to no picture."""
        return [self._files[key].name for key in sorted(self._files.keys() - set(keys))]

    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Read the picture's file; the image stands for a foreground that is not there, and is not measured."""
        (key,) = batch["key"]
        if key not in self._files:
            raise InputError(f"{self.name} has no file for it: expected {self._folder / key}.png")
        return (read_matte(self._files[key], image=batch["image"]),)

    def brings_foreground(self, key: str) -> bool:
        """Whether the key's file has colours of its own."""
        return _layers(self._files[key])[1] is not None

    def describe(self) -> dict[str, str | int | float]:
        """Where the files are, and a digest of all of them."""
        digest = hashlib.sha256()
        for key, file in sorted(self._files.items()):
            digest.update(key.encode() + hashlib.sha256(file.read_bytes()).digest())
        return {"kind": "predicted mattes", "source": str(self._folder), "sha256": digest.hexdigest()[:16]}


_GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L")


def prediction_files(folder: Path) -> list[Path]:
    """The files of a folder that may be predicted mattes, in the order of their names."""
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
    )


def read_matte(file: Path, *, image: Tensor, frame: int | None = None) -> Matte:
    """Read a matte from a file: straight colour and alpha, or alpha alone.

    Args:
        file: PNG, TIFF, WebP or OpenEXR.
        image: (1, 3, H, W) in [0, 1]; it stands for a foreground that is not there.
        frame: Which one of an animation, or which page of a TIFF file; None if there is to be one alone.

    Raises:
        InputError: it cannot be read, has several frames or another size, or is a colour picture without alpha.
    """
    alpha, colour = _layers(file, frame)
    if alpha is None:
        raise InputError(f"{file} is a colour picture without alpha: expected a grey matte, or RGBA")
    height, width = image.shape[-2:]
    if alpha.shape != (height, width):
        raise InputError(f"{file} is {alpha.shape[1]}x{alpha.shape[0]}, and the picture {width}x{height}")
    foreground = image if colour is None else torch.from_numpy(colour).permute(2, 0, 1)[None].to(image)
    return Matte(foreground=foreground, alpha=torch.from_numpy(alpha)[None, None].to(image))


def _layers(file: Path, frame: int | None = None) -> tuple[NDArray[np.floating] | None, NDArray[np.floating] | None]:
    """A file's alpha (H, W) and straight colour (H, W, 3) in sRGB, as far as it has them for a matte."""
    content, name = read_file(file), str(file)
    if is_exr(content):
        linear = read_exr(content, name=name)
        return linear.alpha, linear.srgb
    if frame is None:
        require_single(content, name=name)
        frame = 0
    picture = open_picture(content, name=name, formats=_FORMATS, frame=frame)
    alpha = opacity(picture)
    if alpha.min() == alpha.max() and (picture.mode in _GREY_MODES or _is_grey(picture)):
        return map_pixels(picture, name=name).astype(np.float32) / 255, None
    if not picture.has_transparency_data:
        return None, None
    return alpha.astype(np.float32) / 255, colour_pixels(picture).astype(np.float32) / 255


def _is_grey(picture: Image.Image) -> bool:
    """Whether the three channels agree, as where a program writes a matte as RGB."""
    pixels = colour_pixels(picture)
    return bool((pixels == pixels[..., :1]).all())
