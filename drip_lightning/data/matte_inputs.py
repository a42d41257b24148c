"""A picture and its trimap or mask, read for `drip matte`."""

import numpy as np
import torch
from torch import Tensor

from drip_lightning.data.matte_jobs import MatteJob
from drip_lightning.data.orientation import Orientation, apply_orientation, fit_guide
from drip_lightning.data.picture_files import FORMATS, read_file
from drip_lightning.data.pictures import colour_floats, map_pixels, opacity, open_picture, open_values, orientation_of
from drip_lightning.errors import InputError
from drip_lightning.ops.trimap import quantise_trimap, trimap_from_mask, unknown_mask


def read_inputs(job: MatteJob, *, band: int | None, guide_lies: Orientation | None = None) -> tuple[Tensor, Tensor]:
    """Read a picture and its trimap.

    Args:
        job: What to read.
        band: Half the unknown band if the guide is a mask; none if it is a trimap.
        guide_lies: How the guide of a picture lies that its EXIF rotates; None tells by the sizes.

    Returns:
        Image (1, 3, H, W) in [0, 1], of as many bits as it has, and trimap (1, 1, H, W), background where the picture
        itself is transparent.

    Raises:
        InputError: a file cannot be read, sizes differ or do not tell how the guide lies, or nothing is unknown.
    """
    content, name = read_file(job.picture), str(job.picture)
    picture = open_picture(content, name=name, formats=FORMATS)
    orientation = orientation_of(content, name=name, formats=FORMATS)
    values = open_values(content, name=name, formats=FORMATS)
    image = colour_floats(picture, None if values is None else apply_orientation(values, orientation))

    content, name = read_file(job.guide), str(job.guide)
    guide = map_pixels(open_picture(content, name=name, formats=FORMATS), name=name)
    if orientation_of(content, name=name, formats=FORMATS) != 1:
        orientation = 1  # its own has been applied
    guide = fit_guide(
        guide,
        image.shape[:2],
        orientation=orientation,
        lies=guide_lies,
        picture_name=str(job.picture),
        guide_name=name,
    )
    known = torch.tensor(np.ascontiguousarray(guide))[None, None] / 255
    trimap = quantise_trimap(known) if band is None else trimap_from_mask(known, band)
    trimap[torch.from_numpy(opacity(picture) == 0)[None, None]] = 0
    if not unknown_mask(trimap).any():
        raise InputError(f"{job.guide} leaves no pixel unknown: there is nothing to find out")
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous(), trimap
