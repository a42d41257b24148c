"""The README.md of an exported pipeline: what it is, how it was trained, what one may do with it."""

import json
from pathlib import Path
from typing import Any

from drip_lightning import __version__
from drip_lightning.export.folder import base_of, stage_descriptions
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.resume.checkpoint_io import checkpoint_to_use, step_of
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.export_index import is_exported

_CARD = """\
---
library_name: diffusers
pipeline_tag: image-segmentation
tags: [image-matting, diffusers]
---

# {name}

Diffusion-prior image matting (DRIP, NeurIPS 2024): foreground colour and alpha matte from a picture and a trimap, by
drip_lightning {version}. {decoder}

## Use

```sh
drip matte photo.jpg --trimap trimap.png --checkpoint {name} --out cutouts
drip test {name} --data SHARDS --out results
```

```python
from drip_lightning import MattingPipeline

pipe = MattingPipeline.from_pretrained("{name}")
pipe(image, trimap, num_inference_steps={steps}).rgba[0].save("cutout.png")
```

or by the code that lies here, with {packages} alone:

```python
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("{name}", custom_pipeline="{name}", trust_remote_code=True)
```

The U-Net is widened to both domains and the condition: it is no drop-in for the one of Stable Diffusion.

## Training

{training}

## Licence

{licence}

## Limits

- It wants a trimap; where that is sure, the result is the trimap's.
- Foreground colour and alpha are sampled: another seed gives another result.{steps_limit}
- Thin structures are limited by what the VAE lets through. This card states no scores: measure with `drip test`.
"""
_FROM_SCRATCH = (
    "All networks were trained from scratch: no base weights' licence applies. What the training data allows, and "
    "which licence these weights are given, is for who publishes them to say here."
)
_FROM_BASE = (
    "The weights derive from `{base}`, whose licence and restrictions of use hold for them too (of Stable Diffusion 2: "
    "CreativeML Open RAIL++-M); what the training data allows comes on top."
)


def model_card(stage: MattingStage, source: Path, *, name: str) -> str:
    """Write the card.

    Args:
        stage: Loaded.
        source: Run folder or checkpoint that it was loaded from.
        name: Of the exported folder.
    """
    base, descriptions = base_of(stage), stage_descriptions(stage)
    sources = [Path(stage.denoiser), source] if isinstance(stage, TransparencyDecoder) else [source]
    plain = "The plain VAE decoder makes the result of the sampled latents."
    mended = "A transparency decoder mends what the VAE lost."
    one_step = stage.sampler.one_step
    *needed, last = ("torch", *stage.sampler.hints.packages)
    return _CARD.format(
        name=name,
        version=__version__,
        decoder=mended if isinstance(stage, TransparencyDecoder) else plain,
        steps=stage.sampling_steps,
        packages=", ".join(["diffusers", *needed]) + f" and {last}",
        training="\n".join(map(_training, descriptions, sources)),
        licence=_FROM_BASE.format(base=base) if base else _FROM_SCRATCH,
        steps_limit=" It was trained for a single denoising step." if one_step else "",
    )


def _training(description: dict[str, Any], source: Path) -> str:
    """One item: the stage, its choices, and what its run noted of code and data."""
    choices = {name: value for name, value in description["init_args"].items() if isinstance(value, dict)}
    told = ", ".join(
        f"{name} {value['class_path'].rsplit('.', 1)[-1]}" for name, value in choices.items() if name != "networks"
    )
    stage = description["class_path"].rsplit(".", 1)[-1]
    return f"- **{stage}**: {told}. Weights: {description['weights']}{_step(source)}. {_provenance(source)}"


def _step(source: Path) -> str:
    step = -1 if is_exported(source) else step_of(checkpoint_to_use(source))
    return f", step {step}" if step >= 0 else ""


def _provenance(source: Path) -> str:
    """Of the run that the path names, or lies in; folders of data by their last name and their index's digest."""
    files = (folder / "provenance.json" for folder in (source, *source.parents[:3]))
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return "What it was trained with was not recorded."
    start = json.loads(file.read_text())[-1]
    code, packages = start["code"], start["packages"]
    git = (
        f", revision {code['git']['revision']}{' with changes' if code['git']['changed'] else ''}"
        if code["git"]
        else ""
    )
    libraries = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "lightning", "diffusers") if name in packages
    )
    data = ", ".join(
        f"{name} {_folder_names(about['folder'])} (index {about['index']})"
        for name, about in start["data"].items()
        if about["folder"]
    )
    program = f"drip_lightning {code['version']} (code {code['hash']}{git}; {libraries})"
    return f"Started {start['started']} with {program} on {data}."


def _folder_names(folders: str | dict[str, float]) -> str:
    """By their last names: one folder, or several with their weights."""
    names = [folders] if isinstance(folders, str) else folders
    return ", ".join(f"`{Path(name).name}`" for name in names)
