"""The options of `drip matte`; nothing heavy is imported for its help."""

import argparse
from pathlib import Path

from drip_lightning.cli.auto_mask import mask_option
from drip_lightning.cli.matte_model import add_model_options
from drip_lightning.cli.parser import OneLineParser

_DESCRIPTION = """\
Cut objects out of pictures: for each PICTURE an RGBA PNG with straight (not premultiplied) colour, of the same size.
Other layers, formats, bits and profiles: see below, and docs/matting.md.

A trimap says what is known: black background, white foreground, anything between is to be found out. A rough mask
(object above mid-grey) will do: a band around its outline becomes the unknown part. Where a picture is transparent
itself (alpha 0), the result is, too. With --mask auto rembg finds the object, and the trimap that leads to is written
beside the result.

Without --trimap and --mask, the trimap of a.jpg is a_trimap.png beside it, of whatever suffix.
PICTURE, --trimap and --mask may be folders: the trimap of sub/a.jpg is sub/a.png or sub/a_trimap.png, of whatever
suffix (a mask: sub/a_mask.png), and its result OUT/sub/a.png. Of a.jpg beside a.webp, a.jpg.png and a.webp.png.
Every frame of an animation and every page of a TIFF file is done, into a file of as many.
Frames of a sequence may be named by their pattern, shot.%04d.png, and so may their trimaps.
Results that exist are kept. A picture that fails is reported, the rest are made, and the exit status is 1.
"""
_EXAMPLE = """\
examples:
  drip matte portrait.jpg --trimap portrait_trimap.png --checkpoint runs/transparency --out cutouts
  drip matte photos/ --mask masks/ --band 20 --checkpoint runs/transparency --out cutouts --panel
  drip matte shot.%04d.exr --trimap trimap.%04d.png --format exr --out plates
  drip matte - --mask mask.png --over white --out - < portrait.jpg > on_white.png
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip matte`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip matte",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "pictures", metavar="PICTURE", nargs="+", type=Path, help="picture, folder of pictures, or - for standard input"
    )
    guide = parser.add_mutually_exclusive_group()
    guide.add_argument("--trimap", metavar="T", type=Path, help="trimap, or folder of them (default: those beside)")
    guide.add_argument(
        "--mask",
        metavar="M",
        type=mask_option,
        help="rough mask, or folder of equally named masks; auto, or auto:MODEL, for rembg's (extra auto)",
    )
    parser.add_argument("--invert-mask", action="store_true", help="with --mask: the object is black")
    parser.add_argument("--band", type=int, metavar="PIXELS", help="with --mask: half the unknown band (default: 15)")
    parser.add_argument(
        "--trimap-orientation",
        choices=("upright", "raw"),
        help="how trimap or mask lie of a picture that its EXIF rotates: as it is seen, or as it lies in the file "
        "(default: what the sizes say)",
    )
    add_model_options(parser)
    _add_result_options(parser)
    parser.add_argument(
        "--no-recursive", dest="recursive", action="store_false", help="leave out the folders in folders of pictures"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="denoising steps (default: the checkpoint's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed starts from other noise")
    parser.add_argument("--overwrite", action="store_true", help="make results that exist again")
    return parser


def _add_result_options(parser: argparse.ArgumentParser) -> None:
    """What `drip_lightning.cli.results` makes sense of."""
    parser.add_argument(
        "--out",
        metavar="OUT",
        type=Path,
        required=True,
        help="folder of the results, made if missing; for one picture also its file (x.png), or - for standard output",
    )
    parser.add_argument(
        "--format", choices=("png", "webp", "tiff", "exr"), help="of the results (default: OUT's, or png)"
    )
    parser.add_argument(
        "--bits",
        type=int,
        choices=(8, 16),
        help="of a channel: 16 go with png and tiff (default: 8; exr: half floats)",
    )
    layer = parser.add_mutually_exclusive_group()
    layer.add_argument("--only-alpha", action="store_true", help="write alpha alone, in grey")
    layer.add_argument("--foreground", action="store_true", help="write straight colour alone, black where alpha is 0")
    layer.add_argument(
        "--over",
        metavar="BACKDROP",
        help="write the object over a colour (white, #00ff00) or a picture, scaled to fill",
    )
    parser.add_argument(
        "--keep-profile", action="store_true", help="colours in the picture's own ICC profile (default: in sRGB)"
    )
    parser.add_argument("--panel", action="store_true", help="also write NAME.panel.jpg: input and result side by side")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each result on standard output")
