from pathlib import Path

import pytest

from tests.shards import background_shards, evaluation_shards, foreground_shards


@pytest.fixture(scope="session")
def shard_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Seven foregrounds, five backgrounds, three evaluation pictures."""
    folder: Path = tmp_path_factory.mktemp("shards")
    return {
        "foregrounds": foreground_shards(folder / "foregrounds"),
        "backgrounds": background_shards(folder / "backgrounds"),
        "evaluation": evaluation_shards(folder / "evaluation"),
    }
