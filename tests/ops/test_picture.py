import numpy as np
import torch

from drip_lightning.ops.picture import as_picture


def test_values_are_rounded_and_clipped() -> None:
    values = torch.tensor([[[-1.0, 0.4 / 255, 0.6 / 255, 128 / 255, 2.0]]])
    picture = as_picture(values)
    assert picture.mode == "L"
    assert np.asarray(picture).tolist() == [[0, 0, 1, 128, 255]]


def test_channels_come_last() -> None:
    for channels, mode in ((3, "RGB"), (4, "RGBA")):
        values = torch.arange(channels * 6).view(channels, 2, 3)
        picture = as_picture(values / 255)
        assert picture.mode == mode
        assert picture.getpixel((2, 1)) == tuple(values[:, 1, 2].tolist())
