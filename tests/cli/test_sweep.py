from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml

import drip_lightning.cli.main as command
from drip_lightning.cli.configuration import FitConfigurations
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.pretrained import StableDiffusion
from drip_lightning.sweep.plan import Resolve, SweepPlan, make_plan
from drip_lightning.sweep.settings import FactorValue, read_sweep
from tests.runs import CONFIGS, tiny_arguments
from tests.sd2_folder import write_sd2_folder

SWEEPS = sorted(CONFIGS.glob("sweep/*.yaml"))
PAPER = [path for path in sorted(CONFIGS.glob("sweep/paper/*.yaml")) if "stages" in yaml.safe_load(path.read_text())]


@pytest.fixture(scope="module")
def resolve() -> Resolve:
    """The sweeps have much in common: each configuration is parsed once."""
    parse = cache(FitConfigurations())
    return lambda arguments: parse(tuple(arguments))


def test_a_configuration_is_resolved_as_fit_stores_it(resolve: Resolve, synth: Path, runs: Path) -> None:
    stored = (runs / "denoiser" / "config.yaml").read_text()
    assert resolve(tiny_arguments("denoiser", synth, runs)[1:]) == stored
    assert resolve([f"--config={runs / 'denoiser' / 'config.yaml'}"]) == stored


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scale"), [*((path.stem, "tiny") for path in SWEEPS), ("parts", "small"), ("noise", "small")]
)
def test_a_shipped_sweep_holds_together(name: str, scale: str, resolve: Resolve) -> None:
    path = CONFIGS / "sweep" / f"{name}.yaml"
    settings = read_sweep(path, scale=scale, seeds=[0])
    plan = make_plan(settings, resolve)
    assert len({run.stages["test"] for run in plan.runs}) == len(plan.runs)  # no two are the same
    (autoencoder,) = [stage for stage in plan.stages.values() if stage.kind == "autoencoder"]
    for stage in plan.stages.values():
        config = yaml.safe_load(stage.config) if stage.config else None
        if stage.kind == "denoiser":
            assert config["model"]["init_args"]["networks"]["init_args"]["vae"] == (
                f"SWEEP/stages/{autoencoder.key}/pretrained"
            )


@pytest.mark.slow
def test_the_shipped_models_parts_are_left_out_one_by_one(resolve: Resolve) -> None:
    plan = make_plan(read_sweep(CONFIGS / "sweep/compact/parts.yaml"), resolve)
    assert len({run.stages["test"] for run in plan.runs}) == len(plan.runs) == 7
    for run in plan.runs:
        denoiser, decoder = (
            yaml.safe_load(plan.stages[run.stages[stage]].config)["model"]["init_args"]
            for stage in ("denoiser", "transparency")
        )
        left_out = {
            name
            for name, is_so in {
                "hints": decoder["hints"]["class_path"].endswith("NoHints"),
                "denoiser": not decoder["decoder"].get("init_args", {}).get("takes_latents", True),
                "D_trans": decoder["decoder"]["class_path"].endswith("VaeDecoder"),
                "cross-domain attention": denoiser["attention"]["class_path"].endswith("IndependentAttention"),
                "switcher": denoiser["switcher"]["class_path"].endswith("ChannelOrder"),
            }.items()
            if is_so
        }
        name = run.factors["variant"].removeprefix("without ")
        implied = {"D_trans": {"hints"}, "switcher": {"cross-domain attention"}}.get(name, set())
        assert left_out == ({name} - {"full", "ten steps"}) | implied, name
        assert decoder["sampling_steps"] == decoder["max_steps"] == (10 if name == "ten steps" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_the_papers_sweeps_are_at_its_scale(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a folder in Stable Diffusion 2's format: epsilon, no autoencoder, each stage's own learning rate."""
    folder = write_sd2_folder(tmp_path / "sd2")
    overlay = tmp_path / "source.yaml"
    overlay.write_text(f"model: {{init_args: {{networks: {{init_args: {{source: {folder}}}}}}}}}")
    assert command.run(["sweep", str(path), "--config", str(overlay), "--dry-run"]) == 0
    assert "30000" in capsys.readouterr().out.replace(",", "").replace(" ", "")
    plan = make_plan(read_sweep(path), FitConfigurations(), overlays=[overlay])
    rates = {"denoiser": 1e-5, "transparency": 1e-4}
    trained = [stage for stage in plan.stages.values() if stage.kind != "test"]
    for stage in trained:
        config = yaml.safe_load(stage.config)
        model, data = config["model"]["init_args"], config["data"]["init_args"]
        assert (config["trainer"]["max_steps"], data["batch_size"], data["image_size"]) == (30000, 96, 512)
        assert model["optimizer"]["init_args"]["lr"] == rates[stage.kind]
        networks = StableDiffusion(**model["networks"]["init_args"])
        assert networks.source == str(folder)
        if stage.kind == "denoiser":
            assert model["noise_schedule"]["init_args"]["prediction_type"] == "epsilon"
            NoiseSchedule(**model["noise_schedule"]["init_args"]).check_base(networks.base_schedule())


def test_only_the_papers_sweeps_bear_its_numbers() -> None:
    for path in SWEEPS:
        assert "DRIP" not in yaml.safe_load(path.read_text())["title"]
    assert all("DRIP" in yaml.safe_load(path.read_text())["title"] for path in PAPER)


@pytest.mark.slow
def test_the_papers_table_has_its_rows(resolve: Resolve) -> None:
    plan = make_plan(read_sweep(CONFIGS / "sweep" / "parts.yaml"), resolve)
    assert len(plan.runs) == 12
    rows = ["full", "without cross-domain attention", "without switcher", "without D_trans"]
    assert plan.factors == {"variant": rows}
    kinds = [stage.kind for stage in plan.stages.values()]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {"autoencoder": 1, "denoiser": 9, "transparency": 9, "test": 12}


def test_numbers_are_factors_inline(resolve: Resolve) -> None:
    settings = read_sweep(CONFIGS / "sweep" / "noise.yaml", seeds=[0])
    values = {str(steps): FactorValue(set={"model.sampling_steps": steps}) for steps in (1, 4)}
    plan = make_plan(replace(settings, factors={"sampling_steps": values}), resolve)
    configs = [yaml.safe_load(stage.config) for stage in plan.stages.values() if stage.kind == "denoiser"]
    assert [config["model"]["init_args"]["sampling_steps"] for config in configs] == [1, 4]
    assert sum(stage.kind == "autoencoder" for stage in plan.stages.values()) == 1  # it has no such key


@pytest.fixture
def small_sweep(tmp_path: Path, synth: Path, resolve: Resolve) -> Path:
    """A sweep of two denoisers over one autoencoder, a step each, at the smallest size."""
    content = yaml.safe_load(resolve(tiny_arguments("denoiser", synth, tmp_path)[1:]))
    sizes = {"networks": content["model"]["init_args"]["networks"]}
    content["trainer"] |= {"max_steps": 1, "val_check_interval": 1}
    trainer = {key: content["trainer"][key] for key in ("max_steps", "val_check_interval", "accelerator")}
    shared = {"trainer": trainer, "data": content["data"], "model": {"init_args": sizes}}
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(shared))
    (tmp_path / "two_steps.yaml").write_text("model: {init_args: {sampling_steps: 2}}")
    usual = yaml.safe_load((CONFIGS / "sweep" / "noise.yaml").read_text())
    stages = usual["stages"]
    stages["autoencoder"]["configs"] = [str(CONFIGS / "autoencoder.yaml"), "shared.yaml"]
    stages["denoiser"]["configs"] = [str(CONFIGS / "denoiser.yaml"), "shared.yaml", "two_steps.yaml"]
    gaussian = {"overlays": {"denoiser": [str(CONFIGS / "ablation" / "gaussian_noise.yaml")]}}
    usual |= {"stages": stages, "factors": {"noise": {"annealed": {}, "Gaussian": gaussian}}, "seeds": [0]}
    usual["report"]["pictures"] = 1
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(usual, sort_keys=False))
    return tmp_path / "sweep.yaml"


@pytest.mark.parametrize(
    "launcher", [pytest.param("local", marks=pytest.mark.slow), pytest.param("slurm", marks=pytest.mark.slurm)]
)
def test_one_command_trains_tests_and_reports(
    launcher: str,
    request: pytest.FixtureRequest,
    small_sweep: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = ["sweep", str(small_sweep), "--out", str(out), "--launcher", launcher]
    if launcher == "slurm":
        request.getfixturevalue("slurm_here")
        arguments += ["--slurm", "time=10"]
    assert command.run(arguments) == 0
    said = capfd.readouterr().out
    assert "2 of 2 runs are finished" in said
    assert "| Gaussian" in (out / "report" / "table.md").read_text()
    assert (out / "report" / "pictures.png").is_file()
    for run in SweepPlan.load(out).runs:
        own = out / "runs" / run.name
        assert list(own.glob("events.*"))
        stored = sorted(path.name for path in (own / "denoiser").glob("config*.yaml"))
        assert stored == ["config.yaml"]  # fit found in its folder what it would have stored
    assert command.run(arguments) == 0
    assert "5 of 5 stages are finished already" in capfd.readouterr().out


def test_looking_first_does_nothing(small_sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["sweep", str(small_sweep), "--out", str(out), "--seeds", "0,4"]
    assert command.run([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "4 runs: 5 different trainings and 4 tests, 5 training steps (8 if nothing were shared)" in said
    assert command.run([*arguments, "--print-run", "3"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert documents[-1]["model"]["init_args"]["noise"]["class_path"].endswith("GaussianNoise")
    assert documents[-1]["seed_everything"] == 4
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--print-run", "9"], "--print-run: expected 0 to 1, got 9"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--launcher", "slurm", "--slurm", "partition"], "--slurm: expected KEY=VALUE, got 'partition'"),
        (["--jobs", "-1"], "at least one stage at a time, got -1"),
    ],
)
def test_a_mistake_is_one_line(
    small_sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], complaint: str
) -> None:
    assert command.run(["sweep", str(small_sweep), "--out", str(tmp_path / "out"), *more]) == 1
    said = capsys.readouterr().err
    assert said.startswith("drip sweep: ")
    assert complaint in said
    assert said.count("\n") == 1
