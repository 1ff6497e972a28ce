from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from pipeline.data.examination import FAULT_COLUMNS, NEAR_COLUMNS
from pipeline.data.faults import cut_bars, describe_faults, describe_looks, find_faults

SIDE = 64


@dataclass
class Limits:
    """As in params.yaml."""

    dark: float = 0.32
    bright: float = 0.95
    range: float = 16
    blurry: float = 0.25
    information: float = 0.3
    aspect: float = 3
    size: float = 10


def draw(seed: int = 0, *, low: int = 0, high: int = 256, blobs: int = 16) -> np.ndarray:
    """Sharp blobs of colour, uint8 (64, 64, 3)."""
    shades = np.random.default_rng(seed).integers(low, high, (blobs, blobs, 3), np.uint8)
    return np.asarray(Image.fromarray(shades).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def flat(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def find(
    pictures: dict[str, np.ndarray], sizes: dict[str, tuple[int, int]] | None = None, **limits: float
) -> pd.DataFrame:
    """Faults of pictures named label/number among twenty good ones of the class cat."""
    every = {f"cat/{i}": draw(i + 1) for i in range(20)} | pictures
    names = list(every)
    labels = [name.split("/")[0] for name in names]
    shapes = [(sizes or {}).get(name, (640, 480)) for name in names]
    images = pd.DataFrame({"name": names, "label": labels}).assign(
        width=[width for width, _ in shapes], height=[height for _, height in shapes]
    )
    looks = pd.DataFrame(describe_looks(np.stack(list(every.values()))))
    manifest = images[["name", "label"]].assign(image_id=names)
    return find_faults(images, looks, manifest, pd.DataFrame(columns=NEAR_COLUMNS), Limits(**limits))


def kinds(pixels: np.ndarray, **limits: float) -> list[str]:
    faults = find({"cat/x": pixels}, **limits)
    assert set(faults["name"]) <= {"cat/x"}
    return faults["fault"].tolist()


class TestLooks:
    def test_good_pictures_have_no_fault(self):
        faults = find({})
        assert faults.empty
        assert list(faults.columns) == FAULT_COLUMNS

    @pytest.mark.parametrize("value", [0, 128, 255])
    def test_one_colour_is_constant_and_nothing_else(self, value):
        assert kinds(flat(value)) == ["constant"]
        coloured = flat(0) + np.array([1, 2, 3], np.uint8)
        assert kinds(coloured) == ["constant"]

    def test_colours_of_one_brightness_are_not_constant(self):
        pixels = flat(0)
        pixels[:, :32] = (255, 0, 0)  # luma 76
        pixels[:, 32:] = (0, 130, 0)  # luma 76
        assert "constant" not in kinds(pixels)

    def test_dark_and_bright(self):
        assert kinds(draw(low=0, high=60)) == ["dark"]
        assert kinds(draw(low=243)) == ["bright", "small range"]

    def test_a_small_range(self):
        assert kinds(draw(low=120, high=130)) == ["small range"]

    @pytest.mark.parametrize(("radius", "is_blurry"), [(0, False), (3, True)])
    @pytest.mark.parametrize("contrast", [1, 0.4])
    def test_blur_whatever_the_contrast(self, radius, is_blurry, contrast):
        image = Image.fromarray((draw(blobs=8) * contrast + 80).clip(0, 255).astype(np.uint8))
        found = kinds(np.asarray(image.filter(ImageFilter.GaussianBlur(radius))), range=0)
        assert ("blurry" in found) == is_blurry

    def test_low_information(self):
        pixels = flat(255)
        pixels[10:14, 10:50] = 0
        assert "low information" in kinds(pixels)

    def test_grey_among_colour(self):
        grey = np.repeat(draw()[..., :1], 3, axis=2)
        assert kinds(grey) == ["grey"]
        assert "grey" not in find({f"dog/{i}": grey for i in range(30)})["fault"].tolist()  # most are

    def test_one_coloured_pixel_is_colour(self):
        grey = np.repeat(draw()[..., :1], 3, axis=2)
        grey[37, 11] = (9, 200, 30)
        assert kinds(grey) == []

    def test_limits_are_parameters(self):
        assert kinds(draw(low=0, high=60), dark=0.1) == []


class TestMeasures:
    def test_are_those_of_pillow(self):
        block = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), np.uint8)
        block[1] //= 20
        for pixels, look in zip(block, describe_looks(block), strict=True):
            grey = Image.fromarray(pixels).convert("L")
            edges = np.asarray(grey.filter(ImageFilter.FIND_EDGES))[1:-1, 1:-1]
            values = np.sort(np.asarray(grey).ravel())
            assert look.sharpness == pytest.approx(edges.std() / np.asarray(grey).std(), rel=0.001)
            assert look.information == pytest.approx(0.1 * (grey.entropy() + np.log2(3)), abs=0.0001)
            assert (look.dark, look.bright) == pytest.approx((values[593] / 255, values[29] / 255), abs=0.0001)
            assert look.range == int(values[593]) - int(values[5])


class TestShapes:
    def test_a_size_or_an_aspect_unlike_that_of_the_class(self):
        faults = find({f"cat/{name}": draw(90 + i) for i, name in enumerate("abc")}, {
            "cat/a": (640, 100), "cat/b": (40, 30), "cat/c": (900, 480),
        })  # fmt: skip
        assert faults[["name", "fault"]].to_numpy().tolist() == [["cat/a", "odd aspect"], ["cat/b", "odd size"]]
        assert faults["value"].tolist() == [pytest.approx(4.8), pytest.approx(0.0625)]

    def test_each_class_is_compared_with_itself(self):
        strips = {f"dog/{i}": draw(50 + i) for i in range(9)}
        assert find(strips, dict.fromkeys(strips, (30, 300))).empty


class TestCopies:
    def test_files_with_the_same_bytes_and_near_duplicates(self):
        images = pd.DataFrame({"name": ["a", "b"], "label": ["cat", "dog"], "width": 9, "height": 9})
        looks = pd.DataFrame(describe_looks(np.stack([draw(i) for i in range(2)])))
        manifest = pd.DataFrame(
            {"image_id": ["1", "2", "1", "1"], "name": list("abcd"), "label": ["cat", "dog", "cat", "dog"]}
        )
        near = pd.DataFrame([("b", "test", "dog", "a", "cat", 0.97)], columns=NEAR_COLUMNS)
        assert find_faults(images, looks, manifest, near, Limits()).to_numpy().tolist() == [
            *(
                ["a", "cat", "exact duplicate", 3],
                ["c", "cat", "exact duplicate", 3],
                ["d", "dog", "exact duplicate", 3],
            ),
            ["b", "dog", "near duplicate", 0.97],
        ]


class TestBars:
    @pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (100, 100), (1200, 9), (9, 1200), (33, 32)])
    @pytest.mark.parametrize("side", [31, 32])
    def test_they_are_cut_where_preprocess_draws_them(self, width, height, side, make_image_bytes):
        from pipeline.data.image import decode_image

        white = make_image_bytes((255, 255, 255), size=(width, height))
        square = decode_image(white, image_size=side, resize="letterbox")
        part = cut_bars(square, width, height)
        assert part.size == (square == 255).sum()
        assert (part == 255).all()


def test_faults_are_described_by_class_the_most_frequent_first():
    rows = [(str(i), "cat" if i < 3 else "dog", "dark", 0.1) for i in range(4)] + [("9", "emu", "grey", 1.0)]
    faults = pd.DataFrame(rows, columns=FAULT_COLUMNS)
    assert describe_faults(faults) == {"dark": "4 images (cat 3, dog 1)", "grey": "1 image (emu 1)"}
    assert describe_faults(faults.iloc[:0]) == {}
