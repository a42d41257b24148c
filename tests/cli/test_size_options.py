import argparse

import pytest

from drip_lightning.cli.size_options import add_size_options, parse_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4 * 10**9), ("4gib", 2**32), ("1.5G", 1_500_000_000), ("512 MB", 512 * 10**6), ("1000", 1000)],
)
def test_sizes_in_bytes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["much", "", "-4GB", "4XB", "GB"])
def test_no_sizes_in_bytes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a size such as 4GB"):
        parse_bytes(text)


def test_numbers_or_words() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_size_options(parser)
    options = parser.parse_args(["--processing-size=native", "--tile-size=256", "--precision=bf16"])
    assert (options.processing_size, options.tile_size, options.precision) == ("native", 256, "bf16")
    with pytest.raises(argparse.ArgumentError, match="expected a whole number or native, got 'whole'"):
        parser.parse_args(["--processing-size=whole"])
