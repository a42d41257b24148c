from pathlib import Path
from typing import Any

import pytest
import yaml

from drip_lightning.errors import InputError
from drip_lightning.sweep.overlays import check_overlays

MULTI = "drip_lightning.nn.noise.AnnealedMultiResolutionNoise"
GAUSSIAN = "drip_lightning.nn.noise.GaussianNoise"
BASE: dict[str, Any] = {
    "seed_everything": 0,
    "model": {"width": 8, "depth": 2, "noise": {"class_path": MULTI, "init_args": {"discount": 0.9}}},
}


@pytest.fixture
def check(tmp_path: Path) -> Any:
    def run(*contents: dict[str, Any], base: dict[str, Any] = BASE) -> None:
        paths = []
        for number, content in enumerate(contents):
            path = tmp_path / f"{number}.yaml"
            path.write_text(yaml.safe_dump(content))
            paths.append(str(path))
        check_overlays(paths, base=base, own=["seed_everything"])

    return run


def _noise(class_path: str, **init_args: object) -> dict[str, Any]:
    return {"model": {"noise": {"class_path": class_path, "init_args": init_args}}}


def test_different_keys_and_no_keys_are_fine(check: Any) -> None:
    check({"model": {"width": 4}}, {"model": {"depth": 3}}, {})


def test_the_same_key_is_refused(check: Any) -> None:
    with pytest.raises(InputError, match=r"0\.yaml and .*1\.yaml both write model\.width"):
        check({"model": {"width": 4}}, {"model": {"width": 4}})


def test_a_swapped_class_owns_what_is_below_it(check: Any) -> None:
    with pytest.raises(InputError, match=r"both write model\.noise\.init_args\.discount"):
        check(_noise(GAUSSIAN), {"model": {"noise": {"init_args": {"discount": 0.5}}}})


def test_a_value_and_what_is_below_it(check: Any) -> None:
    with pytest.raises(InputError, match=r"both write model\.scheduler\.rate"):
        check({"model": {"scheduler": None}}, {"model": {"scheduler": {"rate": 1}}})


def test_the_same_class_is_no_swap(check: Any) -> None:
    check(_noise(MULTI, discount=0.5))
    with pytest.raises(InputError, match=r"both write model\.noise\.init_args\.discount"):
        check(_noise(MULTI, discount=0.5), _noise(MULTI, discount=0.6))


def test_what_the_sweep_sets_is_its_own(check: Any) -> None:
    with pytest.raises(InputError, match="writes seed_everything, which the sweep sets"):
        check({"seed_everything": 3})
