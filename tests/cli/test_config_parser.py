from collections.abc import Callable
from pathlib import Path

import pytest

from drip_lightning.cli.configuration import FitConfigurations
from drip_lightning.cli.lightning_cli import OneLineArgumentParser
from drip_lightning.errors import InputError
from tests.runs import CONFIGS

Complaint = Callable[..., str]
DENOISER = f"--config={CONFIGS / 'denoiser.yaml'}"
BEGIN = "begin with a stage's configuration"
SEQUENTIAL = (
    '--model.lr_scheduler={"class_path": "torch.optim.lr_scheduler.SequentialLR", "init_args": '
    '{"schedulers": [{"class_path": "torch.optim.lr_scheduler.LinearLR"}], "milestones": [1]}}'
)


@pytest.fixture(scope="module")
def complaint() -> Complaint:
    resolve = FitConfigurations()

    def complaint(*arguments: str) -> str:
        with pytest.raises(InputError) as caught:
            resolve(arguments)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return complaint


@pytest.mark.parametrize(
    ("given", "wrong", "right"),
    [
        ("--model.samplin_steps=3", "model: Option 'samplin_steps'", "closest: sampling_steps"),
        ("--model.init_args.noise.discont=3", "model: noise: Option 'discont'", "closest: discount"),
        ("--model.optimizer.lrr=3", "model: optimizer: Option 'lrr'", "closest: lr"),
        ("--model.noise.flavour=3", "'flavour'", "expected one of discount, upsampling, deviation"),
        ("--trainer.max_stepz=3", "--trainer.max_stepz=3", "closest: trainer.max_steps, trainer.max_time, trainer.min"),
        ("--trainer.batch_size=3", "--trainer.batch_size=3", "closest: data.batch_size"),
        ("--dater.batches=3", "--dater.batches=3", "closest: data"),
        ("--colour=red", "--colour=red", "expected one of config, seed_everything, trainer, model, data"),
        ("--trainer.flavour=3", "--trainer.flavour=3", "--help-all lists all options"),
        (
            SEQUENTIAL,
            "lr_scheduler: schedulers: ",
            "torch's chain is OneAfterAnother here, with schedules",
        ),
        ("configs/scale/tiny.yaml", "configs/scale/tiny.yaml", "--config goes before the name of a configuration"),
    ],
)
def test_a_wrong_key_is_named_with_the_closest_right_ones(
    complaint: Complaint, given: str, wrong: str, right: str
) -> None:
    said = complaint(DENOISER, given)
    assert wrong in said
    assert f"; {right}" in said
    assert BEGIN not in said


@pytest.mark.parametrize(
    ("content", "right"),
    [
        ("trainer: {max_stepz: 3}", "Option 'trainer.max_stepz' is not accepted; closest: trainer.max_steps"),
        ("data: {augmentation: {rotations: 3}}", "data: augmentation: Option 'rotations' is not accepted"),
        ("model: {init_args: {samplin_steps: 3}}", "model: Option 'samplin_steps' is not accepted; closest: samp"),
        ("data: {batch_size: many}", "data: batch_size: Expected a <class 'int'>. Got value: many"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(
    complaint: Complaint, tmp_path: Path, content: str, right: str
) -> None:
    for name, text in (("before", "trainer: {max_steps: 3}"), ("wrong", content), ("after", "data: {seed: 1}")):
        (tmp_path / f"{name}.yaml").write_text(text)
    said = complaint(DENOISER, *(f"--config={tmp_path}/{name}.yaml" for name in ("before", "wrong", "after")))
    assert said.startswith(f"{tmp_path}/wrong.yaml: ")
    assert right in said
    # the next command line is not blamed on the files of this one
    assert complaint(DENOISER, "--trainer.max_stepz=3").startswith("unrecognized arguments: ")


def test_the_hint_to_begin_with_a_stage_comes_where_none_was_chosen(complaint: Complaint) -> None:
    for given in (
        ["--trainer.max_steps=3"],
        ["--model.init_args.sampling_steps=3"],
        ["--model.samplin_steps=3", DENOISER],
    ):
        assert f"; {BEGIN}, such as --config configs/denoiser.yaml; what changes it comes after" in complaint(*given)
    data = complaint("--model=Denoiser")
    assert data.startswith("the following arguments are required: ")
    assert BEGIN not in data


def test_the_parser_leaves_what_is_no_key_alone() -> None:
    parser = OneLineArgumentParser(exit_on_error=False)
    parser.add_argument("--steps", type=int)
    with pytest.raises(InputError, match=r"^steps: Expected a <class 'int'>\. Got value: many$"):
        parser.parse_args(["--steps=many"])
