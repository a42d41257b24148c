"""Is this alpha matte worth training on?"""

import numpy as np

from drip_lightning.data.convert.outcome import Bytes, Refusal

MARGIN = 5
"""Values from 0 and from 255 that count as empty and as opaque: lossy files seldom hit the ends."""

BINARY = "binary matte"
"""The warning's name."""


def require_partial(alpha: Bytes) -> None:
    """Refuse a matte (H, W) that shows no object, or nothing but one.

    Raises:
        Refusal: it is opaque or transparent everywhere.
    """
    if alpha.min() >= 255 - MARGIN:
        raise Refusal("opaque everywhere", "there is no edge to learn from")
    if alpha.max() <= MARGIN:
        raise Refusal("transparent everywhere", "there is no object")


def is_binary(alpha: Bytes) -> bool:
    """Whether a matte (H, W) has hardly a soft edge, as a segmentation mask.

    An antialiased outline has about one partial pixel for each pair of neighbours that it runs between, hair far
    more; a matte with less than a quarter of one is called binary.
    """
    partial = np.count_nonzero((alpha > MARGIN) & (alpha < 255 - MARGIN))
    opaque = alpha > 127
    crossings = np.count_nonzero(opaque[1:] != opaque[:-1]) + np.count_nonzero(opaque[:, 1:] != opaque[:, :-1])
    return bool(partial < 0.25 * crossings)
