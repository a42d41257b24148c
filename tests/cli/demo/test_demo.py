import socket
from importlib import metadata
from pathlib import Path

import pytest

import drip_lightning.cli.main as command
from drip_lightning import load
from drip_lightning.cli.demo import main, space


@pytest.fixture
def with_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the verb believe that gradio is there: nothing here imports it."""
    monkeypatch.setattr(main, "find_spec", lambda name: name)
    own, needed = metadata.version, ["torch>=2.6", 'peft>=0.17; extra == "lora"', 'gradio<7,>=6.31; extra == "demo"']
    monkeypatch.setattr(space.metadata, "version", lambda name: "6.31.0" if name == "gradio" else own(name))
    monkeypatch.setattr(space.metadata, "requires", lambda name: needed)


def test_without_gradio_a_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "find_spec", lambda name: None)
    assert command.run(["demo"]) == 1
    assert capsys.readouterr().err == "drip demo: the page needs gradio: pip install 'drip_lightning[demo]'\n"


@pytest.mark.usefixtures("with_gradio")
def test_a_port_that_cannot_be_used_is_told_before_a_model_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command.run(["demo", f"--port={port}", "--checkpoint=nowhere"]) == 1
    line = f"cannot serve at 127.0.0.1:{port} (Address already in use): choose another --port or --host\n"
    assert capsys.readouterr().err == f"drip demo: {line}"
    assert command.run(["demo", "--port=70000", "--checkpoint=nowhere"]) == 1
    assert "cannot serve at 127.0.0.1:70000 (" in capsys.readouterr().err


@pytest.mark.usefixtures("with_gradio")
def test_what_is_no_model_becomes_no_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    assert command.run(["demo", f"--checkpoint={foreign}", f"--export-space={tmp_path / 'space'}"]) == 1
    line = f"{foreign} was not written by `drip export`: give a run folder, a checkpoint or an export"
    assert capsys.readouterr().err == f"drip demo: {line}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


@pytest.mark.usefixtures("with_gradio")
def test_a_space_holds_page_package_model_and_what_they_need(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, exported = tmp_path / "space", tmp_path / "exported"
    export = ["demo", f"--checkpoint={runs / 'denoiser'}", f"--export-space={folder}"]
    assert command.run(export) == 0
    assert (folder / "requirements.txt").read_text().splitlines() == ["torch>=2.6", "gradio<7,>=6.31"]
    own = {"app.py", "requirements.txt", "README.md", "model", "drip_lightning"}
    assert {path.name for path in folder.iterdir()} == own
    front = (folder / "README.md").read_text().split("---\n")[1].splitlines()
    assert {"sdk: gradio", "sdk_version: 6.31.0", "app_file: app.py"} <= set(front)
    package = folder / "drip_lightning"
    for name in ("cli/demo/page.py", "configs/denoiser.yaml", "examples/lemur/image.png", "evaluation/measure.py"):
        assert (package / name).is_file(), name
    assert not list(package.rglob("__pycache__"))
    assert not (package / "examples/lemur/evaluation").exists()
    assert load(folder / "model").joint_unet.unet.config.in_channels == 12
    (folder / "model").rename(exported)
    capsys.readouterr()
    assert command.run(export) == 1
    assert capsys.readouterr().err == f"drip demo: {folder} exists: choose another place for --export-space\n"
    assert command.run(["demo", f"--checkpoint={exported}", f"--export-space={tmp_path / 'again'}"]) == 0
    weights = [path.relative_to(exported) for path in exported.rglob("*.safetensors")]
    assert weights
    for path in weights:
        assert (tmp_path / "again" / "model" / path).read_bytes() == (exported / path).read_bytes()
