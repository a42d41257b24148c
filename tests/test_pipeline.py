"""The pipeline is the sampler that everything shares, with diffusers' habits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

import drip_lightning.cli.main as command
from drip_lightning import MattingOutput, MattingPipeline, sample_generator
from drip_lightning.errors import InputError
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn.attention import IndependentAttention
from drip_lightning.nn.export_index import seal
from drip_lightning.nn.exported_sampler import is_known
from drip_lightning.nn.half_size import HalfSizeUNetDecoder
from drip_lightning.nn.sampler import Matte
from drip_lightning.nn.two_unets import TwoUNets
from drip_lightning.ops.picture import as_picture
from tests.exports import export_denoiser, export_matting
from tests.networks import matting_batch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported transparency stage. Not to be changed."""
    out = tmp_path_factory.mktemp("exports") / "matting"
    export_matting(out, decoder=HalfSizeUNetDecoder())
    return out


@pytest.fixture(scope="module")
def pipe(folder: Path) -> MattingPipeline:
    made = MattingPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def equal(found: MattingOutput, expected: Matte) -> bool:
    return torch.equal(found.alpha[0], expected.alpha[0]) and torch.equal(found.foreground[0], expected.foreground[0])


def test_it_is_a_pipeline_of_diffusers_and_the_one_sampler(folder: Path, pipe: MattingPipeline) -> None:
    assert isinstance(pipe, DiffusionPipeline)
    assert sorted(pipe.components) == ["scheduler", "transparency_decoder", "unet", "vae"]
    batch, stage = matting_batch(5), MattingStage.from_checkpoint(folder)
    validated = stage.matte(batch, stage.sampler)
    for own in (pipe, stage.pipeline):
        own.set_progress_bar_config(disable=True)
        found = own(batch["image"], batch["trimap"], generator=sample_generator(0, 5, "sampling"), output_type="pt")
        assert equal(found, validated)


def test_drip_matte_makes_the_same_picture(folder: Path, pipe: MattingPipeline, tmp_path: Path) -> None:
    batch = matting_batch(2, size=24)
    image, trimap = as_picture(batch["image"][0]), as_picture(batch["trimap"][0])
    image.save(tmp_path / "photo.png")
    trimap.save(tmp_path / "trimap.png")
    arguments = ["matte", tmp_path / "photo.png", "--trimap", tmp_path / "trimap.png", "--checkpoint", folder]
    assert command.run([str(word) for word in (*arguments, "--out", tmp_path / "out", "--device", "cpu")]) == 0
    found = pipe(image, trimap, generator=sample_generator(0, 0, "sampling")).rgba[0]
    (written,) = (tmp_path / "out").iterdir()
    assert np.array_equal(np.asarray(Image.open(written)), np.asarray(found))


def test_pictures_come_in_every_form_one_or_many_of_any_size(pipe: MattingPipeline) -> None:
    sizes = (16, 24)
    batches = [matting_batch(3, size=size) for size in sizes]
    images, trimaps = ([as_picture(batch[name][0]) for batch in batches] for name in ("image", "trimap"))
    expected = pipe(images, trimaps, generator=[generator(1), generator(2)])
    assert [picture.size for picture in expected.rgba] == [(size, size) for size in sizes]
    forms = [
        ([np.asarray(one) for one in images], [np.asarray(one) for one in trimaps]),
        ([np.float32(one) / 255 for one in images], [np.float32(one)[..., None] / 255 for one in trimaps]),
        (
            [torch.tensor(np.asarray(one)).permute(2, 0, 1) for one in images],
            [torch.tensor(np.asarray(one))[None] for one in trimaps],
        ),
    ]
    for form in forms:
        found = pipe(*form, generator=[generator(1), generator(2)])
        for name in ("alpha", "foreground", "rgba"):
            assert all(
                np.array_equal(np.asarray(one), np.asarray(two))
                for one, two in zip(found[name], expected[name], strict=True)
            )
    alone = pipe(images[1], trimaps[1], generator=generator(2))
    assert np.array_equal(np.asarray(alone.alpha[0]), np.asarray(expected.alpha[1]))


def test_output_types_hold_the_same_matte(pipe: MattingPipeline) -> None:
    batch = matting_batch(4)
    pil, arrays, tensors = (
        pipe(batch["image"], batch["trimap"], generator=generator(), output_type=kind) for kind in ("pil", "np", "pt")
    )
    assert pil.rgba[0].mode == "RGBA"
    assert arrays.foreground[0].shape == (16, 16, 3)
    assert tensors.alpha[0].shape == (1, 16, 16)
    assert np.array_equal(arrays.rgba[0], tensors.rgba[0].permute(1, 2, 0).numpy())
    assert np.array_equal(np.asarray(pil.alpha[0]), (arrays.alpha[0][..., 0] * 255).round().astype(np.uint8))
    assert not arrays.rgba[0][arrays.alpha[0][..., 0] == 0].any()
    assert pil.uncertainty is None
    as_tuple = pipe(batch["image"], batch["trimap"], generator=generator(), return_dict=False)
    assert np.array_equal(np.asarray(as_tuple[0][0]), np.asarray(pil.alpha[0]))


def test_an_ensemble_is_the_median_and_tells_where_it_differs(pipe: MattingPipeline) -> None:
    batch = matting_batch(4)
    given = batch["image"], batch["trimap"]
    members = [pipe(*given, generator=generator(seed), output_type="pt").alpha[0] for seed in (0, 1, 2)]
    found = pipe(
        *given,
        ensemble_size=3,
        generator=[generator(seed) for seed in (0, 1, 2)],
        output_type="pt",
        output_uncertainty=True,
    )
    middle = torch.stack(members).median(dim=0).values
    assert torch.equal(found.alpha[0], middle)
    away = torch.stack([(member - middle).abs() for member in members]).median(dim=0).values
    assert torch.equal(found.uncertainty[0], away)
    assert away.max() > 0
    assert not away[(batch["trimap"] != 0.5)[0]].any()


def test_without_a_generator_torchs_own_seed_decides(pipe: MattingPipeline) -> None:
    batch, found = matting_batch(4), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(pipe(batch["image"], batch["trimap"], output_type="pt").foreground[0])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_steps_and_sizes_are_the_models_unless_told(pipe: MattingPipeline) -> None:
    batch = matting_batch(4, size=48)

    def alpha(**options: int) -> torch.Tensor:
        return pipe(batch["image"], batch["trimap"], generator=generator(), output_type="pt", **options).alpha[0]

    assert torch.equal(alpha(), alpha(num_inference_steps=2, processing_size=0, tile_size=512))
    assert not torch.equal(alpha(), alpha(num_inference_steps=3))
    assert not torch.equal(alpha(), alpha(processing_size=16))


def test_progress_is_shown_unless_it_is_disabled(pipe: MattingPipeline, capfd: pytest.CaptureFixture[str]) -> None:
    batch = matting_batch(4)
    pipe.set_progress_bar_config(desc="matting", disable=False)
    pipe(batch["image"], batch["trimap"])
    shown = capfd.readouterr().err
    pipe.set_progress_bar_config(disable=True)
    pipe(batch["image"], batch["trimap"])
    assert "matting" in shown
    assert "100%" in shown
    assert capfd.readouterr().err == ""


def test_half_precision_and_offloading_give_nearly_the_same(folder: Path, pipe: MattingPipeline) -> None:
    batch = matting_batch(4)
    given = {"image": batch["image"], "trimap": batch["trimap"], "output_type": "pt"}
    exact = pipe(**given, generator=generator()).alpha[0]
    half = MattingPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.unet.dtype == torch.bfloat16
    half.set_progress_bar_config(disable=True)
    torch.testing.assert_close(half(**given, generator=generator()).alpha[0], exact, atol=0.1, rtol=0)
    half.to("cpu", torch.float16)
    assert (half.unet.dtype, half.vae.dtype) == (torch.float16, torch.float32)  # the VAE would overflow
    offloaded = MattingPipeline.from_pretrained(folder)
    offloaded.set_progress_bar_config(disable=True)
    offloaded.enable_model_cpu_offload(device="cpu")
    assert torch.equal(offloaded(**given, generator=generator()).alpha[0], exact)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_what_is_saved_is_loaded_by_all(variant: str | None, pipe: MattingPipeline, tmp_path: Path) -> None:
    pipe.vae.register_to_config(_name_or_path=str(tmp_path))
    pipe.save_pretrained(tmp_path / "saved", variant=variant)
    assert str(tmp_path) not in (tmp_path / "saved/vae/config.json").read_text()
    batch = matting_batch(4)
    expected = pipe(batch["image"], batch["trimap"], generator=generator(), output_type="pt")
    again = MattingPipeline.from_pretrained(tmp_path / "saved", variant=variant)
    again.set_progress_bar_config(disable=True)
    assert torch.equal(
        again(batch["image"], batch["trimap"], generator=generator(), output_type="pt").rgba[0], expected.rgba[0]
    )
    if variant is None:
        stage = MattingStage.from_checkpoint(tmp_path / "saved")
        assert equal(expected, stage.sampler(batch["image"], batch["trimap"], steps=2, generators=[generator()]))


def test_two_unets_are_one_component(tmp_path: Path) -> None:
    stage = export_denoiser(tmp_path / "out", switcher=TwoUNets(), attention=IndependentAttention())
    batch = matting_batch(4)
    pipe = MattingPipeline.from_pretrained(tmp_path / "out")
    assert pipe.transparency_decoder is None
    found = pipe(batch["image"], batch["trimap"], generator=generator(), output_type="pt")
    assert equal(found, stage.sampler(batch["image"], batch["trimap"], steps=2, generators=[generator()]))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"trimap": torch.zeros(1, 1, 8, 8)}, "a picture of 16×16 came with a trimap of 8×8"),
        ({"trimap": [torch.zeros(1, 16, 16)] * 2}, "expected a trimap for each picture, at least one, got 1 and 2"),
        ({"image": torch.zeros(1, 4, 16, 16)}, r"image: expected .* C of 1 or 3, got \(1, 4, 16, 16\)"),
        ({"image": torch.full((1, 3, 16, 16), 2.0)}, r"image: expected values in \[0, 1\] \(or uint8\), got 2 to 2"),
        ({"image": torch.full((1, 3, 16, 16), torch.nan)}, "image: expected values"),
        ({"image": torch.zeros(1, 3, 16, 16, dtype=torch.long)}, "expected floats, uint8 or uint16, got torch.int64"),
        ({"image": "photo.png"}, "expected PIL, NumPy or torch, one or a list, got str"),
        ({"image": Image.new("RGBA", (16, 16))}, "PIL's mode RGBA may mean several things"),
        ({"trimap": Image.new("RGB", (16, 16), "red")}, "trimap is coloured"),
        ({"num_inference_steps": 0}, "num_inference_steps: expected 1 to 1000, got 0"),
        ({"ensemble_size": 0}, "ensemble_size: expected at least 1"),
        ({"output_type": "latent"}, "output_type: expected pil, np or pt, got latent"),
        ({"output_uncertainty": True}, "output_uncertainty needs an ensemble"),
        ({"generator": [generator(), generator()]}, "generator: expected one, or 1 "),
        ({"processing_size": 1}, "processing size: expected at least"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change: dict, complaint: str, pipe: MattingPipeline) -> None:
    batch = matting_batch(4)
    with pytest.raises(InputError, match=complaint) as raised:
        pipe(**{"image": batch["image"], "trimap": batch["trimap"], **change})
    assert "\n" not in str(raised.value)


def test_another_solver_is_refused(folder: Path) -> None:
    pipe = MattingPipeline.from_pretrained(folder)
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, algorithm_type="sde-dpmsolver++")
    with pytest.raises(InputError, match=r"algorithm_type sde-dpmsolver\+\+ is not what this sampler does"):
        pipe.sampler()
    pipe.scheduler = DDIMScheduler()
    with pytest.raises(InputError, match="expected DPMSolverMultistepScheduler"):
        pipe.sampler()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda copy: shutil.rmtree(copy), "no such folder"),
        (lambda copy: (copy / "model_index.json").unlink(), "FileNotFoundError"),
        (
            lambda copy: (copy / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}'),
            "was not written by `drip export`",
        ),
        (lambda copy: _cut(copy / "unet" / "diffusion_pytorch_model.safetensors"), "is damaged"),
        (lambda copy: (copy / "vae" / "config.json").unlink(), "No such file"),
        (lambda copy: _rename_unet(copy), "cannot load .*SomebodysUNet"),
    ],
)
def test_a_foreign_or_damaged_folder_is_one_line(harm, complaint: str, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    harm(copy)
    with pytest.raises(InputError, match=complaint) as raised:
        MattingPipeline.from_pretrained(copy)
    assert "\n" not in str(raised.value)


def _rename_unet(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["diffusers", "SomebodysUNet"]
    (folder / "model_index.json").write_text(json.dumps(index))


def test_a_folder_of_an_earlier_version_is_read_by_all_but_the_pipeline(folder: Path, tmp_path: Path) -> None:
    """It held the U-Net and the prompt's embedding apart."""
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    weights = old / "unet" / "diffusion_pytorch_model.safetensors"
    joint = load_file(weights)
    save_file({"prompt_embedding": joint.pop("prompt_embedding")}, old / "prompt_embedding.safetensors")
    save_file({name.removeprefix("unet."): value for name, value in joint.items()}, weights)
    config = json.loads((old / "unet" / "config.json").read_text())
    for name in ("latent_channels", "prompt_shape", "switcher", "attention"):
        del config[name]
    config["mid_block_type"] = "UNetMidBlock2DCrossAttn"
    (old / "unet" / "config.json").write_text(json.dumps(config))
    index = json.loads((old / "model_index.json").read_text())
    parts = {"joint_unet.unet.": str(weights.relative_to(old)), "joint_unet.": "prompt_embedding.safetensors"}
    index["drip"]["stages"][0]["parts"] = parts
    seal(old, index)
    batch = matting_batch(4)
    new, read = (MattingStage.from_checkpoint(place) for place in (folder, old))
    assert torch.equal(read.matte(batch, read.sampler).alpha, new.matte(batch, new.sampler).alpha)
    assert (is_known(folder), is_known(old)) == (True, False)
    with pytest.raises(InputError, match="was written by an earlier version"):
        MattingPipeline.from_pretrained(old)
