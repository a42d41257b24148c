"""Source folders as users have them, for the tests of the converters."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.shards import disc_rgba

RGBA = disc_rgba(0, 20, 24)
COLOUR, ALPHA = RGBA[..., :3].copy(), RGBA[..., 3].copy()


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def discs(folder: Path, count: int) -> Path:
    """A folder of RGBA pictures, `disc0.png`, …, all different."""
    for i in range(count):
        save(folder / f"disc{i}.png", disc_rgba(i, 20 + i, 24))
    return folder


def members(folder: Path) -> dict[str, bytes]:
    """All members of a folder's shards by their names, in order."""
    found = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            found.update({member.name: tar.extractfile(member).read() for member in tar})  # type: ignore[union-attr]
    return found


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def pictures(folder: Path) -> dict[str, np.ndarray]:
    """The decoded pictures among the members."""
    return {name: pixels(content) for name, content in members(folder).items() if not name.endswith(".json")}


def index(folder: Path) -> dict[str, object]:
    return json.loads((folder / "index.json").read_text())


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
