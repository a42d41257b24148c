"""Pictures to evaluate on: image, trimap and alpha in folders of their own, with or without the foreground."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from drip_lightning.data.convert.mattes import BINARY, is_binary
from drip_lightning.data.convert.outcome import (
    Bytes,
    Refusal,
    Sample,
    digest_of,
    encode_png,
    read_matching,
    read_picture,
    require_equal_sizes,
)
from drip_lightning.data.convert.sources import (
    ConversionJob,
    Listing,
    listing,
    partner_jobs,
    required_subfolder,
    subfolder,
)
from drip_lightning.data.picture_files import find_pictures
from drip_lightning.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Triplets:
    """`image/`, `trimap/`, `alpha/` and perhaps `fg/`, with equally named pictures.

    Attributes:
        sources: The folder they are in.
        trimap_radius: Make the trimaps from alpha, this many pixels around its partial values; None reads them.
    """

    sources: tuple[Path, ...]
    trimap_radius: int | None = None
    name: ClassVar[str] = "triplets"
    noun: ClassVar[str] = "evaluation pictures"
    licence: ClassVar[str] = ""
    is_test_set: ClassVar[bool] = True
    expected: ClassVar[int | None] = None

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""
        return {"trimap_radius": self.trimap_radius}

    def folders(self) -> dict[str, Path]:
        """Where each role's pictures are.

        Raises:
            InputError: a folder is missing.
        """
        (source,) = self.sources
        folders = {"image": required_subfolder(source, "image"), "alpha": required_subfolder(source, "alpha")}
        trimap, foreground = subfolder(source, "trimap"), subfolder(source, "fg")
        if self.trimap_radius is None:
            if trimap is None:
                raise InputError(f"{source} has no folder trimap/: give --trimap-radius to make trimaps from alpha")
            folders["trimap"] = trimap
        return folders if foreground is None else {**folders, "fg": foreground}

    def find(self) -> Listing:
        """Find the pictures and their partners."""
        found = {role: find_pictures(folder) for role, folder in self.folders().items()}
        ignored = sum((pictures.ignored for pictures in found.values()), Counter[str]())
        return listing(list(partner_jobs(found, optional=("fg",))), ignored)

    def convert(self, job: ConversionJob) -> Sample:
        """Read, check and encode one picture to evaluate on.

        Raises:
            Refusal: it cannot be used.
        """
        file = read_picture(job.files["image"])
        image, alpha = file.colour, read_matching(job.files["alpha"], picture=file)
        pictures = {"image": image, "alpha": alpha}
        if self.trimap_radius is None:
            pictures["trimap"] = read_matching(job.files["trimap"], picture=file)
        if "fg" in job.files:
            pictures["fg"] = read_picture(job.files["fg"]).colour
        require_equal_sizes(**pictures)
        trimap = pictures.get("trimap")
        if trimap is None:
            assert self.trimap_radius is not None
            trimap = trimap_around(alpha, self.trimap_radius)
        trimap_file = job.files.get("trimap", "")
        return evaluation_sample(
            image=image, trimap=trimap, alpha=alpha, foreground=pictures.get("fg"), trimap_file=trimap_file
        )


@dataclass(frozen=True, kw_only=True)
class Aim500(Triplets):
    """The 500 photographs of AIM-500: `original/`, `mask/`, `trimap/`."""

    name: ClassVar[str] = "aim500"
    licence: ClassVar[str] = "AIM-500: for research, not to be passed on"
    expected: ClassVar[int | None] = 500

    def folders(self) -> dict[str, Path]:
        """Where each role's pictures are."""
        source = subfolder(self.sources[0], "AIM-500") or self.sources[0]
        names = {"image": "original", "alpha": "mask", "trimap": "trimap"}
        return {role: required_subfolder(source, name) for role, name in names.items()}


@dataclass(frozen=True, kw_only=True)
class Alphamatting(Triplets):
    """The 27 training pictures of alphamatting.com: `input_training_*/`, `trimap_training_*/`, `gt_training_*/`.

    Attributes:
        resolution: `lowres` or `highres`, as the folders are called.
        trimap_set: 1 is narrower, 2 is wider.
    """

    resolution: str = "lowres"
    trimap_set: int = 1
    name: ClassVar[str] = "alphamatting"
    licence: ClassVar[str] = "alphamatting.com training set: ask its authors"
    expected: ClassVar[int | None] = 27

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""
        return {"resolution": self.resolution, "trimap_set": self.trimap_set}

    def folders(self) -> dict[str, Path]:
        """Where each role's pictures are; an archive may have been unpacked into a folder of its own name."""
        (source,) = self.sources

        def unpacked(kind: str) -> Path:
            folder = required_subfolder(source, f"{kind}_training_{self.resolution}")
            return subfolder(folder, folder.name) or folder

        trimaps = required_subfolder(unpacked("trimap"), f"Trimap{self.trimap_set}")
        return {"image": unpacked("input"), "alpha": unpacked("gt"), "trimap": trimaps}


def evaluation_sample(
    *, image: Bytes, trimap: Bytes, alpha: Bytes, foreground: Bytes | None, trimap_file: str = ""
) -> Sample:
    """Encode the members of an evaluation sample, and warn of what makes its figures doubtful.

    Args:
        image: (H, W, 3).
        trimap: (H, W); 0 is background, 255 foreground, anything between unknown.
        alpha: (H, W).
        foreground: (H, W, 3), straight, or None where it is not known.
        trimap_file: Where the trimap was read, for a refusal.

    Raises:
        Refusal: nothing in the trimap is unknown.
    """
    unknown = (trimap > 0) & (trimap < 255)
    if not unknown.any():
        raise Refusal("nothing unknown in the trimap", "there is nothing to evaluate", file=trimap_file)
    wrong = ((trimap == 0) & (alpha > 2)) | ((trimap == 255) & (alpha < 253))
    warnings = {
        BINARY: is_binary(alpha),
        "trimap with other values than 0, 128, 255 (read as unknown)": bool((unknown & (trimap != 128)).any()),
        "trimap contradicts alpha": bool(np.count_nonzero(wrong) > 0.001 * wrong.size),
    }
    members = {"image.png": encode_png(image), "trimap.png": encode_png(trimap), "alpha.png": encode_png(alpha)}
    if foreground is not None:
        members["fg.png"] = encode_png(foreground)
    given = tuple(warning for warning, applies in warnings.items() if applies)
    return Sample(members, digest_of(image, trimap, alpha), given)


def trimap_around(alpha: Bytes, radius: int) -> Bytes:
    """A trimap (H, W) of 0, 128 and 255: unknown within `radius` pixels of the matte's partial values."""
    from drip_lightning.ops.trimap import trimap_uint8  # torch: a conversion that needs no trimaps starts without

    return trimap_uint8(alpha, dilation=radius, erosion=radius)
