import argparse

import pytest

from drip_lightning.cli.size_options import add_size_options, size_changes


def test_numbers_or_words() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_size_options(parser)
    options = parser.parse_args(["--processing-size=native", "--tile-size=256", "--precision=bf16"])
    assert (size_changes(options), options.precision) == ({"processing_size": None, "tile_size": 256}, "bf16")
    options = parser.parse_args(["--tile-size=whole", "--memory=4GB"])
    assert (size_changes(options), options.precision) == ({"tile_size": None, "memory": "4GB"}, "32")
    with pytest.raises(argparse.ArgumentError, match="expected a whole number or native, got 'whole'"):
        parser.parse_args(["--processing-size=whole"])
    with pytest.raises(argparse.ArgumentError, match="expected a size such as 4GB or 512MB, got 'much'"):
        parser.parse_args(["--memory=much"])
