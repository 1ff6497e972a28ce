from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from pipeline.report.sections.data import count_shapes, describe_augmentation, describe_shapes, summarize_light
from tests.pipeline.report.pictures import decode
from tests.results import guess, make_results

LABELS = np.arange(6) % 2


def sized(*sizes: tuple[int, int], mode: str = "RGB") -> pd.DataFrame:
    return pd.DataFrame(sizes, columns=["width", "height"]).assign(mode=mode)


class TestShapes:
    def test_minimum_median_and_maximum_are_named(self):
        said = describe_shapes(sized((100, 50), (200, 100), (900, 300)))
        assert said["widths"] == [100, 200, 900]
        assert said["heights"] == [50, 100, 300]
        assert said["ratios"] == [2, 2, 3]

    def test_they_are_drawn_where_they_differ(self):
        assert ElementTree.fromstring(describe_shapes(sized((100, 50), (50, 100)))["chart"]) is not None
        assert describe_shapes(sized((64, 64), (64, 64)))["chart"] is None

    def test_modes_are_counted_the_most_frequent_first_and_equals_by_name(self):
        images = pd.concat([sized((8, 8), mode=mode) for mode in ("RGB", "P", "L", "RGB", "CMYK")])
        assert list(describe_shapes(images)["modes"].items()) == [("RGB", 2), ("CMYK", 1), ("L", 1), ("P", 1)]

    def test_one_image_is_enough(self):
        said = describe_shapes(sized((640, 480)))
        assert (said["widths"], said["heights"], said["ratios"]) == ([640] * 3, [480] * 3, [1.33] * 3)


class TestShapeHistograms:
    SIZES = ((100, 50), (100, 100), (400, 100), (3000, 4000), (1, 1))

    @pytest.mark.parametrize("sizes", [SIZES, SIZES[:1], [(7, 7)] * 50, [(10_000, 1), (1, 10_000)]])
    def test_every_image_is_in_both(self, sizes):
        table = count_shapes(sized(*sizes))
        assert table.groupby("kind")["images"].sum().to_dict() == {
            "longer side, pixels": len(sizes),
            "width / height": len(sizes),
        }

    def test_an_image_is_in_the_bin_of_its_longer_side_and_of_its_ratio(self):
        table = count_shapes(sized(*self.SIZES))
        for kind, values in (("longer side, pixels", [1, 100, 100, 400, 4000]), ("width / height", [0.75, 1, 1, 2, 4])):
            for row in table[table["kind"] == kind].itertuples():
                assert row.images == sum(row.low <= value < row.high for value in values)

    def test_bins_are_of_equal_ratio(self):
        for _, part in count_shapes(sized(*self.SIZES)).groupby("kind"):
            ratios = part["high"] / part["low"]
            assert len(part) == 24
            assert ratios.to_numpy() == pytest.approx(ratios.iloc[0], rel=1e-3)
            assert (part["low"].to_numpy()[1:] == part["high"].to_numpy()[:-1]).all()


class TestLight:
    def test_it_is_summarized_by_percentiles_of_each_class(self):
        cats = pd.DataFrame({"label": "cat", "brightness": np.arange(101.0), "contrast": 2 * np.arange(101.0)})
        dogs = pd.DataFrame({"label": "NA", "brightness": [7.0], "contrast": [8.0]})
        table = summarize_light(pd.concat([cats, dogs]))
        assert table.to_numpy().tolist() == [
            ["NA", "brightness", 7, 7, 7, 7, 7],
            ["NA", "contrast", 8, 8, 8, 8, 8],
            ["cat", "brightness", 5, 25, 50, 75, 95],
            ["cat", "contrast", 10, 50, 100, 150, 190],
        ]


class TestAugmentation:
    def family(self, augmented: np.ndarray | None = None):
        changes = {} if augmented is None else {"augmented": augmented}
        return make_results(["cat", "dog"], (LABELS, guess(LABELS, 2, wrong=0)), **changes)

    def sheet(self, seed: int = 0) -> np.ndarray:
        """Two images of 16 x 16 pixels in three views, each of one shade."""
        shades = np.random.default_rng(seed).integers(0, 256, (2, 3, 1, 1, 1), np.uint8)
        return np.broadcast_to(shades, (2, 3, 16, 16, 3)).copy()

    def test_each_row_is_an_image_and_each_column_a_view(self):
        sheet = self.sheet()
        [said] = describe_augmentation({"one": self.family(sheet)})
        pixels = decode(said["picture"])
        assert (said["families"], said["columns"], pixels.shape) == (["one"], 3, (32, 48, 3))
        for row in range(2):
            for column in range(3):
                shade = pixels[16 * row + 8, 16 * column + 8].astype(int)
                assert abs(shade - sheet[row, column, 0, 0]).max() <= 3

    def test_families_with_the_same_views_share_a_picture(self):
        sheets = {"one": self.sheet(0), "other": self.sheet(1), "two": self.sheet(0)}
        said = describe_augmentation({name: self.family(sheet) for name, sheet in sheets.items()})
        assert [sheet["families"] for sheet in said] == [["one", "two"], ["other"]]

    def test_families_without_augmentation_are_left_out(self):
        assert describe_augmentation({"plain": self.family()}) == []
        said = describe_augmentation({"plain": self.family(), "one": self.family(self.sheet())})
        assert [sheet["families"] for sheet in said] == [["one"]]
