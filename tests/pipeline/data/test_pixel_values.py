import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data import pixel_values
from pipeline.data.kept_parts import open_parts
from pipeline.data.pixel_values import PIXEL_COLUMNS, count_values, make_pixel_table, measure_originals
from pipeline.data.raw import load_index, save_raw
from pipeline.sources.raw_image import RawImage

pytestmark = pytest.mark.usefixtures("project", "one_core")


def encode(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def store(pictures: dict[str, tuple[bytes, tuple[int, int]]]) -> pd.DataFrame:
    """Puts pictures into data/raw; name: <split>/<number>. Each has its encoded bytes, and its width and height."""
    save_raw((RawImage(name, "cat", "", data) for name, (data, _) in pictures.items()), {"source": "folder"})
    table = load_index().assign(split=lambda t: t["name"].str.partition("/")[0])
    sizes = pd.DataFrame([size for _, size in pictures.values()], columns=["width", "height"])
    ids = [f"{number:064d}" for number in range(len(table))]
    return pd.concat([table.assign(image_id=ids), sizes], axis=1)


def shade(value: int, size: tuple[int, int] = (6, 4)) -> tuple[bytes, tuple[int, int]]:
    return encode(np.full((size[1], size[0], 3), value, np.uint8)), size


def get_range(values: np.ndarray) -> tuple[int, int]:
    present = np.flatnonzero(values)
    return int(present[0]), int(present[-1])


class TestCounting:
    def test_values_of_all_channels_are_counted(self):
        pixels = np.array([[[0, 0, 7], [255, 7, 7]]], np.uint8)
        counted = count_values(Image.fromarray(pixels))
        assert counted.sum() == 6
        assert counted[[0, 7, 255]].tolist() == [2, 3, 1]


class TestOriginals:
    def test_each_split_has_its_own(self):
        found = measure_originals(store({"train/0": shade(3), "train/1": shade(9), "test/0": shade(200)}), "auto", 1)
        assert {split: images for split, (images, _) in found.items()} == {"train": 2, "val": 0, "test": 1}
        assert get_range(found["train"][1]) == (3, 9)
        assert get_range(found["test"][1]) == (200, 200)
        assert found["val"][1].sum() == 0

    def test_all_pixels_of_a_large_jpeg_count_not_those_of_a_reduced_one(self):
        pixels = np.full((512, 512), 128, np.uint8)
        pixels[::2, ::2] = 255  # a reduced scale would average this away
        data = encode(pixels, "JPEG", quality=100, subsampling=0)
        values = measure_originals(store({"train/0": (data, (512, 512))}), "auto", 1)["train"][1]
        assert values.sum() == 3 * 512 * 512
        assert get_range(values)[1] >= 250

    def test_a_grey_or_transparent_picture_is_counted_as_the_rgb_that_models_see(self):
        grey = encode(np.full((4, 6), 40, np.uint8)), (6, 4)
        clear = np.zeros((4, 6, 4), np.uint8)
        clear[0, 0] = (10, 10, 10, 255)
        found = measure_originals(store({"train/0": grey, "test/0": (encode(clear), (6, 4))}), "auto", 1)
        assert get_range(found["train"][1]) == (40, 40)
        assert get_range(found["test"][1]) == (10, 255)  # white shows through

    def test_of_more_pixels_than_the_budget_a_sample_is_decoded(self):
        table = store({f"train/{number}": shade(number) for number in range(20)})
        images, values = measure_originals(table, "auto", 1, budget=5 * 24)["train"]
        assert images == 5
        assert values.sum() == 5 * 24 * 3
        again = measure_originals(table.iloc[::-1], "auto", 1, budget=5 * 24)["train"]
        assert (again[1] == values).all()

    def test_a_single_picture_above_the_budget_is_decoded_all_the_same(self):
        assert measure_originals(store({"train/0": shade(5)}), "auto", 1, budget=1)["train"][0] == 1

    def test_the_number_of_workers_changes_nothing(self):
        table = store({f"train/{number}": shade(number) for number in range(4)})
        one, two = (measure_originals(table, "auto", workers)["train"] for workers in (1, 2))
        assert (one[1] == two[1]).all()

    def test_a_split_that_a_killed_run_has_finished_is_not_decoded_again(self, tmp_path, monkeypatch):
        table = store({f"{split}/{number}": shade(number) for split in ("train", "test") for number in range(4)})
        expected, parts = measure_originals(table, "auto", 1), open_parts(tmp_path / "measured", "key")
        decode, decoded = pixel_values.decode_original, []

        def count(data: bytes, **options: object) -> Image.Image:
            if len(decoded) == 6:
                raise KeyboardInterrupt
            decoded.append(data)
            return decode(data, **options)

        monkeypatch.setattr(pixel_values, "decode_original", count)
        with pytest.raises(KeyboardInterrupt):
            measure_originals(table, "auto", 1, parts=parts)
        decoded.clear()
        again = measure_originals(table, "auto", 1, parts=parts)
        assert len(decoded) == 4, "the second split, of which two were decoded"
        for split, (images, values) in expected.items():
            assert again[split][0] == images
            assert (again[split][1] == values).all()


class TestTable:
    VALUES = np.bincount([0, 0, 3, 255], minlength=256)
    NONE = np.zeros(256, np.int64)

    def make(self, **splits: np.ndarray) -> pd.DataFrame:
        found = {name: (7, splits.get(name, self.NONE)) for name in ("train", "val", "test")}
        return make_pixel_table(found, found)

    def test_it_has_the_range_and_the_shares_of_black_and_white(self):
        table = self.make(train=self.VALUES)
        assert table.columns.tolist() == PIXEL_COLUMNS
        assert table.to_numpy().tolist() == [["train", stage, 7, 0, 255, 0.5, 0.25] for stage in ("before", "after")]

    def test_a_split_without_images_has_no_row(self):
        assert self.make(test=self.VALUES)["split"].tolist() == ["test", "test"]
        assert self.make().empty
