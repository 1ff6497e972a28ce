import sys

import numpy as np
import pillow_heif
import pytest

from pipeline.data.file_kinds import find_format, is_picture_name
from pipeline.data.image import BadImageError, ImageFacts, decode_image, inspect_image
from tests.pipeline.data.hostile import FORMATS, draw, encode


@pytest.fixture
def heic() -> bytes:
    pillow_heif.register_heif_opener()
    return encode(draw(1, (64, 48)), "HEIF", quality=95)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_pillow_writes_is_recognized(kind):
    assert find_format(encode(draw(1), kind)) == kind


@pytest.mark.parametrize(("scale", "dtype"), [(b"-1.0", "<f4"), (b"1.0", ">f4")])
def test_a_grey_pfm_is_a_picture_by_name_and_content(scale, dtype):
    rows = np.linspace(0, 1, 32, dtype=dtype).repeat(32)  # the last one comes first
    data = b"Pf\n32 32\n" + scale + b"\n" + rows.tobytes()
    assert is_picture_name("depth/1.PFM")
    assert inspect_image(data, min_side=8, max_megapixels=1) == ImageFacts(32, 32, "F")
    pixels = decode_image(data, image_size=32, resize="stretch")
    assert abs(pixels[::-1, 5, 1] - np.linspace(0, 255, 32)).max() <= 1
    with pytest.raises(BadImageError, match="a PFM in colour, which is not read"):
        inspect_image(b"PF" + data[2:], min_side=8, max_megapixels=1)


def test_heic_is_read_like_a_png_of_the_same_picture(heic):
    assert find_format(heic) == "HEIF"
    assert inspect_image(heic, min_side=8, max_megapixels=1) == ImageFacts(64, 48, "RGB")
    expected = decode_image(encode(draw(1, (64, 48)), "PNG"), image_size=16, resize="stretch").astype(int)
    assert abs(decode_image(heic, image_size=16, resize="stretch") - expected).max() < 20


def test_without_its_decoder_heic_is_named_with_the_command_that_installs_it(heic, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # importing it fails
    with pytest.raises(BadImageError, match=r"^HEIC, .* not installed; run `pip install 'image-class.*\[heif\]'`, or "):
        inspect_image(heic, min_side=8, max_megapixels=1)


@pytest.mark.parametrize(
    ("name", "expected"), [("a/b.JPG", True), ("a.jfif", True), ("a.HEIC", True), ("a.txt", False), ("jpg", False)]
)
def test_pictures_are_told_by_their_names(name, expected):
    assert is_picture_name(name) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(500), "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx rest", "a camera's raw file"),
        (b"IIRO\x08\0\0\0", "a camera's raw file"),
        (b"\x0a\5\1\x08", "PCX"),
        (b"v/1\1rest", "OpenEXR"),
        (b"404: Not Found\n", "a text instead of the picture, which begins with '404: Not Found'"),
        (b"data:image/png;base64,iVBORw0", "a text instead of the picture"),
        (b"x\0y", "no known format"),
    ],
)
def test_what_is_no_picture_is_named(data, words):
    with pytest.raises(BadImageError, match=f"^not an image: {words}"):
        inspect_image(data, min_side=8, max_megapixels=1)
