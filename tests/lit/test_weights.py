import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.lit.weights import check_sizes


def test_what_does_not_fit_is_counted_once_and_named() -> None:
    """One of another shape, one that is missing, one too many; a fourth fits."""
    found = {"same": torch.zeros(2), "wide": torch.zeros(3, 2), "more": torch.zeros(1)}
    expected = {"same": torch.ones(2), "wide": torch.zeros(2, 2), "missing": torch.zeros(1)}
    said = r"^run does not fit the configured networks: 3 of 4 weights differ, such as wide: \(3, 2\) there, \(2, 2\) "
    with pytest.raises(InputError, match=said):
        check_sizes(found, expected, where="run")
    with pytest.raises(InputError, match=r"1 of 2 weights differ, such as more: \(1,\) there, nothing configured$"):
        check_sizes({"more": torch.zeros(1), "same": torch.zeros(2)}, {"same": torch.ones(2)}, where="run")
    check_sizes(expected, expected, where="run")
