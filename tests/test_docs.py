"""The commands of the documentation, run as they stand."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import drip_lightning.cli.main as command
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from tests.data.convert.folders import discs, save
from tests.runs import CONFIGS, tiny_arguments

DOCS = CONFIGS.parent / "docs"


def commands(page: str) -> list[list[str]]:
    """The command lines of a page's `sh` blocks that call `drip`."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    lines = [line.removeprefix(".venv/bin/") for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("drip ")]


def smaller(arguments: list[str]) -> list[str]:
    """A training's arguments with the tests' tiny networks: the documented ones win over all but sizes and steps."""
    stage = Path(next(word for word in arguments if word.startswith("configs/"))).stem
    shrink = [
        word
        for word in tiny_arguments(stage, Path("unused"), Path("unused"))[3:]
        if not word.startswith(("--data.foregrounds", "--data.backgrounds", "--data.evaluation", "--trainer.default"))
        and "networks.init_args.vae=" not in word
        and "denoiser=" not in word
    ]
    steps = "4" if "--ckpt_path" in arguments else "2"
    return [*arguments, *shrink, f"--trainer.max_steps={steps}"]


@pytest.mark.slow
def test_own_data_from_folders_to_a_training_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, count in (("", 5), ("held_out", 2)):
        discs(tmp_path / part / "cutouts", count)
        for i in range(count):
            place = np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)
            save(tmp_path / part / "places" / f"{part}{i}.jpg", place)
    discs(tmp_path / "mix" / "foregrounds", 20)
    for i in range(20):
        save(tmp_path / "mix" / "backgrounds" / f"place{i}.png", np.full((30, 40, 3), i, np.uint8))
    listed = [f"foregrounds/disc{i}.png,hair\nbackgrounds/place{i}.png,place" for i in range(20)]
    (tmp_path / "mix" / "list.csv").write_text("\n".join(["file,kind", *listed]))
    (tmp_path / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(tmp_path)
    said = commands("data.md")
    assert [words[0] for words in said] == ["prepare"] * 3 + ["data"] + ["fit"] * 2 + ["prepare"] * 3 + ["fit"]
    for words in said:
        assert command.run(smaller(words) if words[0] == "fit" else words) == 0, words
    for run, steps in (("autoencoder", 2), ("denoiser", 2), ("finetuned", 2)):
        assert read_checkpoint(newest_checkpoint(tmp_path / "runs" / "own" / run))["global_step"] == steps
