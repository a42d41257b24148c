"""A picture and its trimap or mask, read for `drip matte`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drip_lightning.data.exr import is_exr, read_exr
from drip_lightning.data.frames import Frames, frames_of, require_single
from drip_lightning.data.maps import map_pixels, require_trimap
from drip_lightning.data.matte_jobs import MatteJob
from drip_lightning.data.orientation import Orientation, fit_guide
from drip_lightning.data.picture_files import FORMATS, read_file
from drip_lightning.data.pictures import open_picture, open_with_values, orientation_of
from drip_lightning.data.pixels import colour_floats, opacity
from drip_lightning.errors import InputError
from drip_lightning.ops.trimap import quantise_trimap, trimap_from_mask, unknown_mask


def read_inputs(
    job: MatteJob,
    *,
    band: int | None,
    guide_lies: Orientation | None = None,
    inverted: bool = False,
    place: tuple[int, int] = (0, 0),
    amend: Callable[[Tensor], Tensor] = lambda trimap: trimap,
) -> tuple[Tensor, Tensor]:
    """Read a picture and its trimap.

    Args:
        job: What to read.
        band: Half the unknown band if the guide is a mask; none if it is a trimap.
        guide_lies: How the guide of a picture lies that its EXIF rotates; None tells by the sizes.
        inverted: The guide is black where it should be white.
        place: Which frame or page of the picture, and of the guide.
        amend: What is done to the trimap before it counts.

    Returns:
        Image (1, 3, H, W) in [0, 1], of as many bits as it has, and trimap (1, 1, H, W), background where the picture
        itself is transparent.

    Raises:
        InputError: a file cannot be read, sizes differ or do not tell how the guide lies, or nothing is unknown.
    """
    image, opaque, orientation = read_picture(job.picture, frame=place[0])
    guide, guide_orientation = read_map(job.guide, frame=place[1])
    if band is None:
        require_trimap(guide, name=str(job.guide))
    if guide_orientation != 1:
        orientation = 1  # its own has been applied
    guide = fit_guide(
        guide,
        image.shape[:2],
        orientation=orientation,
        lies=guide_lies,
        picture_name=str(job.picture),
        guide_name=str(job.guide),
    )
    known = torch.tensor(np.ascontiguousarray(255 - guide if inverted else guide))[None, None] / 255
    trimap = amend(quantise_trimap(known) if band is None else trimap_from_mask(known, band))
    if not unknown_mask(trimap).any():
        why = "paint its outline grey, or give it as a mask" if band is None else "it has no outline, or the band is 0"
        raise InputError(f"{job.guide} leaves no pixel unknown: {why}")
    trimap[torch.from_numpy(opaque == 0)[None, None]] = 0
    if not unknown_mask(trimap).any():
        raise InputError(f"{job.picture} is transparent where {job.guide} is unknown: there is nothing to find out")
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous(), trimap


def find_frames(job: MatteJob) -> tuple[Frames, list[tuple[int, int]]]:
    """The picture's frames or pages, and for each its place and that of its trimap or mask in their files.

    Raises:
        InputError: a file cannot be read, or the guide has neither one page for all nor one for each.
    """
    frames, guides = (frames_of(read_file(path), name=str(path)) for path in (job.picture, job.guide))
    count, guide_count = len(frames.numbers), len(guides.numbers)
    if guide_count not in (1, count):
        counts = f"{job.guide} has {guide_count} frames or pages for the {count} of {job.picture}"
        raise InputError(f"{counts}: give one for all, or one for each")
    return frames, list(zip(frames.numbers, guides.numbers * (count // guide_count), strict=True))


def read_picture(path: Path, *, frame: int) -> tuple[NDArray[np.float32], NDArray[np.floating | np.integer], int]:
    """Read a picture, or a frame or page of it.

    Returns:
        Colour (H, W, 3) in sRGB, in [0, 1], and the picture's own alpha (H, W), 0 where it is transparent; upright; and
        how it lay in the file, in EXIF's numbers.

    Raises:
        InputError: it cannot be read, or has no colour.
    """
    content, name = read_file(path), str(path)
    if is_exr(content):
        linear = read_exr(content, name=name)
        image = linear.srgb
        if image is None:
            raise InputError(f"{name} has no colour: it is a matte")
        return image, np.ones(image.shape[:2], np.float32) if linear.alpha is None else linear.alpha, 1
    picture, values = open_with_values(content, name=name, formats=FORMATS, frame=frame)
    orientation = orientation_of(content, name=name, formats=FORMATS, frame=frame)
    return colour_floats(picture, values), opacity(picture), orientation


def read_map(path: Path, *, frame: int | None = None) -> tuple[NDArray[np.uint8], int]:
    """Read a trimap, mask or matte from any tool, as `map_pixels` understands it; of OpenEXR the alpha.

    Args:
        path: The file.
        frame: Which one of an animation, or which page of a TIFF file; None if there is to be one alone.

    Returns:
        (H, W), 0 to 255, upright; and how it lay in the file, in EXIF's numbers.

    Raises:
        InputError: it cannot be read, says nothing, or has several frames or pages.
    """
    content, name = read_file(path), str(path)
    if is_exr(content):
        alpha = read_exr(content, name=name).alpha
        if alpha is None:
            raise InputError(f"{name} has neither an alpha nor a single channel: it is no trimap or mask")
        return np.rint(alpha * 255).astype(np.uint8), 1
    if frame is None:
        require_single(content, name=name)
        frame = 0
    guide = map_pixels(open_picture(content, name=name, formats=FORMATS, frame=frame), name=name)
    return guide, orientation_of(content, name=name, formats=FORMATS, frame=frame)
