import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.cache import LocalCache
from drip_lightning.data.datasets import TrainingLayers
from drip_lightning.data.mixture import ShardMixture
from drip_lightning.data.shards import remote
from drip_lightning.data.shards.index import read_index
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError
from tests.shards import background_shards, foreground_shards


class _Handler(SimpleHTTPRequestHandler):
    served: list[str]

    def do_GET(self) -> None:
        type(self).served.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server on loopback: its address, its folder, and what was asked of it."""
    _Handler.served = []
    foreground_shards(tmp_path / "site" / "foregrounds")
    background_shards(tmp_path / "site" / "backgrounds")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(tmp_path / "site"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path / "site", _Handler.served
        server.shutdown()


def _training(place: str, cache: LocalCache) -> TrainingLayers:
    mixtures = [ShardMixture(f"{place}/{name}", cache=cache) for name in ("foregrounds", "backgrounds")]
    return TrainingLayers(*mixtures, augmentation=Augmentation(), image_size=16, seed=0, cache=cache)


def test_samples_from_afar_are_those_from_the_disk_and_each_shard_is_fetched_once(
    site: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    url, folder, served = site
    near, far = _training(str(folder), LocalCache(tmp_path / "near")), _training(url, LocalCache(tmp_path / "far"))
    far[0]
    shards = [path for path in served if path.endswith(".tar")]
    assert 2 <= len(set(shards)) < 6  # training begins before all have arrived
    for number in range(20):
        assert torch.equal(near[number].foreground, far[number].foreground)
        assert torch.equal(near[number].background, far[number].background)
    again = _training(url, LocalCache(tmp_path / "far"))
    assert torch.equal(again[3].foreground, near[3].foreground)
    fetched = [path for path in served if path.endswith(".tar")]
    assert len(fetched) == len(set(fetched)) == 3 + 3


def test_damage_from_afar_costs_its_sample(site: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    url, folder, _ = site
    shard = folder / "foregrounds" / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    pictures = ShardFolder(f"{url}/foregrounds", cache=LocalCache(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"'f000' of .*changed or damaged"):
        pictures[0]
    assert pictures[1]["__key__"] == "f001"
    (folder / "foregrounds" / "shard-000001.tar").unlink()
    with pytest.raises(InputError, match="is missing"):
        pictures[3]


def test_no_connection_is_no_damage(
    site: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _, _ = site
    training = _training(url, LocalCache(tmp_path / "cache"))

    def broken(place: str) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(remote, "open_place", broken)
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    with pytest.raises(remote.Unreachable, match=r"cannot be fetched .connection refused.: check the connection"):
        training[0]


def test_what_cannot_be_opened_is_one_line(site: tuple[str, Path, list[str]]) -> None:
    url, _, _ = site
    for place, says in ((f"{url}/nowhere", "cannot be read"), ("nosuch://bucket/set", "cannot be opened")):
        with pytest.raises(InputError, match=says) as error:
            read_index(place)
        assert "\n" not in str(error.value)
