import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data.guarded import Bounds, make_bounds, map_guarded
from pipeline.data.image import decode_image
from pipeline.data.image_files import (
    FEW,
    Decoding,
    Picture,
    label_by_folder,
    load_pictures,
)
from pipeline.data.picture_paths import list_pictures
from pipeline.sources.formats import MAX_IMAGE_BYTES
from tests.pipeline.data.hostile import add_chunks, add_scans, add_segments, draw, encode, pack_bmp

DECODING = Decoding(image_size=16, resize="stretch", min_side=8, max_megapixels=1.0)


def load(*files: Path | str) -> list[Picture]:
    return list(load_pictures([str(file) for file in files], DECODING))


@pytest.fixture
def reason(tmp_path) -> Callable[[bytes], str]:
    """Why bytes in a file named .jpg can't be used."""

    def write(data: bytes) -> str:
        (tmp_path / "a.jpg").write_bytes(data)
        (picture,) = load(tmp_path / "a.jpg")
        assert (picture.path, picture.pixels) == (str(tmp_path / "a.jpg"), None)
        assert "\n" not in picture.reason
        return picture.reason

    return write


class TestGoodPictures:
    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    def test_they_are_decoded_as_preprocess_does(self, picture_folder, make_image_bytes, resize):
        data = make_image_bytes(seed=1, size=(40, 24), kind="JPEG")
        folder = picture_folder({"a.jpg": data})
        decoding = Decoding(image_size=16, resize=resize, min_side=8, max_megapixels=1.0)
        (picture,) = load_pictures(list_pictures(folder), decoding)
        np.testing.assert_array_equal(picture.pixels, decode_image(data, image_size=16, resize=resize))
        assert (picture.pixels.shape, picture.pixels.dtype, picture.reason) == ((16, 16, 3), np.uint8, "")

    @pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
    def test_every_colour_mode_becomes_rgb(self, tmp_path, mode):
        image = Image.fromarray(np.full((20, 20), 40000, np.uint16)) if mode == "I;16" else Image.new(mode, (20, 20))
        image.save(tmp_path / "a.tif")
        (picture,) = load(tmp_path / "a.tif")
        assert picture.pixels.shape == (16, 16, 3)

    def test_the_content_of_a_file_decides_not_its_extension(self, picture_folder, make_image_bytes):
        folder = picture_folder({"a.jpg": make_image_bytes(kind="PNG"), "b.text": make_image_bytes()})
        assert [picture.reason for picture in load(folder / "a.jpg", folder / "b.text")] == ["", ""]

    def test_the_limits_of_size_themselves_are_allowed(self, picture_folder, make_image_bytes):
        sizes = {"small.png": (8, 8), "large.png": (1000, 1000), "long.png": (8, 2000)}
        folder = picture_folder({name: make_image_bytes(size=size) for name, size in sizes.items()})
        assert [picture.reason for picture in load_pictures(list_pictures(folder), DECODING)] == [""] * 3


class TestBadFiles:
    """None raises an error; each has a short reason."""

    def test_a_missing_file(self, tmp_path):
        (picture,) = load(tmp_path / "a.jpg")
        assert picture == Picture(str(tmp_path / "a.jpg"), None, "does not exist")

    def test_a_link_to_nothing(self, tmp_path):
        (tmp_path / "a.jpg").symlink_to("gone.jpg")
        assert load(tmp_path / "a.jpg")[0].reason == "is a link to a file that does not exist"

    def test_a_folder(self, tmp_path):
        (tmp_path / "a.jpg").mkdir()
        assert load(tmp_path / "a.jpg")[0].reason == "is a folder"

    @pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
    def test_a_file_without_permission(self, picture_folder, make_image_bytes):
        folder = picture_folder({"a.jpg": make_image_bytes()})
        (folder / "a.jpg").chmod(0)
        assert load(folder / "a.jpg")[0].reason == "no permission to read it"

    @pytest.mark.parametrize(
        ("number", "words"),
        [(errno.EACCES, "no permission to read it"), (errno.EIO, "not readable: Input/output error")],
    )
    def test_an_error_of_the_disk(self, picture_folder, make_image_bytes, monkeypatch, number, words):
        def refuse(self: Path) -> bytes:
            raise OSError(number, os.strerror(number), str(self))

        folder = picture_folder({"a.jpg": make_image_bytes()})
        monkeypatch.setattr(Path, "read_bytes", refuse)
        assert load(folder / "a.jpg")[0].reason == words

    def test_a_name_that_is_too_long(self, tmp_path):
        assert load(tmp_path / ("a" * 300 + ".jpg"))[0].reason == "not readable: File name too long"

    def test_text(self, reason):
        assert reason(b"hello") == "not an image: no known format in its first bytes"

    def test_an_empty_file(self, reason):
        assert reason(b"") == "empty: 0 bytes"

    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
    def test_a_truncated_jpeg(self, reason, make_image_bytes, kept):
        data = make_image_bytes(seed=1, size=(64, 64), kind="JPEG")
        assert reason(data[: int(kept * len(data))]).startswith("can't be decoded: ")

    @pytest.mark.parametrize("size", [(7, 100), (100, 7), (1, 1)])
    def test_too_few_pixels(self, reason, make_image_bytes, size):
        shown = f"{size[0]}x{size[1]}"
        assert reason(make_image_bytes(size=size)) == f"too small: {shown} pixels, prune.min_side is 8"

    def test_too_many_pixels(self, reason, make_image_bytes):
        assert reason(make_image_bytes(size=(1001, 1000))) == ("too large: 1001x1000 pixels, prune.max_megapixels is 1")

    def test_too_many_bytes_are_not_read(self, tmp_path):
        with (tmp_path / "a.jpg").open("wb") as file:
            file.truncate(MAX_IMAGE_BYTES + 1)  # a hole: no disk is filled
        assert load(tmp_path / "a.jpg")[0].reason == "too large: 537 MB"

    def test_the_other_files_are_decoded(self, picture_folder, make_image_bytes):
        folder = picture_folder(
            {"a.jpg": b"hello", "b.jpg": make_image_bytes(), "c.jpg": b"", "d.png": make_image_bytes()}
        )
        pictures = list(load_pictures(list_pictures(folder), DECODING))
        assert [picture.pixels is None for picture in pictures] == [True, False, True, False]
        assert [bool(picture.reason) for picture in pictures] == [True, False, True, False]


class TestManyFiles:
    @pytest.fixture
    def many(self, picture_folder) -> list[str]:
        """150 different pictures, the 101st of them damaged."""
        files = list(list_pictures(picture_folder({"a": 100, "b": 50})))
        Path(files[100]).write_bytes(b"hello")
        return files

    @pytest.mark.parametrize("number", [0, 1, 31, 32, 33, FEW - 1, FEW, FEW + 1, FEW + 2, 97, 150])
    @pytest.mark.usefixtures("one_core")
    def test_every_file_comes_once_and_in_order(self, many, number):
        pictures = list(load_pictures(many[:number], DECODING))
        assert [picture.path for picture in pictures] == many[:number]

    def test_other_processes_give_the_same_pixels(self, many):
        spread = list(load_pictures(many, DECODING))
        alone = [picture for path in many for picture in load_pictures([path], DECODING)]
        assert [(picture.path, picture.reason) for picture in spread] == [(one.path, one.reason) for one in alone]
        assert [picture.pixels is None for picture in spread] == [n == 100 for n in range(len(many))]
        for picture, one in zip(spread, alone, strict=True):
            np.testing.assert_array_equal(picture.pixels, one.pixels)

    @pytest.mark.parametrize(("number", "is_guarded"), [(1, False), (FEW, False), (FEW + 1, True), (150, True)])
    def test_other_processes_are_started_for_more_than_64_files(self, many, monkeypatch, number, is_guarded):
        asked: list[Bounds] = []

        def note(*arguments: Any, bounds: Bounds, **options: Any) -> Iterator:
            asked.append(bounds)
            return map_guarded(*arguments, bounds=bounds, **options)

        monkeypatch.setattr("pipeline.data.image_files.map_guarded", note)
        assert len(list(load_pictures(many[:number], DECODING))) == number
        assert asked == [make_bounds(max_seconds=30, max_megapixels=1)] * is_guarded

    def test_of_few_files_those_that_may_take_long_are_guarded_and_all_come_in_order(
        self, picture_folder, make_image_bytes, tmp_path
    ):
        limits = Decoding(image_size=16, resize="stretch", min_side=8, max_megapixels=128.0, max_seconds=0.2)
        (tmp_path / "scans.jpg").write_bytes(add_scans(80, (6000, 6000)))
        (tmp_path / "small.tif").write_bytes(make_image_bytes(kind="TIFF"))
        fine = list(list_pictures(picture_folder({"a": 3})))
        files = [fine[0], str(tmp_path / "scans.jpg"), fine[1], str(tmp_path / "small.tif"), fine[2]]
        pictures = list(load_pictures(files, limits))
        assert [picture.path for picture in pictures] == files
        assert [picture.pixels is not None for picture in pictures] == [True, False, True, True, True]
        assert "takes too long" in pictures[1].reason

    @pytest.mark.parametrize(
        ("name", "data", "is_guarded"),
        [
            ("small.png", encode(draw(1), "PNG"), False),
            ("small.bmp", pack_bmp(8, 8, b"\x08\x10\0\0" * 8), False),
            ("segments.jpg", add_segments(500_000), False),  # refused before it is decoded
            ("chunks.png", add_chunks(6000), True),
            ("packed.bmp", pack_bmp(1200, 1200, b"\x01\x10" * 600_000), True),
            ("plain.bmp", encode(draw(1, (700, 700)), "BMP"), False),
            ("long.gif", encode(draw(1), "GIF") + bytes(1 << 20), True),
            ("large.png", encode(Image.new("L", (4100, 4100)), "PNG", compress_level=1), True),
            ("small.tif", encode(draw(1), "TIFF"), True),
        ],
    )
    def test_a_single_file_is_guarded_if_it_may_take_seconds(self, tmp_path, monkeypatch, name, data, is_guarded):
        asked: list[list[str]] = []

        def note(chunks: Iterator[list[str]], _: Decoding) -> Iterator[Picture]:
            for chunk in chunks:
                asked.append(chunk)
                yield from (Picture(path, None, "guarded") for path in chunk)

        monkeypatch.setattr("pipeline.data.image_files.load_guarded", note)
        file = str(tmp_path / name)
        Path(file).write_bytes(data)
        [picture] = load_pictures([file], replace(DECODING, max_megapixels=32.0))
        assert asked == [[file]] * is_guarded
        assert (picture.reason == "guarded") == is_guarded

    def test_closing_the_iterator_early_does_not_read_the_rest(self, many):
        taken: list[int] = []

        def endless() -> Iterator[str]:
            for number in count():
                taken.append(number)
                yield many[number % 50]

        pictures = load_pictures(endless(), DECODING)
        for _ in range(3):
            next(pictures)
        pictures.close()
        assert len(taken) < 1000


class TestLabelling:
    @pytest.mark.parametrize(
        ("path", "label"),
        [
            ("cat/1.png", "cat"),
            ("outside/dog/2024/1.png", "dog"),
            ("cat/dog/1.png", "dog"),  # the nearest
            ("/srv/cat/1.png", "cat"),
            ("it's, a/1.png", "it's, a"),
            ("猫/1.png", "猫"),
            ("1.png", ""),
            ("cats/1.png", ""),
            ("Cat/1.png", ""),
            ("emu/cat", ""),  # a file, not a folder
            ("emu/cat.png", ""),
        ],
    )
    def test_the_label_is_the_nearest_folder_named_after_a_class(self, path, label):
        assert label_by_folder(path, ["cat", "dog", "it's, a", "猫"]) == label

    def test_a_folder_of_another_unicode_form_is_named_after_the_class_as_in_a_source(self):
        assert label_by_folder("Ba\u0308ume/1.png", ["B\u00e4ume", "Meer"]) == "B\u00e4ume"

    @pytest.mark.parametrize(
        ("path", "label"),
        [
            ("Ka\u0308fer/1.png", "insect"),
            ("insect/1.png", "insect"),
            ("cat/1.png", "cat"),  # two classes that changed names: those after it count
            ("dog/1.png", "dog"),
            ("gone/1.png", ""),
        ],
    )
    def test_a_folder_may_be_named_as_before_merging(self, path, label):
        renamed = {"K\u00e4fer": "insect", "cat": "dog", "dog": "cat", "gone": "a class without pictures"}
        assert label_by_folder(path, ["insect", "cat", "dog"], renamed) == label

    def test_without_classes_there_is_no_label(self):
        assert label_by_folder("cat/1.png", []) == ""
