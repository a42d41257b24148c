"""Foregrounds for training: RGBA pictures, or colour and alpha in two files, become one RGBA member."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from drip_lightning.data.convert.catalogue import EVERYTHING, Choice
from drip_lightning.data.convert.faded import divided_by_alpha, fading
from drip_lightning.data.convert.mattes import BINARY, is_binary, require_partial
from drip_lightning.data.convert.outcome import (
    Bytes,
    Refusal,
    Sample,
    digest_of,
    encode,
    encode_png,
    read_matching,
    read_picture,
    require_equal_sizes,
)
from drip_lightning.data.convert.sources import (
    ConversionJob,
    Finding,
    Listing,
    listing,
    partner_jobs,
    required_subfolder,
    single_jobs,
    subfolder,
)
from drip_lightning.data.picture_files import find_pictures
from drip_lightning.data.pixels import rgba_pixels
from drip_lightning.errors import InputError

Codec = Literal["png", "webp"]
WEBP_LIMIT = 16383
"""Longest side that WebP can hold."""


@dataclass(frozen=True, kw_only=True)
class Foregrounds:
    """Any folders of RGBA pictures, or of `fg/` and `alpha/`, or of `image/` and `alpha/`.

    Attributes:
        sources: The folders.
        codec: How the shards hold them, without loss.
        estimate_foreground: The colours are those of a composite, and the straight ones are estimated.
        premultiplied: The colours are multiplied by alpha, and divided by it.
        hidden_colours: The colours are kept where alpha is 0, too; they take room, and `hidden_blur` alone sees them.
        choice: Which pictures are taken.
    """

    sources: tuple[Path, ...]
    codec: Codec = "webp"
    estimate_foreground: bool = False
    premultiplied: bool = False
    hidden_colours: bool = False
    choice: Choice = EVERYTHING
    name: ClassVar[str] = "rgba"
    noun: ClassVar[str] = "foregrounds"
    licence: ClassVar[str] = ""
    is_test_set: ClassVar[bool] = False
    expected: ClassVar[int | None] = None

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""
        flags = {"premultiplied": self.premultiplied, "hidden_colours": self.hidden_colours}
        return {
            "codec": self.codec,
            "estimate_foreground": self.estimate_foreground,
            **{name: True for name, given in flags.items() if given},
            **self.choice.arguments(),
        }

    def find(self) -> Listing:
        """Find the pictures.

        Raises:
            InputError: a source is not a folder, or what it holds needs another option.
        """
        entries: list[ConversionJob | Finding] = []
        ignored: Counter[str] = Counter()
        for source in self.sources:
            colour = subfolder(source, "fg", "foreground", "image")
            alpha = subfolder(source, "alpha")
            if alpha is not None and colour is not None:
                if colour.name.lower() == "image" and not self.estimate_foreground:
                    raise InputError(
                        f"{colour} holds composites, not foregrounds: give --estimate-foreground, or call it fg/ if "
                        "its colours are the objects' own"
                    )
                entries += _pairs(colour, alpha, ignored)
            else:
                pictures = find_pictures(source)
                entries += single_jobs(pictures, "rgba")
                ignored.update(pictures.ignored)
        return self.choice.of(listing(entries, ignored))

    def convert(self, job: ConversionJob) -> Sample:
        """Read, check and encode one foreground.

        Raises:
            Refusal: it cannot be used.
        """
        colour, alpha = read_foreground(job)
        require_partial(alpha)
        if self.estimate_foreground:
            colour = straight_colour(colour, alpha)
        elif self.premultiplied:
            colour = divided_by_alpha(colour, alpha)
        rgba = np.dstack([colour, alpha])
        if not self.hidden_colours:
            rgba[alpha == 0] = 0
        member, content = _encode(rgba, self.codec)
        warnings = BINARY if is_binary(alpha) else None, fading(colour, alpha)
        return Sample({member: content}, digest_of(rgba), tuple(filter(None, warnings)))


@dataclass(frozen=True, kw_only=True)
class Composition1kForegrounds(Foregrounds):
    """The 431 training foregrounds of Composition-1k (Adobe Deep Image Matting Dataset)."""

    name: ClassVar[str] = "composition1k"
    licence: ClassVar[str] = (
        "Adobe Deep Image Matting Dataset: for research, not to be passed on; the pictures under Other/ have Creative "
        "Commons licences of their own"
    )
    expected: ClassVar[int | None] = 431

    def find(self) -> Listing:
        """Find the pairs of `Adobe-licensed images/` and `Other/`."""
        training = _descend(self.sources, "Combined_Dataset", "Training_set")
        entries: list[ConversionJob | Finding] = []
        ignored: Counter[str] = Counter()
        for part in ("Adobe-licensed images", "Other"):
            folder = required_subfolder(training, part)
            entries += _pairs(required_subfolder(folder, "fg"), required_subfolder(folder, "alpha"), ignored)
        return listing(entries, ignored)


@dataclass(frozen=True, kw_only=True)
class Distinctions646Foregrounds(Foregrounds):
    """The 596 training foregrounds of Distinctions-646."""

    name: ClassVar[str] = "distinctions646"
    licence: ClassVar[str] = "Distinctions-646: for research, not to be passed on"
    expected: ClassVar[int | None] = 596

    def find(self) -> Listing:
        """Find the pairs of `Train/FG` and `Train/GT`."""
        train = _descend(self.sources, "Train")
        ignored: Counter[str] = Counter()
        entries = list(_pairs(required_subfolder(train, "FG"), required_subfolder(train, "GT"), ignored))
        return listing(entries, ignored)


def _descend(sources: Sequence[Path], *names: str) -> Path:
    """The innermost of these subfolders that there is, one in the other."""
    folder = sources[0]
    for name in names:
        folder = subfolder(folder, name) or folder
    return folder


def _pairs(colour: Path, alpha: Path, ignored: Counter[str]) -> Iterator[ConversionJob | Finding]:
    folders = {"fg": find_pictures(colour), "alpha": find_pictures(alpha)}
    for pictures in folders.values():
        ignored.update(pictures.ignored)
    return partner_jobs(folders)


def read_foreground(job: ConversionJob) -> tuple[Bytes, Bytes]:
    """Colour (H, W, 3) and alpha (H, W) of a job's `rgba`, or `fg` and `alpha`.

    Raises:
        Refusal: they cannot be read, or do not fit each other.
    """
    if "rgba" not in job.files:
        file = read_picture(job.files["fg"])
        colour, alpha = file.colour, read_matching(job.files["alpha"], picture=file)
        require_equal_sizes(fg=colour, alpha=alpha)
        return colour, alpha
    picture = read_picture(job.files["rgba"]).picture
    try:
        rgba = rgba_pixels(picture, name="it")
    except InputError as error:
        raise Refusal("no alpha channel", f"its mode is {picture.mode}") from error
    return rgba[..., :3], rgba[..., 3]


def straight_colour(image: Bytes, alpha: Bytes) -> Bytes:
    """Estimate an object's own colour from a composite by multi-level foreground estimation (Germer et al. 2020).

    Args:
        image: (H, W, 3).
        alpha: (H, W), the matte.

    Returns:
        (H, W, 3), the image's own where the matte is opaque.
    """
    from drip_lightning.ops.solvers import pymatting  # compiles at its import, for seconds

    estimate = pymatting.estimate_foreground_ml(image / 255.0, alpha / 255.0)
    colour = (np.clip(estimate, 0, 1) * 255).round().astype(np.uint8)
    return np.where(alpha[..., None] == 255, image, colour)


def _encode(rgba: Bytes, codec: Codec) -> tuple[str, bytes]:
    if codec == "png" or max(rgba.shape) > WEBP_LIMIT:
        return "rgba.png", encode_png(rgba)
    return "rgba.webp", encode(rgba, "WEBP", lossless=True, exact=True, method=0, quality=50)
