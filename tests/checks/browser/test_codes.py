from __future__ import annotations

import io

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runbook_lib.checks.browser import codes

CONTENTS = st.text(min_size=1, max_size=200)


def modules(content):
    return [[bool(module) for module in row] for row in segno.make_qr(content).matrix_iter(border=4)]


def read(picture, side):
    """Which modules are dark: each by the pixel in its middle."""
    scale = picture.height // side
    return [
        [picture.getpixel((x * scale + scale // 2, y * scale + scale // 2)) < 128 for x in range(side)]
        for y in range(side)
    ]


@given(CONTENTS)
def test_a_picture_shows_the_code_and_its_quiet_zone(content):
    expected = modules(content)
    picture = Image.open(io.BytesIO(codes.picture(content))).convert("L")
    assert picture.width == picture.height
    assert read(picture, len(expected)) == expected


@given(CONTENTS)
def test_a_film_shows_the_code_in_its_middle(content):
    expected = modules(content)
    head, _, rest = codes.film(content).partition(b"\n")
    mark, _, planes = rest.partition(b"\n")
    assert (head.split()[:3], mark) == ([b"YUV4MPEG2", b"W640", b"H480"], b"FRAME")
    assert len(planes) == 640 * 480 * 3 // 2
    frame = Image.frombytes("L", (640, 480), planes[: 640 * 480])
    side = 480 // len(expected) * len(expected)
    left, top = (640 - side) // 2, (480 - side) // 2
    assert read(frame.crop((left, top, left + side, top + side)), len(expected)) == expected
    assert set(planes[640 * 480 :]) == {128}


def test_content_that_no_code_holds():
    with pytest.raises(ValueError, match="too large"):
        codes.film("x" * 5000)
