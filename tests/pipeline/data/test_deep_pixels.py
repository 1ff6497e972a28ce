import io
import struct
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from imagecodecs import png_encode

from pipeline.data.deep_pixels import choose_range, scale, to_eight_bits
from pipeline.data.image import BadImageError, ImageFacts, decode_image, inspect_image
from tests.pipeline.data.hostile import add_chunk, claim_png, make_chunk

SIDE = 32
RAMP = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)  # every test picture is one, from black to white


def tiff(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def decode(data: bytes, value_range: str = "auto") -> np.ndarray:
    assert inspect_image(
        data, min_side=8, max_megapixels=1, value_range=value_range
    )  # what preprocess takes, prune does
    return decode_image(data, image_size=SIDE, resize="stretch", value_range=value_range)


def refusal(data: bytes) -> str:
    said = []
    for look in (decode, lambda data: decode_image(data, image_size=SIDE, resize="stretch")):
        with pytest.raises(BadImageError) as caught:
            look(data)
        said.append(str(caught.value))
    assert said[0] == said[1]
    return said[0]


def colours(low: float, high: float, dtype: Any) -> np.ndarray:
    """Red rises, green falls, blue is in the middle."""
    bands = np.stack([RAMP, 1 - RAMP, np.full_like(RAMP, 0.5)], axis=-1)
    return (low + bands * (high - low)).astype(dtype)


class TestRange:
    @pytest.mark.parametrize(
        ("dtype", "low", "high", "white"),
        [
            ("uint8", 0, 100, 255),
            ("uint16", 0, 200, 255),
            ("uint16", 0, 1000, 1023),
            ("uint16", 0, 4095, 4095),
            ("uint16", 100, 4096, 8191),
            ("uint16", 0, 65535, 65535),
            ("int16", 0, 3000, 4095),
            ("int32", 0, 100_000, 131_071),
            ("uint32", 0, 4_000_000_000, 2**32 - 1),
            ("float32", 0, 1, 1),
            ("float32", 0, 0.7, 1),
            ("float64", 0, 255, 255),
            ("float64", 3, 200, 255),
        ],
    )
    def test_auto_takes_the_bits_that_are_in_use(self, dtype, low, high, white):
        assert choose_range((low + RAMP * (high - low)).astype(dtype), "auto") == (0, white)

    @pytest.mark.parametrize("dtype", ["uint16", "int32"])
    def test_a_hot_pixel_does_not_make_the_others_black(self, dtype):
        values = (RAMP * 400).astype(dtype)
        values[5, 5] = 30_000
        assert choose_range(values, "auto") == (0, 511)
        assert decode(tiff(values)).mean() > 80

    @pytest.mark.parametrize(("dtype", "sentinel", "white"), [("int16", -32768, 2047), ("float32", -9999, 1500)])
    def test_numbers_for_missing_data_do_not_count(self, dtype, sentinel, white):
        values = (RAMP * 1500).astype(dtype)
        values[:9] = sentinel
        assert choose_range(values, "auto")[1] == pytest.approx(white, abs=5)
        assert choose_range(values, "auto")[0] >= 0
        assert choose_range(np.full((9, 9), sentinel, dtype), "auto")[0] < 0
        assert choose_range((RAMP * 20_000 - 9999).astype(dtype), "auto")[0] < -9000

    def test_some_bright_pixels_are_part_of_the_picture(self):
        values = (RAMP * 400).astype(np.uint16)
        values[5] = 30_000
        assert choose_range(values, "auto") == (0, 32_767)

    def test_auto_stretches_what_would_be_nearly_one_colour(self):
        thermal = (30_000 + RAMP * 1000).astype(np.uint16)
        assert choose_range(thermal, "auto") == pytest.approx((30_000, 31_000), abs=5)
        assert decode(tiff(thermal)).std() > 60
        assert choose_range(np.full((9, 9), 30_000, np.uint16), "auto") == (0, 32_767)

    @pytest.mark.parametrize(
        ("dtype", "low", "high"),
        [
            ("int16", -1024, 3071),
            ("int8", -100, 100),
            ("float32", 0, 1000),
            ("float32", 0, 0.05),
            ("float32", 0, 10),
            ("float32", -1, 1),
            ("float16", 0, 2000),
            ("float64", 1e5, 1e6),
        ],
    )
    def test_auto_stretches_all_other_values_but_for_a_thousandth_at_either_end(self, dtype, low, high):
        black, white = choose_range((low + RAMP * (high - low)).astype(dtype), "auto")
        assert black == pytest.approx(low, abs=(high - low) * 0.005)
        assert white == pytest.approx(high, abs=(high - low) * 0.005)

    @pytest.mark.parametrize(
        ("dtype", "full"),
        [("uint8", (0, 255)), ("uint16", (0, 65535)), ("int16", (-32768, 32767)), ("float32", (0, 1))],
    )
    def test_full_is_what_the_type_can_hold(self, dtype, full):
        assert choose_range((RAMP * 100).astype(dtype), "full") == full

    def test_minmax_is_from_the_smallest_to_the_largest_value(self):
        assert choose_range((RAMP * 100 + 20).astype(np.uint16), "minmax") == (20, 120)
        assert choose_range(np.array([np.nan, -np.inf, -3.4e38, 2, 5, np.inf]), "minmax") == (2, 5)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.4e38, 1e6])
    def test_single_wild_values_do_not_decide(self, value):
        values = (RAMP * 1000).astype(np.float32)
        values[5, 5] = value
        assert choose_range(values, "auto") == pytest.approx((0, 1000), abs=5)

    @pytest.mark.parametrize("rule", ["auto", "full", "minmax"])
    @pytest.mark.parametrize("value", [0.0, 0.3, 1000.0, -5.0, np.nan, np.inf])
    def test_one_value_has_a_range_too(self, value, rule):
        black, white = choose_range(np.full((9, 9), value, np.float32), rule)
        assert black < white

    def test_sparse_bright_points_are_not_lost(self):
        values = np.zeros((100, 100), np.float32)
        values[3, 3] = 5000
        assert to_eight_bits(values, "auto")[3, 3] == 255
        assert to_eight_bits(values, "auto").sum() == 255

    def test_large_arrays_are_scaled_in_parts(self):
        values = np.arange(3 << 20, dtype=np.int32).reshape(3, -1)
        expected = np.floor(values * (255 / (4 * 2**20 - 1)) + 0.5)
        assert (to_eight_bits(values, "auto") == expected).all()

    def test_nan_is_black_and_infinities_are_the_ends(self):
        assert scale(np.array([np.nan, -np.inf, 0.5, np.inf]), 0, 1).tolist() == [0, 0, 128, 255]


class TestGrey:
    @pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "float16", "float32", "float64", "int8"])
    @pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    def test_tiffs_of_every_number_type_are_ramps(self, dtype, compression, byteorder):
        top = 100 if dtype == "int8" else 1000
        data = tiff((RAMP * top).astype(dtype), compression=compression, byteorder=byteorder, photometric="minisblack")
        pixels = decode(data, "minmax")
        assert (pixels[..., 0] == pixels[..., 2]).all()
        assert np.abs(pixels[..., 0] - RAMP * 255).max() <= 255 / top + 1

    @pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
    def test_one_infinite_pixel_does_not_blacken_the_others(self, value):
        values = RAMP.astype(np.float32)
        values[0, 0] = value
        pixels = decode(tiff(values, photometric="minisblack"))[..., 0]
        assert np.abs(pixels - RAMP * 255).ravel()[1:].max() <= 1
        assert pixels[0, 0] == (255 if value == np.inf else 0)

    def test_hounsfield_units_keep_their_levels(self):
        pixels = decode(tiff((RAMP * 4095 - 1024).astype(np.int16), photometric="minisblack"))
        assert len(np.unique(pixels)) > 250

    def test_min_is_white(self):
        for dtype in ("uint16", "float32"):
            values = (RAMP * 1000).astype(dtype)
            pixels = decode(tiff(values, photometric="miniswhite"), "minmax")[..., 0]
            assert np.abs(pixels - (1 - RAMP) * 255).max() <= 1

    @pytest.mark.parametrize("value_range", ["auto", "full", "minmax"])
    @pytest.mark.parametrize(
        ("dtype", "low", "high", "bits"),
        [
            ("uint16", 0, 16383, None),
            ("uint16", 0, 16383, 14),
            ("uint16", 0, 1000, 12),
            ("uint16", 30_000, 31_000, None),
            ("int16", -1024, 3071, None),
            ("int16", -32768, 32767, None),
            ("uint32", 0, 100_000, None),
            ("float32", 0, 0.8, None),
            ("float32", -5, 2000, None),
        ],
    )
    def test_min_is_white_is_its_twin_inverted(self, dtype, low, high, bits, value_range):
        values = (low + RAMP * (high - low)).astype(dtype)
        dark, light = (
            decode(tiff(values, photometric=kind, bitspersample=bits), value_range)
            for kind in ("minisblack", "miniswhite")
        )
        assert (light == 255 - dark).all()

    def test_min_is_white_of_what_is_not_measured_is_black(self):
        values = RAMP.astype(np.float32)
        values[3, 3], values[5, 5] = np.nan, -9999
        data = tiff(values, photometric="miniswhite", extratags=[(42113, "s", 0, "-9999", True)])
        assert (decode(data)[[3, 5], [3, 5]] == 0).all()

    def test_min_is_white_leaves_alpha_alone(self):
        alpha = np.full((SIDE, SIDE), 65535, np.uint16)
        alpha[:4] = 0
        values = np.stack([(RAMP * 65535).astype(np.uint16), alpha], axis=-1)
        pixels = decode(tiff(values, photometric="miniswhite", planarconfig="contig", extrasamples=["unassalpha"]))
        assert (pixels[:4] == 255).all()
        assert np.abs(pixels[4:, :, 0] - (1 - RAMP[4:]) * 255).max() <= 1

    def test_pixels_without_data_are_black_and_do_not_decide_the_range(self):
        values = (RAMP * 1000).astype(np.float32)
        values[:8] = -9999
        pixels = decode(tiff(values, photometric="minisblack", extratags=[(42113, "s", 0, "-9999", True)]), "minmax")
        assert pixels[:8].max() == 0
        assert (pixels[8, 0, 0], pixels[-1, -1, 0]) == (0, 255)

    def test_a_sixteen_bit_png_of_twelve_bits(self):
        pixels = decode(png_encode((RAMP * 4095).astype(np.uint16)))[..., 0]
        assert np.abs(pixels - RAMP * 255).max() <= 1


class TestMissing:
    """Pixels that GDAL's tag marks as not measured: black, and the others as if all were measured."""

    @staticmethod
    def mark(values: np.ndarray, number: str, **options: Any) -> bytes:
        return tiff(values, extratags=[(42113, "s", 0, number, True)], **options)

    @pytest.mark.parametrize("value_range", ["auto", "full", "minmax"])
    @pytest.mark.parametrize(
        ("dtype", "number", "low", "high"),
        [
            ("uint16", "0", 1000, 3040),
            ("uint16", "65535", 0, 3000),
            ("uint16", "0.0", 30_000, 31_000),
            ("int16", "-32768", 0, 3000),
            ("int16", "-32768", -1024, 3071),
            ("uint32", "0", 1000, 3040),
            ("float32", "-9999", 0.2, 0.9),
            ("float32", "-3.40282346638529e+38", 0, 1),
            ("float16", "-9999", 0, 1000),
        ],
    )
    @pytest.mark.parametrize("draw", [lambda low, high, dtype: (low + RAMP * (high - low)).astype(dtype), colours])
    def test_they_do_not_change_the_others(self, draw, dtype, number, low, high, value_range):
        values = draw(low, high, dtype)
        kind = {"photometric": "rgb" if values.ndim == 3 else "minisblack"}
        expected, holes = decode(tiff(values, **kind), value_range).astype(int), values.copy()
        holes[5, 5], expected[5, 5] = float(number), 0
        pixels = decode(self.mark(holes, number, **kind), value_range)
        assert (pixels[5, 5] == 0).all()
        assert np.abs(pixels - expected).max() <= 1  # of floats one value more or less is clipped

    def test_they_do_not_change_alpha(self):
        values = np.concatenate([colours(0, 4095, np.uint16), np.full((SIDE, SIDE, 1), 65535, np.uint16)], axis=-1)
        options = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
        for number in ("65535", "-1"):
            assert (decode(self.mark(values, number, **options)) == decode(tiff(values, **options))).all()
        values[5, 5, :3] = 0
        assert (decode(self.mark(values, "0", **options))[6:] == decode(tiff(values, **options))[6:]).all()

    @pytest.mark.parametrize("number", ["-9999", "70000", "nan", "", "none"])
    def test_a_number_that_no_pixel_has_marks_none(self, number):
        values = (RAMP * 4095).astype(np.uint16)
        for value_range in ("auto", "minmax"):
            assert (decode(self.mark(values, number), value_range) == decode(tiff(values), value_range)).all()

    @pytest.mark.parametrize("dtype", ["uint16", "float32"])
    def test_not_one_measured_value_is_refused(self, dtype):
        assert "no pixel has a value" in refusal(self.mark(np.full((SIDE, SIDE), 7, dtype), "7"))


class TestColour:
    def check(self, pixels: np.ndarray) -> None:
        expected = colours(0, 255, float)
        assert np.abs(pixels - expected).max() <= 2

    @pytest.mark.parametrize(("dtype", "top"), [("uint16", 4095), ("uint16", 65535), ("float32", 1), ("int32", 1023)])
    @pytest.mark.parametrize("planarconfig", ["contig", "separate"])
    @pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
    def test_tiff(self, dtype, top, planarconfig, photometric):
        values = colours(0, top, dtype)
        values = np.moveaxis(values, -1, 0) if planarconfig == "separate" else values
        self.check(decode(tiff(values, photometric=photometric, planarconfig=planarconfig)))

    @pytest.mark.parametrize("top", [4095, 65535])
    def test_png(self, top):
        self.check(decode(png_encode(colours(0, top, np.uint16))))

    def test_a_colour_of_a_png_that_is_transparent_is_white(self):
        values = colours(0, 65535, np.uint16)
        values[:4] = (1, 2, 3)
        pixels = decode(add_chunk(png_encode(values), make_chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))))
        assert (pixels[:4] == 255).all()
        assert np.abs(pixels[4:] - colours(0, 255, float)[4:]).max() <= 2

    @pytest.mark.parametrize("colour", [2, 6])
    def test_hollow_pngs_leave_no_memory_behind(self, colour):
        data, process = claim_png(2000, 2000, bits=16, colour=colour), psutil.Process()
        before = process.memory_info().vms
        for _ in range(20):  # 24 MB or more each
            with pytest.raises(BadImageError, match="can't be decoded: Not enough image data"):
                decode_image(data, image_size=SIDE, resize="stretch")
        assert process.memory_info().vms - before < 100e6

    @pytest.mark.parametrize("top", [4095, 65535])
    def test_alpha_has_the_full_range_and_a_white_background(self, top):
        values = np.concatenate([colours(0, top, np.uint16), np.full((SIDE, SIDE, 1), 65535, np.uint16)], axis=-1)
        values[:4, :, 3] = 0
        for data in (png_encode(values), tiff(values, photometric="rgb", extrasamples=["unassalpha"])):
            pixels = decode(data)
            assert (pixels[:4] == 255).all()
            assert np.abs(pixels[4:] - colours(0, 255, float)[4:]).max() <= 2

    @pytest.mark.parametrize("value_range", ["auto", "full", "minmax"])
    @pytest.mark.parametrize(
        ("dtype", "top", "opaque"),
        [("uint16", 4095, 65535), ("uint16", 65535, 65535), ("uint32", 4095, 2**32 - 1), ("float32", 1, 1)],
    )
    @pytest.mark.parametrize("planarconfig", ["contig", "separate"])
    @pytest.mark.parametrize("bands", [1, 3])
    def test_colours_multiplied_by_alpha_are_as_those_that_are_not(
        self, bands, planarconfig, dtype, top, opaque, value_range
    ):
        alpha = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))[..., None]
        straight = colours(0, top, dtype)[..., :bands]
        straight[:, -3:] = top  # as bright as it gets, also at the edge of what is opaque
        straight[:, 1] = top
        alpha[:, 1] = 0.001
        whole = (lambda values: np.rint(values).astype(dtype)) if opaque > 1 else (lambda values: values.astype(dtype))
        pictures = []
        for colour, kind in ((straight, "unassalpha"), (whole(straight * alpha), "assocalpha")):
            values = np.concatenate([colour, whole(alpha * opaque)], axis=-1)
            values = np.moveaxis(values, -1, 0) if planarconfig == "separate" else values
            photometric = "rgb" if bands == 3 else "minisblack"
            data = tiff(values, photometric=photometric, planarconfig=planarconfig, extrasamples=[kind])
            pictures.append(decode(data, value_range).astype(int))
        assert np.abs(pictures[0] - pictures[1]).max() <= 1
        assert pictures[0].std() > 20

    @pytest.mark.parametrize("dtype", ["uint16", "float32"])
    def test_what_is_transparent_everywhere_keeps_its_colours(self, dtype):
        values = np.concatenate([colours(0, 4095, dtype), np.zeros((SIDE, SIDE, 1), dtype)], axis=-1)
        for kind in ("assocalpha", "unassalpha"):
            self.check(decode(tiff(values, photometric="rgb", extrasamples=[kind]), "minmax"))

    def test_a_fourth_band_that_is_no_alpha_is_left_out(self):
        values = np.concatenate([colours(0, 1023, np.uint16), np.zeros((SIDE, SIDE, 1), np.uint16)], axis=-1)
        self.check(decode(tiff(values, photometric="minisblack", planarconfig="contig")))

    def test_the_orientation_of_a_tiff_that_pillow_can_not_open(self):
        turned = tiff(np.rot90(colours(0, 1, np.float32)), photometric="rgb", extratags=[(274, "H", 1, 6, True)])
        self.check(decode(turned))

    def test_facts_name_the_number_type(self):
        data = tiff(colours(0, 1, np.float32), photometric="rgb")
        assert inspect_image(data, min_side=8, max_megapixels=1) == ImageFacts(SIDE, SIDE, "float32x3")


class TestRefused:
    def test_bands_that_are_no_colours(self):
        for dtype in (np.uint8, np.float32):
            data = tiff(np.zeros((SIDE, SIDE, 13), dtype), photometric="minisblack", planarconfig="contig")
            assert refusal(data) == (
                "can't be decoded: 13 bands: expected 1, 3 or 4; save those that are red, green and blue"
            )

    def test_complex_numbers(self):
        assert "expected whole or floating-point numbers" in refusal(tiff(RAMP.astype(np.complex64)))

    @pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
    def test_truncated_files(self, part):
        for data in (
            tiff(colours(0, 1, np.float32), photometric="rgb"),
            tiff((RAMP * 4095).astype(np.uint16)),
            png_encode(colours(0, 4095, np.uint16)),
        ):
            assert refusal(data[: int(len(data) * part)]).startswith("can't be decoded: ")

    def test_more_memory_than_its_pixels_say(self):
        data = tiff(np.zeros((400, 400, 3), np.float64), photometric="rgb")
        with pytest.raises(BadImageError, match=r"400x400 pixels, which count as 1 million for their memory"):
            inspect_image(data, min_side=8, max_megapixels=0.5)


def test_the_size_of_a_turned_picture_is_as_shown():
    data = tiff(colours(0, 4095, "uint16")[:16], photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    assert inspect_image(data, min_side=8, max_megapixels=1) == ImageFacts(16, 32, "RGB")
