from pathlib import Path

import pytest

from drip_lightning.errors import InputError
from drip_lightning.sweep.scores import mean_scores, read_scores

TABLE = """\
row,seed,key,height,width,unknown_pixels,alpha_sad_unknown,foreground_sad_unknown,seconds,hair_alpha_sad
plain,0,a,8,8,30,9,9,1,0
own,0,a,8,8,30,1,,1,0
own,0,b,8,8,30,2,5,1,0
own,1,a,8,8,30,3,,1,0
own,1,b,8,8,30,6,7,1,0
"""


def test_the_last_row_each_picture_averaged_over_sampling_seeds(tmp_path: Path) -> None:
    (tmp_path / "per_image.csv").write_text(TABLE)
    scores = read_scores(tmp_path)
    assert scores == {"alpha_sad_unknown": {"a": 2, "b": 4}, "foreground_sad_unknown": {"b": 6}}
    assert mean_scores(scores) == {"alpha_sad_unknown": 3, "foreground_sad_unknown": 6}


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scores at"):
        read_scores(tmp_path)
    (tmp_path / "per_image.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"is no table of drip test"):
        read_scores(tmp_path)
