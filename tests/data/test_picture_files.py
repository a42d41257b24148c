import os
from pathlib import Path

import pytest

from drip_lightning.data.picture_files import read_file
from drip_lightning.errors import InputError


def test_what_cannot_be_read_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nothing.png").symlink_to(tmp_path / "gone")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait forever
    for name, why in (("folder", "is no file"), ("nothing", "cannot be read"), ("circle", "cannot be read")):
        with pytest.raises(InputError, match=rf"{name}\.png {why}"):
            read_file(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=r"pipe\.png is no file"):
        read_file(tmp_path / "pipe.png")
