import io

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data.convert.plain_jpeg import without_metadata

NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
SECRETS = (b"Berlin", b"hello", b"a film", b"a profile")


def jpeg(**options: object) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[29] = "Berlin"
    stream = io.BytesIO()
    picture = Image.fromarray(NOISE).convert(str(options.pop("mode", "RGB")))
    picture.save(stream, "JPEG", exif=exif, comment="hello", icc_profile=b"a profile", dpi=(300, 300), **options)
    return stream.getvalue() + b"a film"


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}, {"restart_marker_blocks": 1}]
)
def test_the_picture_stays_and_the_rest_goes(options: dict[str, object]) -> None:
    content = jpeg(**options)
    plain = without_metadata(content)
    assert all(secret in content and secret not in plain for secret in SECRETS)
    with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(plain)) as after:
        assert (np.asarray(before) == np.asarray(after)).all()
        assert after.info.keys() & {"exif", "icc_profile", "comment"} == set()
        assert after.info["dpi"] == (300, 300)
    assert without_metadata(plain) == plain
