"""The page: what is on it, and what happens when something is dropped, painted or pressed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from drip_lightning.cli.demo.cut import CutOut, Views, Wish, colour_of, cut_out, shown_picture
from drip_lightning.cli.demo.strokes import COLOURS
from drip_lightning.cli.matte_model import MatteModel
from drip_lightning.data.picture_files import SUFFIXES
from drip_lightning.errors import DripError
from drip_lightning.shipped import EXAMPLES

KEPT_SECONDS = 60 * 60
"""For how long uploads and results are kept; a result goes when another is made, and everything when the page ends."""

_INTRODUCTION = """\
# Cut an object out of a picture

Drop a picture, paint roughly what you know, and press **Cut out**. Green is the object, red is background, blue is
what shall be found out: hair, glass, motion blur. A band around what is green is found out anyway.
"""
_OWN, _NATIVE = "the model's own", "the picture's own"
_SIZES: dict[str, int | None] = {_OWN: None, _NATIVE: 0} | {str(size): size for size in (512, 768, 1024, 1536)}
_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]
_BACKDROPS = ("checkerboard", "colour", "picture")


@dataclass(frozen=True)
class Studio:
    """What the page's events do.

    Attributes:
        model: What cuts out; one picture at a time.
        folder: Where results lie while they are shown.
    """

    model: MatteModel
    folder: Path

    def show(self, picture: str | None) -> Any:
        """Lay a picture under the brushes."""
        with _on_the_page():
            return None if picture is None else shown_picture(Path(picture))

    def cut(
        self,
        last: CutOut | None,
        picture: str | None,
        painted: dict[str, Any] | None,
        guide: str | None,
        kind: str,
        band: float,
        steps: float,
        seed: float,
        size: str,
        *backdrop: Any,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how gradio finds it
    ) -> tuple[Any, ...]:
        """Cut out, and show what was found."""
        if picture is None:
            raise gr.Error("no picture: drop one first", print_exception=False)
        layers = painted["layers"] if painted else []
        with _on_the_page():
            wish = Wish(
                picture=Path(picture),
                guide=Path(guide) if guide else None,
                is_mask=kind == "mask",
                layer=layers[0] if layers else None,
                band=int(band),
                steps=int(steps),
                seed=int(seed),
                processing_size=_SIZES[size],
            )
            found = cut_out(wish, self.model, self.folder, progress=lambda done, total: progress((done, total)))
        forget(last)
        files = [None if file is None else str(file) for file in (found.cut_out, found.alpha, found.exr, found.trimap)]
        downloads = [gr.DownloadButton(value=file, interactive=file is not None) for file in files]
        return found, *self.views(found, *backdrop), _facts(found), *downloads

    def views(self, found: CutOut | None, kind: str, colour: str, behind: str | None) -> list[Any]:
        """Show a cut-out over another backdrop."""
        if found is None:
            return [None] * 5
        with _on_the_page():
            backdrop = None
            if kind == "colour":
                backdrop = Image.new("RGB", (1, 1), colour_of(colour))
            elif kind == "picture" and behind is not None:
                backdrop = shown_picture(Path(behind))
            views = Views.of(found, backdrop)
        return [(views.picture, views.composite), views.composite, views.alpha, views.foreground, views.trimap]


def forget(found: CutOut | None) -> None:
    """Delete a result's files."""
    if found is not None:
        shutil.rmtree(found.cut_out.parent, ignore_errors=True)


def build_page(model: MatteModel, folder: Path) -> gr.Blocks:
    """Lay the page out.

    Args:
        model: What cuts out.
        folder: For results while they are shown.
    """
    studio = Studio(model, folder)
    with gr.Blocks(title="drip", analytics_enabled=False, delete_cache=(600, KEPT_SECONDS)) as page:
        last = gr.State(None, time_to_live=KEPT_SECONDS, delete_callback=forget)
        gr.Markdown(_INTRODUCTION)
        with gr.Row():
            with gr.Column():
                wanted = _inputs(model)
                button = gr.Button("Cut out", variant="primary", elem_id="cut")
                _offer_example(*wanted[:1], *wanted[2:4])
            with gr.Column():
                shown, backdrop, facts, downloads = _results()
        picture, painted, *_ = wanted
        picture.change(studio.show, picture, painted, show_progress="minimal")
        outputs = [last, *shown, facts, *downloads]
        button.click(studio.cut, [last, *wanted, *backdrop], outputs, concurrency_limit=1, concurrency_id="model")
        for choice in backdrop:
            choice.change(studio.views, [last, *backdrop], shown, show_progress="minimal")
        kind, *details = backdrop
        kind.change(_shown_details, kind, details, show_progress="hidden")
    page.queue(max_size=32)
    return page


def look() -> dict[str, Any]:
    """How `launch` is to draw the page: with the reader's own fonts, so that nothing is fetched from elsewhere."""
    return {
        "theme": gr.themes.Soft(font=_FONTS, font_mono=["ui-monospace", "monospace"], primary_hue="emerald"),
        "footer_links": [],
        "run_history": False,
    }


def _inputs(model: MatteModel) -> list[Any]:
    """What `Studio.cut` takes, in its order."""
    files = list(SUFFIXES)
    picture = gr.File(label="Picture", file_types=files, height=120, elem_id="picture")
    # translucent, so that the picture is seen beneath
    brush = gr.Brush(colors=[(colour, 0.6) for colour in COLOURS.values()], color_mode="fixed", default_size=24)
    painted = gr.ImageEditor(
        label="Paint",
        type="numpy",
        sources=(),
        transforms=(),
        layers=False,
        brush=brush,
        buttons=[],
        elem_id="painted",
    )
    with gr.Accordion("A mask or trimap in place of painting", open=False):
        guide = gr.File(label="Mask or trimap, of the picture's size", file_types=files, height=120, elem_id="guide")
        kind = gr.Radio(["mask", "trimap"], value="mask", label="It is a", elem_id="kind")
    band = gr.Slider(1, 100, value=15, step=1, label="Unknown band around a mask, pixels to either side")
    with gr.Accordion("Settings", open=False):
        most = 1 if model.sampler.one_step else min(100, model.most_steps)
        steps = gr.Slider(1, max(2, most), value=model.sampling_steps, step=1, label="Steps", interactive=most > 1)
        seed = gr.Number(0, precision=0, minimum=0, label="Seed")
        size = gr.Dropdown(list(_SIZES), value=_OWN, label="Longest side that the denoiser sees")
    return [picture, painted, guide, kind, band, steps, seed, size]


def _offer_example(picture: Any, guide: Any, kind: Any) -> None:
    lemur = EXAMPLES / "lemur"
    gr.Examples(
        [[str(lemur / "image.png"), str(lemur / "trimap.png"), "trimap"]], [picture, guide, kind], elem_id="example"
    )


def _results() -> tuple[list[Any], list[Any], Any, list[Any]]:
    """Views, the choice of a backdrop, facts, and downloads."""
    with gr.Tab("Compare"):
        slider = gr.ImageSlider(label="Picture and cut-out", interactive=False, buttons=[], elem_id="slider")
    views = []
    for name in ("Cut-out", "Alpha", "Foreground", "Trimap"):
        with gr.Tab(name):
            identity = name.lower().replace("-", "_")
            views.append(gr.Image(label=name, interactive=False, buttons=[], elem_id=f"view_{identity}"))
    kind = gr.Radio(_BACKDROPS, value=_BACKDROPS[0], label="Over a", elem_id="backdrop")
    colour = gr.ColorPicker("#00b140", label="Colour", visible=False)
    files = list(SUFFIXES)
    behind = gr.File(label="Picture behind it", file_types=files, height=120, visible=False, elem_id="behind")
    facts = gr.Markdown(elem_id="facts")
    with gr.Row():
        names = ("RGBA PNG", "Alpha PNG", "OpenEXR", "Trimap PNG")
        downloads = [
            gr.DownloadButton(
                name, interactive=False, size="sm", min_width=80, elem_id=f"get_{name.split()[0].lower()}"
            )
            for name in names
        ]
    return [slider, *views], [kind, colour, behind], facts, downloads


def _shown_details(kind: str) -> list[Any]:
    return [gr.ColorPicker(visible=kind == "colour"), gr.File(visible=kind == "picture")]


def _facts(found: CutOut) -> str:
    width, height = found.size
    return f"{width}×{height} pixels, {found.seconds:.1f} s, at most {found.peak_bytes / 1e9:.2f} GB of memory"


@contextmanager
def _on_the_page() -> Iterator[None]:
    """Show a `DripError`'s line on the page; any other exception is a defect, whose traceback goes to the terminal."""
    try:
        yield
    except DripError as error:
        raise gr.Error(str(error), print_exception=False, duration=None) from error
