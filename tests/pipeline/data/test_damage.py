import io

import pytest
from PIL import Image

from pipeline.data.damage import drop_side_chunks, find_damage, has_many_chunks
from pipeline.data.image import BadImageError, inspect_image
from tests.pipeline.data.hostile import (
    add_chunk,
    add_chunks,
    add_scans,
    add_segments,
    claim_jpeg,
    draw,
    encode,
    make_chunk,
)


class TestJpeg:
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}])
    @pytest.mark.parametrize("size", [(1, 1), (8, 8), (300, 200)])
    def test_ordinary_ones_are_not_refused(self, options, size):
        assert find_damage(encode(draw(1, size), "JPEG", **options), "JPEG") == ""

    @pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
    @pytest.mark.parametrize("progressive", [True, False])
    def test_a_blank_page_takes_few_bytes_and_is_not_refused(self, mode, progressive):
        page = Image.new(mode, (4000, 3000), "white" if mode != "CMYK" else 0)
        assert find_damage(encode(page, "JPEG", quality=1, optimize=True, progressive=progressive), "JPEG") == ""

    def test_one_that_claims_more_pixels_than_its_bytes_can_hold_is_refused(self):
        said = find_damage(claim_jpeg(65_500, 1_900), "JPEG")
        assert said.startswith("mostly empty: a JPEG of 65500x1900 pixels has 243,")

    @pytest.mark.parametrize(("more", "is_refused"), [(1, False), (85, False), (100, True), (3000, True)])
    def test_scans_are_counted(self, more, is_refused):
        assert (find_damage(add_scans(more), "JPEG") == "") != is_refused

    @pytest.mark.parametrize(("count", "is_refused"), [(1000, False), (9900, False), (10_001, True), (500_000, True)])
    def test_segments_are_counted(self, count, is_refused):
        assert (find_damage(add_segments(count), "JPEG") == "") != is_refused

    def test_markers_within_other_segments_are_no_scans(self):
        data = encode(draw(1), "JPEG", comment=b"\xff\xda\0\2" * 500)
        assert find_damage(data, "JPEG") == ""

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"exif": True}])
    @pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
    def test_an_end_that_was_never_written_is_refused(self, options, part):
        data = self.draw_large(**options)
        cut = int(len(data) * part)
        unwritten = data[:cut] + bytes(len(data) - cut)
        said = find_damage(unwritten, "JPEG")
        assert said.startswith(f"cut off: a JPEG without its end mark, of whose {len(data):,} bytes the last ")
        with pytest.raises(BadImageError, match=said):
            inspect_image(unwritten, min_side=8, max_megapixels=1)

    @pytest.mark.parametrize("padding", [1, 512, 100_000])
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"exif": True}])
    def test_zeros_behind_the_end_mark_are_no_damage(self, options, padding):
        data = self.draw_large(**options) + bytes(padding)
        assert find_damage(data, "JPEG") == ""
        assert inspect_image(data, min_side=8, max_megapixels=1)

    def test_zeros_behind_other_bytes_behind_the_end_mark_are_no_damage(self):
        assert find_damage(self.draw_large() + b"a maker's notes" + bytes(9000), "JPEG") == ""

    def test_zeros_that_code_a_flat_area_are_no_damage(self):
        page = Image.new("L", (4000, 3000), 128)
        data = encode(page, "JPEG", optimize=True)
        assert find_damage(data, "JPEG") == ""
        assert bytes(64) in data

    def test_zeros_behind_an_end_mark_that_a_broken_segment_hides_are_left_to_the_decoder(self):
        data = bytearray(self.draw_large())
        data[-200:-196] = b"\xff\xe9\xff\xff"
        assert find_damage(bytes(data) + bytes(500), "JPEG") == ""

    @staticmethod
    def draw_large(exif: bool = False, **options) -> bytes:
        """exif: with a small JPEG, which has an end mark, in its EXIF block."""
        noise = Image.effect_noise((300, 200), 60)
        block = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encode(draw(1), "JPEG") if exif else b""
        return encode(noise, "JPEG", exif=block, **options)

    @pytest.mark.parametrize("end", range(0, 700, 7))
    def test_any_beginning_of_a_file_is_looked_at_without_an_error(self, end):
        assert isinstance(find_damage(encode(draw(1), "JPEG", progressive=True)[:end], "JPEG"), str)


class TestPng:
    PLAIN = encode(draw(1), "PNG")

    def test_side_chunks_are_dropped_and_the_others_kept_byte_by_byte(self):
        side = add_chunk(add_chunk(self.PLAIN, make_chunk(b"tEXt", b"a\0b")), make_chunk(b"tIME", b"x"), at_end=True)
        assert drop_side_chunks(side) == drop_side_chunks(self.PLAIN) == self.PLAIN

    def test_transparency_and_orientation_are_kept_if_they_are_whole(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encode(draw(1).quantize(8), "PNG", transparency=0, exif=exif)
        assert drop_side_chunks(data) == data
        broken = add_chunk(self.PLAIN, make_chunk(b"eXIf", exif.tobytes(), crc=1))
        assert drop_side_chunks(broken) == self.PLAIN

    @pytest.mark.parametrize(("count", "has_many"), [(0, False), (7, False), (8, True), (900, True)])
    def test_chunks_are_counted(self, count, has_many):
        assert has_many_chunks(add_chunks(count), 10) == has_many  # three are of the picture

    @pytest.mark.parametrize("end", [0, 8, 9, 20, 33, 41])
    def test_a_file_cut_short_has_few(self, end):
        assert not has_many_chunks(self.PLAIN[:end], 10)

    def test_damaged_pixels_stay_damaged(self):
        broken = bytearray(self.PLAIN)
        broken[self.PLAIN.index(b"IDAT") + 20] ^= 255
        with pytest.raises((OSError, SyntaxError)):
            Image.open(io.BytesIO(drop_side_chunks(bytes(broken)))).load()

    @pytest.mark.parametrize("end", range(8, 200, 9))
    def test_any_beginning_of_a_file_is_its_own(self, end):
        assert self.PLAIN.startswith(drop_side_chunks(self.PLAIN[:end]))
