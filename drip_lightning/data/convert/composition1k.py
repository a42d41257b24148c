"""The test sets of Composition-1k and Distinctions-646: fifty foregrounds over twenty backgrounds each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from drip_lightning.data.convert.composites import composite_as_reference
from drip_lightning.data.convert.outcome import Sample, read_grey, read_picture, require_equal_sizes
from drip_lightning.data.convert.sources import (
    ConversionJob,
    Finding,
    Listing,
    listing,
    required_subfolder,
    subfolder,
)
from drip_lightning.data.convert.triplets import evaluation_sample, trimap_around
from drip_lightning.data.picture_files import find_pictures, printable
from drip_lightning.errors import InputError

BACKGROUNDS_EACH = 20


@dataclass(frozen=True, kw_only=True)
class Composition1kTest:
    """The 1000 test images of Composition-1k: 50 foregrounds over 20 pictures of PASCAL VOC each.

    Which background goes with which foreground is said by the two lists that come with the set; the trimaps come with
    it, too.

    Attributes:
        sources: The Adobe Deep Image Matting Dataset, and PASCAL VOC 2012.
    """

    sources: tuple[Path, ...]
    trimap_radius: int | None = None
    name: ClassVar[str] = "composition1k-test"
    noun: ClassVar[str] = "evaluation pictures"
    licence: ClassVar[str] = (
        "Adobe Deep Image Matting Dataset: for research, not to be passed on; backgrounds: PASCAL VOC, Flickr terms"
    )
    is_test_set: ClassVar[bool] = True
    expected: ClassVar[int | None] = 1000

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""
        return {"trimap_radius": self.trimap_radius}

    def find(self) -> Listing:
        """Pair the foregrounds with their backgrounds and trimaps.

        Raises:
            InputError: a folder or list is missing, or the lists do not fit each other.
        """
        dataset, voc = self.sources
        test = subfolder(subfolder(dataset, "Combined_Dataset") or dataset, "Test_set") or dataset
        pictures = required_subfolder(test, "Adobe-licensed images")
        roles = {"fg": required_subfolder(pictures, "fg"), "alpha": required_subfolder(pictures, "alpha")}
        if self.trimap_radius is None:
            roles["trimap"] = required_subfolder(pictures, "trimaps")
        names = read_names(test / "test_fg_names.txt")
        return composite_jobs(names, read_names(test / "test_bg_names.txt"), roles, backgrounds=_voc_pictures(voc))

    def convert(self, job: ConversionJob) -> Sample:
        """Composite one image.

        Raises:
            Refusal: a picture cannot be used.
        """
        foreground, alpha = read_picture(job.files["fg"]).colour, read_grey(job.files["alpha"])
        require_equal_sizes(fg=foreground, alpha=alpha)
        if self.trimap_radius is None:
            trimap = read_grey(job.files["trimap"])
            require_equal_sizes(fg=foreground, trimap=trimap)
        else:
            trimap = trimap_around(alpha, self.trimap_radius)
        # As it lies in the file, as the script reads it.
        background = read_picture(job.files["background"], upright=False).picture.convert("RGB")
        image = composite_as_reference(foreground, alpha, background)
        return evaluation_sample(image=image, trimap=trimap, alpha=alpha, foreground=foreground)


@dataclass(frozen=True, kw_only=True)
class Distinctions646Test(Composition1kTest):
    """The 1000 test images of Distinctions-646, made in the same way; it ships no trimaps."""

    name: ClassVar[str] = "distinctions646-test"
    licence: ClassVar[str] = (
        "Distinctions-646: for research, not to be passed on; backgrounds: PASCAL VOC, Flickr terms"
    )

    def find(self) -> Listing:
        """Pair the foregrounds with their backgrounds.

        Raises:
            InputError: a folder or list is missing, the lists do not fit each other, or no trimap is asked for.
        """
        if self.trimap_radius is None:
            raise InputError("Distinctions-646 ships no trimaps: give --trimap-radius, and say it beside the figures")
        dataset, voc = self.sources
        test = subfolder(subfolder(dataset, "Distinctions-646") or dataset, "Test") or dataset
        roles = {"fg": required_subfolder(test, "FG"), "alpha": required_subfolder(test, "GT")}
        chosen = test / "fg_test.txt"
        names = read_names(chosen) if chosen.exists() else sorted(path.name for path in _files(roles["fg"]))
        return composite_jobs(names, read_names(test / "bg_test.txt"), roles, backgrounds=_voc_pictures(voc))


def composite_jobs(
    foregrounds: Sequence[str], backgrounds_used: Sequence[str], roles: dict[str, Path], *, backgrounds: Path
) -> Listing:
    """The i-th foreground over the i-th twenty backgrounds.

    Args:
        foregrounds: File names, in the set's order.
        backgrounds_used: File names, twenty for each foreground.
        roles: Folders of `fg`, `alpha` and, unless they are to be made, `trimap` (`NAME_0.png` … `NAME_19.png`).
        backgrounds: The folder of all backgrounds.

    Raises:
        InputError: there are not twenty backgrounds for each foreground.
    """
    if len(backgrounds_used) != BACKGROUNDS_EACH * len(foregrounds):
        raise InputError(
            f"the lists name {len(foregrounds)} foregrounds and {len(backgrounds_used)} backgrounds: expected "
            f"{BACKGROUNDS_EACH} for each"
        )
    found = {role: find_pictures(folder).files for role, folder in roles.items()}
    entries: list[ConversionJob | Finding] = []
    for number, background in enumerate(backgrounds_used):
        stem = Path(foregrounds[number // BACKGROUNDS_EACH]).stem
        repeated = f"{stem}_{number % BACKGROUNDS_EACH}"
        files = {"background": backgrounds / background}
        for role, pictures in found.items():
            name = repeated if role == "trimap" else stem
            files[role] = pictures[name][0] if name in pictures else roles[role] / f"{name}.png"
        missing = next((path for path in files.values() if not path.is_file()), None)
        paths = {role: str(path) for role, path in files.items()}
        if missing is None:
            entries.append(ConversionJob(repeated, paths, printable(repeated)))
        else:
            entries.append(Finding(printable(repeated), "partner missing", f"no {printable(str(missing))}"))
    return listing(entries, Counter[str]())


def read_names(path: Path) -> list[str]:
    """The lines of a list of file names.

    Raises:
        InputError: it is not there or no text.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}, which says what belongs together, cannot be read: it comes with the set") from error


def _files(folder: Path) -> list[Path]:
    return [path for paths in find_pictures(folder).files.values() for path in paths]


def _voc_pictures(folder: Path) -> Path:
    """`JPEGImages/`, however much of PASCAL VOC's path leads there."""
    for name in ("VOCdevkit", "VOC2012", "JPEGImages"):
        folder = subfolder(folder, name) or folder
    return folder
