"""A picture and its trimap or mask, read for `drip matte`."""

from torch import Tensor

from drip_lightning.data.decode import decode_layers, decode_map
from drip_lightning.data.matte_jobs import MatteJob
from drip_lightning.data.picture_files import FORMATS, read_file
from drip_lightning.errors import InputError
from drip_lightning.ops.trimap import quantise_trimap, trimap_from_mask, unknown_mask


def read_inputs(job: MatteJob, *, band: int | None) -> tuple[Tensor, Tensor]:
    """Read a picture and its trimap.

    Args:
        job: What to read.
        band: Half the unknown band if the guide is a mask; none if it is a trimap.

    Returns:
        Image (1, 3, H, W) in [0, 1] and trimap (1, 1, H, W), background where the picture itself is transparent.

    Raises:
        InputError: a file cannot be read, sizes differ, or nothing is unknown.
    """
    colour, opacity = decode_layers(read_file(job.picture), name=str(job.picture), formats=FORMATS)
    image = colour[None] / 255
    guide = decode_map(read_file(job.guide), name=str(job.guide), formats=FORMATS)[None] / 255
    if image.shape[-2:] != guide.shape[-2:]:
        (height, width), (guide_height, guide_width) = image.shape[-2:], guide.shape[-2:]
        raise InputError(
            f"{job.picture} is {width}×{height} but {job.guide} is {guide_width}×{guide_height}: make them equal"
        )
    trimap = quantise_trimap(guide) if band is None else trimap_from_mask(guide, band)
    trimap = trimap * (opacity[None] > 0)
    if not unknown_mask(trimap).any():
        raise InputError(f"{job.guide} leaves no pixel unknown: there is nothing to find out")
    return image, trimap
