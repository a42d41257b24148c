"""sRGB's curve (IEC 61966-2-1): from a picture's values to linear light, and back."""

import numpy as np
from numpy.typing import NDArray


def srgb_to_linear(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Linear light of sRGB values; both of any shape, 0 to 1 and beyond 1."""
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: NDArray[np.floating]) -> NDArray[np.floating]:
    """SRGB values of linear light; both of any shape, 0 to 1 and beyond 1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
