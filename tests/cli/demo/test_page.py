"""The page of `drip demo` in a real browser: Debian's chromium, driven headless.

`make test-browser` runs these; without chromium they are skipped. DRIP_SCREENSHOTS=docs writes the pictures in docs/.
"""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import drip_lightning.cli.main as command
from drip_lightning import shipped
from drip_lightning.ops.trimap import trimap_uint8
from tests.shards import png_of_200_megapixels

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LEMUR = shipped.EXAMPLES / "lemur"
SCREENSHOTS = os.environ.get("DRIP_SCREENSHOTS")
PATIENCE_S = 300
ANSWER_S = 60
"""After which a click counts as lost, on a machine that does other work, too."""
RUN = "import sys; from drip_lightning.cli.main import run; sys.exit(run(sys.argv[1:]))"


class Server:
    """`drip demo` in a process of its own, its temporary files below `folder`."""

    def __init__(self, command: list[str], folder: Path, port: int, **environment: str) -> None:
        self.folder, self.url, self._log = folder, f"http://127.0.0.1:{port}/", folder / "log"
        with self._log.open("w") as log:
            own = {"TMPDIR": str(folder), **environment}
            self.process = subprocess.Popen(command, stderr=log, env=os.environ | own, cwd=folder)
        _until(lambda: f"drip demo: {self.url}" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        return self._log.read_text()

    def results(self) -> list[Path]:
        return [path for folder in self.folder.glob("drip-demo-*/results") for path in folder.iterdir()]

    def end(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("gradio")
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    port = _free_port()
    given = [sys.executable, "-c", RUN, "demo", f"--port={port}"]
    server = Server(given, tmp_path_factory.mktemp("server"), port)
    yield server
    status, said = server.end(), server.said()
    assert status == 128 + signal.SIGTERM, said  # it has lived until now
    assert not re.search('File ".*drip_lightning', said), said  # gradio tells of browsers that left
    assert "drip demo: ended, and its files are deleted" in said
    left = {
        path.name for path in server.folder.iterdir() if not path.name.startswith("torchinductor_")
    }  # torch's cache
    assert left == {"log"}


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, server: Server) -> Iterator[Callable[[], Any]]:
    """Opens the page, each time as somebody else; whatever it asks for comes from this machine."""
    contexts, hosts = [], set()

    def open_page() -> Any:
        contexts.append(browser.new_context(viewport={"width": 1400, "height": 1000}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.goto(server.url)
        page.wait_for_selector("#cut")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert hosts - {None} == {"127.0.0.1"}  # data and blobs have no host


def test_a_painted_picture_is_cut_out_shown_and_downloaded(opened: Callable[[], Any], tmp_path: Path) -> None:
    page = opened()
    page.set_input_files("#picture input[type=file]", LEMUR / "image.png")
    _paint(page)
    assert page.locator("#get_rgba").is_disabled()
    page.click("#cut")
    page.wait_for_selector("#facts >> text=340×220 pixels")
    found = {name: _downloaded(page, name, tmp_path) for name in ("rgba", "alpha", "trimap", "openexr")}
    assert {name: path.name for name, path in found.items()} == {
        "rgba": "image.png",
        "alpha": "image_alpha.png",
        "trimap": "image_trimap.png",
        "openexr": "image.exr",
    }
    trimap = _pixels(found["trimap"])
    assert trimap.shape == (220, 340)
    assert set(np.unique(trimap)) == {0, 128, 255}
    assert trimap[110, 170] == 255  # a stroke through the middle
    assert trimap[:20].max() == 0
    matte = _matte(found["trimap"], tmp_path)
    assert np.array_equal(_pixels(found["rgba"]), matte)
    assert np.array_equal(_pixels(found["alpha"]), matte[..., 3])
    assert found["openexr"].read_bytes()[:4] == b"\x76\x2f\x31\x01"

    over_checkers = _shown(page, "Cut-out")
    assert over_checkers.shape == (220, 340, 3)
    assert np.abs(_shown(page, "Alpha")[..., 0].astype(int) - matte[..., 3]).mean() < 4  # WebP's losses
    assert np.abs(_shown(page, "Trimap")[..., 0].astype(int) - trimap).mean() < 4
    page.get_by_label("colour", exact=True).check()
    page.wait_for_selector("text=Colour")
    _until(lambda: np.abs(_shown(page, "Cut-out")[2:12, 2:12] - np.array([0, 177, 64.0])).mean() < 6)
    page.get_by_label("picture", exact=True).check()
    page.set_input_files("#behind input[type=file]", LEMUR / "image.png")
    with Image.open(LEMUR / "image.png") as picture:
        corner = np.asarray(picture.convert("RGB"), float)[2:12, 2:12]
    _until(lambda: np.abs(_shown(page, "Cut-out")[2:12, 2:12] - corner).mean() < 8)


def test_the_example_is_cut_out_as_its_trimap_says(opened: Callable[[], Any], tmp_path: Path) -> None:
    page = opened()
    _take_example(page)
    page.click("#cut")
    page.wait_for_selector("#facts >> text=340×220 pixels")
    expected = _matte(LEMUR / "trimap.png", tmp_path)
    assert np.array_equal(_pixels(_downloaded(page, "rgba", tmp_path)), expected)
    if SCREENSHOTS:
        page.wait_for_timeout(2000)
        page.screenshot(path=Path(SCREENSHOTS) / "demo.jpg", type="jpeg", quality=75, full_page=True)


def test_a_rough_mask_is_given_a_band(opened: Callable[[], Any], tmp_path: Path) -> None:
    mask = np.zeros((220, 340), np.uint8)
    mask[60:180, 110:240] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    page = opened()
    page.set_input_files("#picture input[type=file]", LEMUR / "image.png")
    page.get_by_text("A mask or trimap in place of painting").click()
    page.set_input_files("#guide input[type=file]", tmp_path / "mask.png")
    page.wait_for_selector("#guide [aria-label='mask.png']")
    page.click("#cut")
    page.wait_for_selector("#facts >> text=340×220 pixels")
    trimap = _pixels(_downloaded(page, "trimap", tmp_path))
    assert np.array_equal(trimap, trimap_uint8(mask, dilation=15, erosion=15))


def test_what_is_wrong_is_said_on_the_page(opened: Callable[[], Any], tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    (tmp_path / "huge.png").write_bytes(png_of_200_megapixels())
    page = opened()
    _click_until(page.locator("#cut"), page.get_by_text("no picture: drop one first").first)
    for name, line in (("notes", "notes.png cannot be decoded: it is none of PNG"), ("huge", "pixels")):
        page.set_input_files("#picture input[type=file]", tmp_path / f"{name}.png")
        page.get_by_text(line).first.wait_for()
        page.click("#picture button[aria-label=Clear]")
    page.get_by_text("are not decoded").first.wait_for()
    page.set_input_files("#picture input[type=file]", LEMUR / "image.png")
    page.wait_for_selector("#picture [aria-label='image.png']")
    page.click("#cut")
    page.get_by_text("nothing is painted as foreground: paint the object").wait_for()


def test_two_at_once_both_succeed_one_after_another_also_when_a_third_leaves(
    opened: Callable[[], Any], server: Server, tmp_path: Path
) -> None:
    pages = [opened() for _ in range(3)]
    for page in pages:
        _take_example(page)
    for page in pages:
        page.click("#cut")
    pages[0].context.close()
    expected = _matte(LEMUR / "trimap.png", tmp_path)
    for number, page in enumerate(pages[1:]):
        page.wait_for_selector("#facts >> text=340×220 pixels")
        folder = tmp_path / str(number)
        folder.mkdir()
        assert np.array_equal(_pixels(_downloaded(page, "rgba", folder)), expected)
    before = set(server.results())
    page.click("#cut")
    _until(lambda: len(before - set(server.results())) == 1)
    assert len(set(server.results()) - before) == 1  # in its place


def test_an_exported_space_serves_the_page(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    assert command.run(["demo", f"--export-space={tmp_path / 'space'}"]) == 0
    assert any(line.startswith("gradio") for line in (tmp_path / "space/requirements.txt").read_text().splitlines())
    port = _free_port()
    (tmp_path / "elsewhere").mkdir()
    server = Server([sys.executable, tmp_path / "space/app.py"], tmp_path / "elsewhere", port, DRIP_PORT=str(port))
    page = urllib.request.urlopen(server.url).read().decode()
    assert server.end() == 128 + signal.SIGTERM
    assert '"title":"drip"' in page


def _click_until(clicked: Any, shown: Any) -> None:
    """Click until something is shown: a click on a page that is not alive yet is lost; one too many begins anew."""
    errors = pytest.importorskip("playwright.sync_api")

    def is_shown() -> bool:
        clicked.click()
        try:
            shown.wait_for(timeout=ANSWER_S * 1000)
        except errors.TimeoutError:
            return False
        return True

    _until(is_shown)


def _take_example(page: Any) -> None:
    """Brushes are there without a picture, too: its name tells that it has come."""
    _click_until(page.locator("#example").get_by_text("trimap.png"), page.locator("#picture [aria-label='image.png']"))


def _paint(page: Any) -> None:
    """A stroke of the brush through the middle."""
    page.wait_for_selector("#picture [aria-label='image.png']")
    page.wait_for_timeout(3000)  # the picture is laid under it
    box = page.locator("#painted canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=8)
    page.mouse.up()
    page.wait_for_timeout(1000)


def _downloaded(page: Any, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(f"#get_{name}")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def _shown(page: Any, name: str) -> np.ndarray:
    """What a tab shows, (H, W, 3), 0 to 255."""
    page.get_by_role("tab", name=name, exact=True).click()
    image = page.locator(f"#view_{name.lower().replace('-', '_')} img")
    image.wait_for()
    content = page.request.get(image.get_attribute("src")).body()
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"))


def _matte(trimap: Path, folder: Path) -> np.ndarray:
    """What `drip matte` makes of the lemur, (H, W, 4)."""
    out = folder / "matte.png"
    given = ["matte", LEMUR / "image.png", "--trimap", trimap, "--out", out, "--overwrite"]
    assert command.run([*map(str, given)]) == 0
    return _pixels(out)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.5)
