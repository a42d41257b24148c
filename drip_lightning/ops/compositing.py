"""The compositing equation (DRIP Eq. 1)."""

from torch import Tensor


def over(foreground: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Composite straight foreground over background, `I = aF + (1-a)B` (DRIP Eq. 1).

    Args:
        foreground: (B, 3, H, W) in [0, 1], not premultiplied.
        alpha: (B, 1, H, W) in [0, 1].
        background: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1]; exactly the foreground where alpha is 1, exactly the background where it is 0.
    """
    return alpha * foreground + (1 - alpha) * background
