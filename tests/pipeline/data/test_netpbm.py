import numpy as np
import pytest

from pipeline.data.image import BadImageError, decode_image, inspect_image
from pipeline.data.netpbm import read_netpbm, read_netpbm_header

SIDE = 32
RAMP = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)
COLOURS = np.stack([RAMP, 1 - RAMP, np.full_like(RAMP, 0.5)], axis=-1)


def write(values: np.ndarray, most: int = 65535, between: str = "\n") -> bytes:
    """A PGM or PPM. between: stands between the fields of the header."""
    height, width = values.shape[:2]
    head = between.join((f"P{5 if values.ndim == 2 else 6}", str(width), str(height), str(most)))
    return head.encode() + b"\n" + values.astype(">u2" if most > 255 else np.uint8).tobytes()


def decode(data: bytes, value_range: str = "auto") -> np.ndarray:
    assert inspect_image(data, min_side=8, max_megapixels=1, value_range=value_range)
    return decode_image(data, image_size=SIDE, resize="stretch", value_range=value_range)


@pytest.mark.parametrize("picture", [RAMP, COLOURS])
class TestRange:
    @pytest.mark.parametrize(
        ("top", "most", "value_range", "white"),
        [
            (4095, 65535, "auto", 255),
            (4095, 65535, "minmax", 255),
            (4095, 65535, "full", 16),
            (65535, 65535, "auto", 255),
            (65535, 65535, "full", 255),
            (4095, 4095, "auto", 255),
            (4095, 4095, "full", 255),
            (1023, 4095, "full", 64),
            (300, 300, "full", 255),
        ],
    )
    def test_is_as_of_other_pictures_of_sixteen_bits(self, picture, top, most, value_range, white):
        pixels = decode(write(np.rint(picture * top), most), value_range)
        expected = picture * white if picture.ndim == 3 else np.repeat(picture[..., None] * white, 3, axis=2)
        assert np.abs(pixels - expected).max() <= 1

    def test_eight_bits_stay_as_they_are(self, picture):
        data = write(np.rint(picture * 100), 255)
        assert read_netpbm_header(data) is None
        assert decode(data).max() == 100


@pytest.mark.parametrize("value_range", ["auto", "full", "minmax"])
@pytest.mark.parametrize(("top", "most"), [(65535, 65535), (4095, 65535), (4095, 4095), (1023, 4095), (300, 300)])
def test_grey_that_is_written_as_text_is_as_the_same_in_binary(top, most, value_range):
    values = np.rint(RAMP * top).astype(int)
    plain = f"P2\n{SIDE} {SIDE}\n{most}\n{' '.join(map(str, values.ravel()))}\n".encode()
    assert np.abs(decode(plain, value_range) - decode(write(values, most), value_range).astype(int)).max() <= 1
    assert len(np.unique(decode(plain, value_range))) > 10


class TestHeader:
    @pytest.mark.parametrize("between", [" ", "\r\n", " \t\n ", "\n# a comment\n", " # one\n#two 9 9\n", "\n#\r"])
    def test_blanks_and_comments_stand_between_its_fields(self, between):
        values = np.rint(COLOURS * 4095).astype(np.uint16)
        assert (read_netpbm(write(values, between=between)).values == values).all()

    def test_one_byte_behind_it_the_samples_begin(self):
        values = np.full((9, 9), 0x0A0A, np.uint16)  # bytes that are line ends too
        assert (read_netpbm(write(values)).values == values).all()

    @pytest.mark.parametrize(
        "data", [b"", b"P6", b"P6 8 8", b"P3 1 1 999\n1 2 3", b"P6 a 8 999\n", b"P6 8 8 999", b"P6 8 8 70000\n"]
    )
    def test_others_are_left_to_pillow(self, data):
        assert read_netpbm_header(data) is None

    def test_a_long_one_is_refused_at_once(self):
        assert read_netpbm_header(b"P6" + b"# " * 100_000) is None

    def test_a_sample_above_the_largest_is_the_largest(self):
        assert read_netpbm(write(np.full((8, 8), 60_000), 1000)).values.max() == 65535


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("picture", [RAMP, COLOURS])
def test_truncated_files_are_refused(picture, part):
    data = write(picture * 4095)
    for look in (decode, lambda data: decode_image(data, image_size=SIDE, resize="stretch")):
        with pytest.raises(
            BadImageError, match=r"^can't be decoded: cut off: expected [\d,]+ bytes of pixels, received "
        ):
            look(data[: int(len(data) * part)])


def test_what_is_too_large_is_refused_by_its_header():
    with pytest.raises(BadImageError, match="too large: 60000x60000"):
        inspect_image(b"P6 60000 60000 65535\n", min_side=8, max_megapixels=1)
