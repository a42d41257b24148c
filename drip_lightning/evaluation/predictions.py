"""Mattes that another program has written: a folder of picture files, measured like any method."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from drip_lightning.data.picture_files import read_file
from drip_lightning.data.pictures import colour_pixels, grey_pixels, open_picture, rgba_pixels
from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError
from drip_lightning.evaluation.method import Method
from drip_lightning.pipeline import Matte

_SUFFIXES = (".png", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "TIFF", "WEBP")


class Predictions(Method):
    """A folder of predicted mattes, one file a picture, named for the picture's key: `KEY.png`, `.tif`, `.webp`.

    A file with an alpha channel brings the matte as its alpha, and the foreground as its straight colour; a grey one
    brings the matte alone, and is not measured by foreground metrics.
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
        file = self._files[key]
        picture = _open(file)
        height, width = batch["image"].shape[-2:]
        if picture.size != (width, height):
            raise InputError(f"{file} is {picture.width}x{picture.height}, and the picture {width}x{height}")
        if not picture.has_transparency_data:
            if picture.mode not in _GREY_MODES and not _is_grey(picture):
                raise InputError(f"{file} is a colour picture without alpha: expected a grey matte, or RGBA")
            alpha = torch.from_numpy(grey_pixels(picture))[None, None] / 255
            return (Matte(foreground=batch["image"], alpha=alpha.to(batch["image"])),)
        rgba = torch.from_numpy(rgba_pixels(picture, name=str(file))).permute(2, 0, 1)[None] / 255
        foreground, alpha = rgba.to(batch["image"]).split([3, 1], dim=1)
        return (Matte(foreground=foreground, alpha=alpha),)

    def brings_foreground(self, key: str) -> bool:
        """Whether the key's file has colours of its own."""
        with Image.open(self._files[key]) as picture:  # its header: `mattes` has decoded the file
            return picture.has_transparency_data

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


def _open(file: Path) -> Image.Image:
    return open_picture(read_file(file), name=str(file), formats=_FORMATS)


def _is_grey(picture: Image.Image) -> bool:
    """Whether the three channels agree, as where a program writes a matte as RGB."""
    pixels = colour_pixels(picture)
    return bool((pixels == pixels[..., :1]).all())
