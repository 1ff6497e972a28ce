import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.data.image import BadImageError, ImageFacts, compute_image_id, decode_image, inspect_image
from tests.pipeline.data.hostile import add_chunk, make_chunk

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(data: bytes, image_size: int = 16, resize: str = "stretch") -> np.ndarray:
    return decode_image(data, image_size=image_size, resize=resize)


def inspect(data: bytes, min_side: int = 8, max_megapixels: float = 128.0) -> ImageFacts:
    return inspect_image(data, min_side=min_side, max_megapixels=max_megapixels)


def colour(data: bytes) -> list[int]:
    """The colour of an image that has only one."""
    pixels = decode(data)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].tolist()


def png(width: int, height: int, *, bits: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file, also of kinds that Pillow reads but does not write. rows: each begins with its filter byte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class TestIdentity:
    def test_is_the_sha256_of_the_encoded_bytes(self):
        assert compute_image_id(b"cat") == "77af778b51abd4a3c51c5ddd97204a9c3ae614ebccb75a606c3b6865aed6744e"


class TestOrientation:
    """An image whose top left quarter is red, stored in each of the eight orientations of EXIF."""

    UPRIGHT = np.zeros((16, 24, 3), np.uint8)
    UPRIGHT[:8, :12] = RED
    UPRIGHT[:8, 12:] = (0, 0, 255)

    STORED = {  # noqa: RUF012
        1: UPRIGHT,
        2: UPRIGHT[:, ::-1],
        3: UPRIGHT[::-1, ::-1],
        4: UPRIGHT[::-1],
        5: UPRIGHT.transpose(1, 0, 2),
        6: np.rot90(UPRIGHT, 1),
        7: np.rot90(UPRIGHT, 2).transpose(1, 0, 2),
        8: np.rot90(UPRIGHT, -1),
    }

    def store(self, orientation: int, kind: str) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
        return encode(Image.fromarray(np.ascontiguousarray(self.STORED[orientation])), kind, exif=exif, **options)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_applied_to_the_pixels(self, orientation, kind):
        pixels = decode(self.store(orientation, kind), 16).astype(int)
        expected = decode(encode(Image.fromarray(self.UPRIGHT)), 16)
        assert np.abs(pixels - expected).max() <= 6  # the error of JPEG

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_applied_to_the_size(self, orientation):
        assert inspect(self.store(orientation, "JPEG")) == ImageFacts(24, 16, "RGB")

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("exif", [b"Exif\0\0 no TIFF header", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01", b"garbage"])
    def test_is_upright_if_the_exif_block_is_damaged(self, kind, exif):
        data = encode(Image.fromarray(self.UPRIGHT), kind, exif=exif)
        assert inspect(data) == ImageFacts(24, 16, "RGB")
        assert decode(data)[0, 0, 0] > 200

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_is_upright_if_the_value_is_invalid(self, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert inspect(encode(Image.fromarray(self.UPRIGHT), exif=exif)) == ImageFacts(24, 16, "RGB")


class TestColour:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP", "TIFF", "JPEG"])
    def test_every_format_is_decoded(self, kind):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert np.abs(np.subtract(colour(encode(Image.new("RGB", (20, 20), RED), kind, **options)), RED)).max() <= 2

    def test_palette(self):
        image = Image.new("RGB", (20, 20), (10, 200, 30)).quantize(8)
        assert image.mode == "P"
        assert colour(encode(image)) == [10, 200, 30]

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_a_transparent_palette_entry_becomes_white(self, kind):
        image = Image.new("P", (20, 20), 1)
        image.putpalette([0, 0, 0, 10, 200, 30])
        assert colour(encode(image, kind, transparency=0)) == [10, 200, 30]
        image.paste(0, (0, 0, 20, 10))
        pixels = decode(encode(image, kind, transparency=1), 20)
        assert pixels[:10].tolist() == [[[0, 0, 0]] * 20] * 10
        assert (pixels[10:] == 255).all()

    def test_grey(self):
        assert colour(encode(Image.new("L", (20, 20), 77))) == [77, 77, 77]

    @pytest.mark.parametrize(("alpha", "expected"), [(255, 100), (1, 254), (128, 177)])
    def test_grey_with_alpha_gets_a_white_background(self, alpha, expected):
        assert colour(encode(Image.new("LA", (20, 20), (100, alpha)))) == pytest.approx([expected] * 3, abs=1)

    @pytest.mark.parametrize(("alpha", "expected"), [(255, RED), (1, (255, 254, 254)), (128, (255, 127, 127))])
    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_colour_with_alpha_gets_a_white_background(self, alpha, expected, kind):
        assert colour(encode(Image.new("RGBA", (20, 20), (*RED, alpha)), kind)) == pytest.approx(list(expected), abs=1)

    @pytest.mark.parametrize(
        ("bands", "photometric", "alpha", "expected"),
        [
            (1, "minisblack", 255, 100),
            (1, "minisblack", 128, 177),
            (1, "minisblack", 0, 100),  # everywhere: as if it were opaque
            (3, "rgb", 255, 100),
            (3, "rgb", 128, 177),
        ],
    )
    def test_colour_multiplied_by_alpha_gets_a_white_background(self, bands, photometric, alpha, expected):
        values = np.full((20, 20, bands + 1), round(100 * (alpha or 255) / 255), np.uint8)
        values[..., -1] = alpha
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, photometric=photometric, planarconfig="contig", extrasamples=["assocalpha"])
        assert inspect(buffer.getvalue())
        assert colour(buffer.getvalue()) == pytest.approx([expected] * 3, abs=1)

    def test_a_transparent_colour_without_an_alpha_channel_becomes_white(self):
        for mode, shown, hidden in (("RGB", RED, (1, 2, 3)), ("L", 9, 77)):
            image = Image.new(mode, (20, 20), hidden)
            image.paste(shown, (0, 0, 20, 10))
            pixels = decode(encode(image, transparency=hidden), 20)
            assert (pixels[:10] == shown).all()
            assert (pixels[10:] == WHITE).all()

    @pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
    @pytest.mark.parametrize("part", [0, 0.34, 0.7, 1])
    def test_a_transparent_grey_becomes_white_at_every_depth(self, bits, part):
        most = 2**bits - 1
        hidden = round(part * most)
        row = [0, most, hidden, max(hidden - 1, 0), min(hidden + 1, most)] + [0] * 11
        packed = int.from_bytes(b"".join(value.to_bytes(2) for value in row)) if bits == 16 else 0
        for value in row if bits < 16 else ():
            packed = packed << bits | value
        plain = png(16, 16, bits=bits, colour_type=0, rows=(b"\0" + packed.to_bytes(2 * bits)) * 16)
        pixels, bare = decode(add_chunk(plain, make_chunk(b"tRNS", struct.pack(">H", hidden)))), decode(plain)
        expected = [[255] * 3 if value == hidden else seen for value, seen in zip(row, bare[0].tolist(), strict=True)]
        assert pixels.tolist() == [expected] * 16

    def test_a_deep_picture_of_nothing_but_the_transparent_grey_keeps_it(self):
        plain = png(16, 16, bits=16, colour_type=0, rows=(b"\0" + b"\x80\x80" * 16) * 16)
        assert colour(add_chunk(plain, make_chunk(b"tRNS", b"\x80\x80"))) == [128, 128, 128]

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_an_image_that_is_transparent_everywhere_keeps_its_colours(self, kind, mode):
        if kind == "WEBP" and mode == "LA":
            pytest.skip("WebP has no grey")
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).convert(mode[:-1])
        bare = np.asarray(image.convert("RGB"))
        image.putalpha(0)
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        assert (decode(encode(image, kind, **options)) == bare).all()

    def test_lab_becomes_rgb(self):
        data = encode(Image.new("LAB", (20, 20), (138, 81 + 128, 70 - 128 + 256)), "TIFF")
        assert inspect(data).mode == "LAB"
        red, green, blue = colour(data)
        assert (red > 180, green < 80, blue < 80) == (True, True, True)

    def test_cmyk_jpeg(self):
        data = encode(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=100)
        assert inspect(data).mode == "CMYK"
        assert colour(data) == pytest.approx([255, 0, 0], abs=3)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    @pytest.mark.parametrize(("value", "expected"), [(0, 0), (65535, 255), (32896, 128), (257, 128)])
    def test_sixteen_bit_grey(self, kind, value, expected):
        data = encode(Image.fromarray(np.full((20, 20), value, np.uint16)), kind)
        assert inspect(data).mode.startswith("I")
        assert colour(data) == [expected] * 3

    def test_sixteen_bit_colour(self):
        row = b"\0" + np.tile(np.array([65535, 0, 32896], ">u2"), 20).tobytes()
        assert colour(png(20, 20, bits=16, colour_type=2, rows=row * 20)) == [255, 0, 128]

    @pytest.mark.parametrize(("top", "expected"), [(1.0, 128), (255.0, 1), (65535.0, 0)])
    def test_the_range_of_floating_point_values_is_inferred(self, top, expected):
        values = np.full((20, 20), 0.5, np.float32)
        values[0, 0] = top
        pixels = decode(encode(Image.fromarray(values), "TIFF"), 20)
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[9, 9].tolist() == [expected] * 3

    def test_nan_is_black(self):
        values = np.tile(np.float32([1, np.nan]), (20, 10))
        assert decode_image(encode(Image.fromarray(values), "TIFF"), image_size=20, resize="stretch").min() == 0

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_one_measured_value_is_refused(self, value):
        values = np.full((20, 20), value, np.float32)
        with pytest.raises(BadImageError, match="no pixel has a value"):
            inspect(encode(Image.fromarray(values), "TIFF"))

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
    @pytest.mark.parametrize(("value", "expected"), [(0, 0), (1, 255)])
    def test_one_bit(self, kind, value, expected):
        data = encode(Image.new("1", (20, 20), value), kind)
        assert inspect(data).mode == "1"
        assert colour(data) == [expected] * 3

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_the_first_frame_of_an_animation_is_used(self, kind):
        frames = [Image.new("RGB", (20, 20), shade) for shade in (RED, (0, 255, 0), (0, 0, 255))]
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        with Image.open(io.BytesIO(data)) as image:
            assert image.n_frames == 3
        assert colour(data) == list(RED)


class TestBadFiles:
    """Both functions refuse them, with a reason that a person understands."""

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "empty: 0 bytes"),
            (b"this is a text that somebody named cat.jpg", "not an image"),
            (b"\xff\xd8\xff\xe0", "can't be decoded: damaged JPEG header: "),
            (b"\x89PNG\r\n\x1a\n", "can't be decoded: damaged PNG header: "),
            (b"GIF89a", "can't be decoded: damaged GIF header: "),
            (b"II*\0", "can't be decoded: damaged TIFF header: "),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"x" * 300, "damaged AVIF header: .*BMFF parsing failed"),
            (b"%PDF-1.4 and so on", "not an image: a PDF document"),
            (b"\0" * 1000, "not an image: 1,000 bytes, all 0"),
        ],
    )
    def test_bytes_that_are_not_an_image(self, data, reason):
        for look in (inspect, decode):
            with pytest.raises(BadImageError, match=reason):
                look(data)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "TIFF"])
    @pytest.mark.parametrize("part", [0.5, 0.9])
    def test_a_truncated_image(self, make_image_bytes, kind, part):
        data = make_image_bytes(kind=kind, seed=1, size=(200, 200))
        for look in (inspect, decode):
            with pytest.raises(BadImageError, match="can't be decoded"):
                look(data[: int(len(data) * part)])

    @pytest.mark.parametrize("options", [{}, {"progressive": True}])
    def test_a_large_truncated_jpeg_which_is_checked_at_a_smaller_scale(self, make_image_bytes, options):
        data = make_image_bytes(kind="JPEG", seed=1, size=(1600, 1200), **options)
        assert inspect(data) == ImageFacts(1600, 1200, "RGB")
        with pytest.raises(BadImageError, match="truncated"):
            inspect(data[: len(data) * 2 // 3])

    @pytest.mark.parametrize("part", [0.01, 0.5, 0.9])
    def test_a_truncated_webp_is_said_to_be_cut_off(self, make_image_bytes, part):
        data = make_image_bytes(kind="WEBP", seed=1, size=(200, 200))
        with pytest.raises(BadImageError, match=rf"cut off: a WebP of {len(data):,} bytes, of which [\d,]+ are here"):
            inspect(data[: int(len(data) * part)])

    def test_only_one_colour_if_that_is_asked_for(self, make_image_bytes):
        strict = {"min_side": 8, "max_megapixels": 1.0, "refuse_constant": True}
        for mode, colours in (("RGB", RED), ("L", 7), ("RGBA", (*RED, 0))):
            with pytest.raises(BadImageError, match=r"^constant: after decoding all pixels are \(\d+, \d+, \d+\)$"):
                inspect_image(make_image_bytes(colours, mode=mode), **strict)
        assert inspect_image(make_image_bytes(seed=1), **strict) == ImageFacts(32, 24, "RGB")

    @pytest.mark.parametrize("mode", ["L", "RGB"])
    @pytest.mark.parametrize("is_fine", [True, False])
    def test_not_a_large_jpeg_of_fine_texture(self, mode, is_fine):
        """Which is checked at an eighth of its size, where it is flat."""
        rows, columns = np.indices((1024, 1024))
        board = ((rows + columns) % 2 * 255).astype(np.uint8) if is_fine else np.full((1024, 1024), 127, np.uint8)
        file = io.BytesIO()
        Image.fromarray(board).convert(mode).save(file, "JPEG", quality=95)
        strict = {"min_side": 8, "max_megapixels": 2.0, "refuse_constant": True}
        if is_fine:
            assert inspect_image(file.getvalue(), **strict) == ImageFacts(1024, 1024, mode)
        else:
            with pytest.raises(BadImageError, match=r"^constant: after decoding all pixels are \(127, 127, 127\)$"):
                inspect_image(file.getvalue(), **strict)

    @pytest.mark.parametrize(
        ("kind", "mode", "weight"), [("PNG", "RGB", 1), ("JPEG", "RGB", 1), ("PNG", "RGBA", 2), ("WEBP", "RGB", 2)]
    )
    def test_pixels_count_by_the_memory_that_they_take(self, make_image_bytes, kind, mode, weight):
        data = make_image_bytes(RED if mode == "RGB" else (*RED, 9), mode=mode, kind=kind, size=(100, 100))
        assert inspect(data, max_megapixels=0.01 * weight)
        with pytest.raises(BadImageError, match=r"^too large: 100x100 pixels.*, prune\.max_megapixels is "):
            inspect(data, max_megapixels=0.01 * weight - 0.001)

    @pytest.mark.parametrize("size", [(1, 1), (7, 500), (500, 7)])
    def test_too_small(self, make_image_bytes, size):
        with pytest.raises(BadImageError, match=rf"too small: {size[0]}x{size[1]} pixels, prune\.min_side is 8"):
            inspect(make_image_bytes(size=size))

    def test_the_limits_themselves_are_allowed(self, make_image_bytes):
        assert inspect(make_image_bytes(size=(8, 8))) == ImageFacts(8, 8, "RGB")
        assert inspect(make_image_bytes(size=(100, 100)), max_megapixels=0.01) == ImageFacts(100, 100, "RGB")

    def test_an_image_of_one_pixel_can_be_allowed(self, make_image_bytes):
        data = make_image_bytes(RED, size=(1, 1))
        assert inspect(data, min_side=1) == ImageFacts(1, 1, "RGB")
        assert colour(data) == list(RED)

    def test_too_large_is_decided_from_the_header_alone(self):
        data = png(20_000, 20_000, bits=1, colour_type=0, rows=b"")  # without pixels, which nobody should try to decode
        with pytest.raises(BadImageError, match=r"too large: 20000x20000 pixels, prune\.max_megapixels is 128"):
            inspect(data)


class TestResize:
    """An image three times as wide as high: red, green and blue squares of 30 px side by side."""

    @pytest.fixture
    def wide(self) -> bytes:
        image = Image.new("RGB", (90, 30))
        for column, shade in enumerate((RED, (0, 255, 0), (0, 0, 255))):
            image.paste(shade, (30 * column, 0, 30 * column + 30, 30))
        return encode(image)

    @pytest.fixture
    def high(self, wide) -> bytes:
        return encode(Image.open(io.BytesIO(wide)).transpose(Image.Transpose.ROTATE_270))

    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    @pytest.mark.parametrize("side", [8, 30, 31, 64, 150])
    def test_the_result_is_a_square_of_the_given_size(self, wide, high, resize, side):
        assert decode(wide, side, resize).shape == (side, side, 3)
        assert decode(high, side, resize).shape == (side, side, 3)

    def test_stretch_keeps_everything_and_changes_the_aspect_ratio(self, wide):
        pixels = decode(wide, 30, "stretch")
        assert pixels[:, [0, 15, 29]].argmax(axis=2).tolist() == [[0, 1, 2]] * 30

    def test_crop_keeps_the_middle(self, wide, high):
        assert (decode(wide, 30, "crop") == (0, 255, 0)).all()
        assert (decode(high, 30, "crop") == (0, 255, 0)).all()

    def test_letterbox_keeps_everything_between_black_bars(self, wide):
        pixels = decode(wide, 30, "letterbox")
        assert (pixels[:10] == BLACK).all()
        assert (pixels[20:] == BLACK).all()
        assert (pixels[10:20, 2:8] == RED).all()
        assert (pixels[10:20, 12:18] == (0, 255, 0)).all()
        assert (pixels[10:20, 22:28] == (0, 0, 255)).all()

    def test_letterbox_of_a_high_image_has_bars_left_and_right(self, high):
        pixels = decode(high, 30, "letterbox")
        assert (pixels[:, :10] == BLACK).all()
        assert (pixels[:, 20:] == BLACK).all()
        assert (pixels[2:8, 10:20] == RED).all()

    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    def test_a_square_of_the_right_size_is_unchanged(self, resize):
        pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        assert (decode(encode(Image.fromarray(pixels)), 32, resize) == pixels).all()

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_shrinking_averages_over_all_pixels(self, kind):
        board = (np.indices((400, 400)).sum(axis=0) % 2 * 255).astype(np.uint8)
        options = {"quality": 100} if kind == "JPEG" else {}
        assert np.abs(decode(encode(Image.fromarray(board), kind, **options)).astype(int) - 128).max() <= 3

    def test_a_large_jpeg_decoded_at_a_small_scale_keeps_its_content(self):
        ramp = np.tile(np.linspace(0, 255, 1600).astype(np.uint8), (1200, 1))
        pixels = decode(encode(Image.fromarray(ramp), "JPEG", quality=95), 16)[:, :, 0]
        assert np.abs(pixels - (np.arange(16) + 0.5) * 255 / 16).max() <= 3

    @pytest.mark.parametrize("side", [31, 32])
    @pytest.mark.parametrize("size", [(1200, 9), (9, 1200), (3000, 1)])
    def test_letterbox_of_a_strip_is_a_line_in_the_middle(self, make_image_bytes, size, side):
        pixels = decode(make_image_bytes(RED, size=size), side, "letterbox")
        line = pixels if size[0] > size[1] else pixels.transpose(1, 0, 2)
        assert (line == RED).all(axis=(1, 2)).nonzero()[0].tolist() == [round((side - 1) / 2)]
        assert line.sum() == 255 * side

    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    @pytest.mark.parametrize("size", [(1, 3000), (3000, 1)])
    def test_images_one_pixel_wide_or_high_are_resized(self, make_image_bytes, resize, size):
        assert decode(make_image_bytes(size=size), 16, resize).shape == (16, 16, 3)

    def test_an_unknown_policy_is_refused(self, wide):
        with pytest.raises(BadImageError, match="expected stretch, crop or letterbox"):
            decode(wide, 16, "fit")
