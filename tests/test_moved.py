from pathlib import Path

import pytest

from drip_lightning.errors import InputError
from drip_lightning.moved import moved_paths, moved_places


def test_an_option_gives_old_places_and_new_ones(tmp_path: Path) -> None:
    (tmp_path / "step=7.ckpt").touch()
    assert moved_places(None) == {}
    assert moved_places(f"old/sd2/={tmp_path}") == {"old/sd2": str(tmp_path)}
    several = moved_places(f"a={tmp_path},runs/step=1.ckpt={tmp_path}/step=7.ckpt")
    assert several == {"a": str(tmp_path), "runs/step=1.ckpt": f"{tmp_path}/step=7.ckpt"}


@pytest.mark.parametrize("words", ["old", "old=", "={0}", "old={0}/nowhere", "a={0},b"])
def test_a_new_place_has_to_be_there(tmp_path: Path, words: str) -> None:
    with pytest.raises(InputError, match="--moved: expected OLD=NEW, and NEW a folder or file that is there, got "):
        moved_places(words.format(tmp_path))


def test_a_source_is_found_where_it_or_a_folder_above_it_was_moved_to(tmp_path: Path) -> None:
    values = {"networks": {"vae": "old/runs/vae", "width": 4}, "denoiser": "old/runs", "other": "old/runs2", "lr": None}
    assert moved_paths(values, {"old/runs": "new"}) == {
        "networks": {"vae": "new/vae", "width": 4}, "denoiser": "new", "other": "old/runs2", "lr": None
    }  # fmt: skip
    (tmp_path / "runs" / "vae").mkdir(parents=True)
    file = tmp_path / "runs" / "denoiser" / "step=1.ckpt"
    assert moved_paths("runs/vae", file=file) == str(tmp_path / "runs" / "vae")
    assert moved_paths("runs/vae") == "runs/vae"
