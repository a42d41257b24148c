import os
from pathlib import Path

import pytest

from drip_lightning.data.picture_files import find_pictures, read_file
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


def test_pictures_are_listed_once_by_their_name_below_the_folder(tmp_path: Path) -> None:
    for name in ("a.JPG", "a.png", "notes.txt", "c.jxl", ".hidden.png", "sub/b.png", "out/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "circle").symlink_to(tmp_path)
    found = find_pictures(tmp_path, without=tmp_path / "out")
    assert found.files == {"a": [tmp_path / "a.JPG", tmp_path / "a.png"], "sub/b": [tmp_path / "sub" / "b.png"]}
    assert found.ignored == {".txt": 1, ".jxl": 1}
    assert found.not_read == [tmp_path / "c.jxl"]
    assert list(find_pictures(tmp_path, recursive=False).files) == ["a"]
    with pytest.raises(InputError, match=r"no folder at .*/gone"):
        find_pictures(tmp_path / "gone")
    with pytest.raises(InputError, match=r"notes\.txt is not a folder"):
        find_pictures(tmp_path / "notes.txt")
