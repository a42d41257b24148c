"""Names of choices: complete, independent of files, and open to classes from anywhere."""

import importlib
import json
import pkgutil
from enum import Enum
from pathlib import Path

import pytest
import torch
import yaml

import drip_lightning
import drip_lightning.cli.main as command
from drip_lightning.choices import CHOICES, described, name_of, path_of, with_names, with_paths
from drip_lightning.errors import InputError
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.description import choice_to_config, config_to_choice
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from drip_lightning.lit.resume.same_run import check_same_model
from drip_lightning.lit.stage import Stage, load
from drip_lightning.nn.attention import DomainAttention, IndependentAttention
from drip_lightning.nn.joint_denoiser import Switcher
from drip_lightning.nn.losses import MattingLoss
from drip_lightning.nn.transparency import DecoderChoice, VaeDecoder
from drip_lightning.ops.randomness import sample_generator
from tests.runs import CONFIGS

GOLDEN = Path(__file__).parent / "golden" / "format2"
"""Runs of version 0.1.0 before files moved, without the optimizers' states: their descriptions hold dotted paths."""
BASES = (
    "lit.stage.Stage",
    "nn.pretrained.Networks",
    "nn.joint_denoiser.Switcher",
    "nn.attention.DomainAttention",
    "nn.noise.NoiseSampler",
    "nn.solver.Solver",
    "lit.objectives.Objective",
    "nn.fine_tuning.FineTuning",
    "lit.latent_source.LatentSource",
    "nn.transparency.DecoderChoice",
    "lit.averaging.Averaging",
    "lit.parameter_groups.ParameterGroups",
    "ops.hints.choice.Hints",
    "data.degradations.ImageDegradation",
    "data.degradations.ForegroundDegradation",
)
ABSTRACT = {"MattingStage"}
INTERNAL = {"WithoutWeights", "_AnyLatents"}  # of what counts a step's cost; no configuration names them


def below(kind: type) -> set[type]:
    return {found for one in kind.__subclasses__() for found in {one, *below(one)}}


def test_every_choice_of_the_project_has_its_name_and_no_name_is_two() -> None:
    for module in pkgutil.walk_packages(drip_lightning.__path__, "drip_lightning."):
        if not module.name.startswith("drip_lightning.cli.demo"):  # needs gradio, and chooses nothing
            importlib.import_module(module.name)
    own = {
        kind
        for base in BASES
        for kind in below(pkgutil.resolve_name(f"drip_lightning.{base}"))
        if kind.__module__.startswith("drip_lightning.") and kind.__name__ not in ABSTRACT | INTERNAL
    }
    assert {kind.__name__ for kind in own} - set(CHOICES) == set()
    for name, module in CHOICES.items():
        kind = getattr(importlib.import_module(module), name)
        assert kind.__module__ == module
        assert name_of(kind) == name
        assert path_of(name) == f"{module}.{name}"


def test_paths_of_any_version_end_in_the_class() -> None:
    old = "drip_lightning.somewhere.else.CrossDomainAttention"
    assert path_of(old) == path_of("CrossDomainAttention") == "drip_lightning.nn.attention.CrossDomainAttention"
    assert path_of("mylab.attention.CrossDomainAttention") == "mylab.attention.CrossDomainAttention"
    assert path_of("drip_lightning.lit.parallel.ParallelRanks") == path_of("DripDDPStrategy")
    text = f"a: {{class_path: {old}}}\nb: mylab.drip_lightning.nn.Windowed\nc: drip_lightning.nn.nothing.Unknown\n"
    assert with_paths(text) == text.replace("somewhere.else", "nn.attention")
    assert with_names(text) == text.replace(old, "CrossDomainAttention")
    assert described({"x": [{"class_path": "EMA"}]}) == {"x": [{"class_path": "drip_lightning.lit.averaging.EMA"}]}


def test_what_a_choice_builds_has_the_choice_s_name() -> None:
    kinds = [*below(DecoderChoice), *below(Switcher)]
    built = {
        kind.__name__: kind.build.__annotations__["return"].__name__
        for kind in kinds
        if kind.__module__.startswith("drip_lightning.")
    }
    assert built.keys() >= {"PosEncSwitcher", "VaeDecoder"}
    assert built == {name: f"{name}Module" for name in built}


def test_a_renamed_choice_is_read_by_its_old_name_in_descriptions_files_and_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for old in ("FrozenVae", "drip_lightning.nn.transparency.FrozenVae"):
        assert isinstance(config_to_choice({"class_path": old, "init_args": {}}, DecoderChoice), VaeDecoder)
    written = tmp_path / "config.yaml"
    written.write_text("model: {init_args: {decoder: {class_path: FrozenVae}}}")
    arguments = ["fit", f"--config={CONFIGS / 'transparency.yaml'}", f"--config={written}"]
    shown = []
    for more in ([], ["--model.decoder=SkipConnections"], ["--model.decoder", "FrozenVae"]):
        with pytest.raises(SystemExit):
            command.run([*arguments, *more, "--print_config"])
        shown.append(yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["decoder"]["class_path"])
    assert shown == ["VaeDecoder", "SkipDecoder", "VaeDecoder"]


def test_a_command_line_may_name_a_class_by_an_old_path_and_a_folder_as_a_class_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["fit", f"--config={CONFIGS / 'denoiser.yaml'}", "--trainer.default_root_dir", "Noise"]
    with pytest.raises(SystemExit):
        command.run([*arguments, "--model.attention=drip_lightning.somewhere.IndependentAttention", "--print_config"])
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["trainer"]["default_root_dir"] == "Noise"
    assert shown["model"]["init_args"]["attention"]["class_path"] == "IndependentAttention"


def test_a_checkpoint_of_the_version_before_loads_and_mattes_as_it_did() -> None:
    stage = load(GOLDEN / "runs" / "transparency")
    image = torch.linspace(0, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    trimap = torch.full((1, 1, 32, 32), 0.5)
    trimap[..., :8], trimap[..., 24:] = 0, 1
    matte = stage.sampler(image, trimap, steps=2, generators=[sample_generator(0, 0, "sampling")])
    expected = json.loads((GOLDEN / "expected.json").read_text())
    torch.testing.assert_close(matte.alpha[0, 0, 16], torch.tensor(expected["alpha"]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        matte.foreground[0, :, 16, 16], torch.tensor(expected["foreground"]), atol=1e-5, rtol=1e-5
    )


def test_a_run_of_the_version_before_is_the_same_model_by_any_path_and_another_by_a_value() -> None:
    recorded = read_checkpoint(newest_checkpoint(GOLDEN / "runs" / "denoiser"))["drip"]
    config = load(GOLDEN / "runs" / "denoiser").as_config()
    assert recorded["init_args"]["noise"]["class_path"] != config["init_args"]["noise"]["class_path"]
    check_same_model(recorded, config, where="the checkpoint")
    config["init_args"]["noise"]["init_args"]["discount"] = 0.5
    with pytest.raises(InputError, match=r"another model: noise\.discount 0\.9, configured 0\.5"):
        check_same_model(recorded, config, where="the checkpoint")


@pytest.mark.parametrize("stage", ["Autoencoder", "Denoiser", "TransparencyDecoder"])
def test_one_loader_opens_every_stage(runs: Path, stage: str) -> None:
    folder = runs / {"Autoencoder": "autoencoder", "Denoiser": "denoiser", "TransparencyDecoder": "transparency"}[stage]
    assert type(Stage.from_checkpoint(folder)).__name__ == stage
    assert type(Stage.load_from_checkpoint(folder, map_location="cpu")).__name__ == stage  # as Lightning calls it


class _Forgetful(DomainAttention):
    def __init__(self, window: int = 3) -> None:
        self.width = window

    def install(self, unet: object) -> None: ...


class _Colour(Enum):
    RED = 1


class _Odd(IndependentAttention):
    def __init__(self, colour: object = _Colour.RED) -> None:
        self.colour = colour


class _Named(IndependentAttention):
    """Arguments called as those of a stage that decide training alone."""

    def __init__(
        self,
        latents: float = 1.0,
        loss: float = 1.0,
        averaging: int = 1,
        optimizer: str = "x",
        lr_scheduler: str | None = "x",
    ) -> None:
        self.latents, self.loss, self.averaging = latents, loss, averaging
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler


def test_what_cannot_be_described_is_refused() -> None:
    with pytest.raises(InputError, match="_Forgetful does not keep its argument window under that name"):
        choice_to_config(_Forgetful())
    with pytest.raises(InputError, match="_Forgetful does not keep"):
        Denoiser(attention=_Forgetful()).configure_model()  # before anything is built or trained
    for value in (_Colour.RED, {"a": 1}):
        with pytest.raises(InputError, match="cannot be described in a checkpoint"):
            choice_to_config(_Odd(value))


class _Halved(IndependentAttention):
    def __init__(self, window: int = 3) -> None:
        self.window = window / 2


class _Doubled(IndependentAttention):
    def __init__(self, window: int = 3) -> None:
        self.window = window * 2


def _in_a_function() -> IndependentAttention:
    class Hidden(IndependentAttention): ...

    return Hidden()


@pytest.mark.parametrize(
    ("attention", "complaint"),
    [
        (_Halved(), r"^cannot build \S+Denoiser as .* describes it: attention\.window: Expected .*int.* value: 1\.5$"),
        (_Doubled(), r"attention\.window 6 becomes 12; a choice keeps each argument as it was given$"),
        (_in_a_function(), r"_in_a_function\.<locals>\.Hidden is defined in a function"),
    ],
)
def test_what_its_description_does_not_bring_back_is_refused_before_the_networks_are_built(
    attention: DomainAttention, complaint: str
) -> None:
    stage = Denoiser(attention=attention)
    with pytest.raises(InputError, match=complaint):
        stage.configure_model()
    assert not list(stage.parameters())


def test_a_choice_s_own_arguments_are_described_whatever_they_are_called() -> None:
    own = {"latents": 3.0, "loss": 0.5, "averaging": 2, "optimizer": "y", "lr_scheduler": None}
    config = Denoiser(attention=_Named(**own)).as_config()  # type: ignore[arg-type]
    assert config["init_args"]["attention"]["init_args"] == own
    assert not {"averaging", "optimizer", "lr_scheduler"} & config["init_args"].keys()
    assert vars(config_to_choice(config, Denoiser).attention) == own
    loss = choice_to_config(MattingLoss(l1=2.0, foreground=0.25))
    assert loss["class_path"] == "MattingLoss"
    assert (loss["init_args"]["l1"], loss["init_args"]["foreground"]) == (2.0, 0.25)
