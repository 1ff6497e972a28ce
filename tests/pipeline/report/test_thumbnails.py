import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.raw import load_index, save_raw
from pipeline.report.thumbnails import draw_class_strip, encode_picture, encode_strip, load_picture, overlay_heat
from pipeline.sources.raw_image import RawImage
from tests.pipeline.report.pictures import decode

TILE = 72  # pixels


@pytest.fixture
def images(tmp_path, monkeypatch, make_image_bytes) -> pd.DataFrame:
    """Five pictures in data/raw, each of one shade of grey, as the manifest lists them."""
    monkeypatch.chdir(tmp_path)
    data = [make_image_bytes(colour=(40 * i,) * 3) for i in range(5)]
    save_raw((RawImage(f"cat/{i}.png", "cat", "", one) for i, one in enumerate(data)), {"source": "folder"})
    return load_index().assign(image_id=[hashlib.sha256(one).hexdigest() for one in data])


def shades(strip: str) -> list[int]:
    """The grey of each tile."""
    pixels = decode(strip)
    return [round(float(pixels[:, x : x + TILE].mean())) for x in range(0, pixels.shape[1], TILE)]


class TestEncoding:
    def test_a_picture_becomes_a_jpeg_in_a_data_uri(self):
        pixels = np.full((20, 30, 3), (200, 30, 90), np.uint8)
        np.testing.assert_allclose(decode(encode_picture(pixels)), pixels, atol=6)

    def test_the_same_picture_gives_the_same_bytes(self):
        pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
        assert encode_picture(pixels) == encode_picture(pixels.copy())


class TestSmallStrip:
    def test_pictures_are_side_by_side_and_small(self):
        pixels = decode(encode_strip([np.full((120, 120, 3), shade, np.uint8) for shade in (20, 200)], side=16))
        assert pixels.shape == (16, 32, 3)
        np.testing.assert_allclose(pixels[:, :12], 20, atol=8)
        np.testing.assert_allclose(pixels[:, 20:], 200, atol=8)


class TestLoading:
    @pytest.mark.parametrize("number", range(5))
    def test_a_picture_is_found_among_the_raw_bytes(self, images, number):
        picture = load_picture(images.iloc[number], image_size=16, resize="stretch")
        assert picture.shape == (16, 16, 3)
        assert picture.dtype == np.uint8
        assert (picture == 40 * number).all()

    def test_it_is_resized_as_the_models_see_it(self, images):
        picture = load_picture(images.iloc[4], image_size=16, resize="letterbox")
        assert (picture[0] == 0).all()
        assert (picture[8] == 160).all()

    @pytest.mark.parametrize(("value_range", "shade"), [("full", 16), ("minmax", 255)])
    def test_deep_pictures_are_scaled_as_the_models_see_them(self, tmp_path, monkeypatch, value_range, shade):
        monkeypatch.chdir(tmp_path)
        values = np.zeros((20, 20), np.uint16)
        values[10:] = 4095
        Image.fromarray(values).save("deep.png")
        save_raw([RawImage("cat/1.png", "cat", "", Path("deep.png").read_bytes())], {"source": "folder"})
        images = load_index().assign(image_id="0" * 64)
        picture = load_picture(images.iloc[0], image_size=20, resize="stretch", value_range=value_range)
        assert picture[-1, 0, 0] == shade
        strip = draw_class_strip(images, count=1, resize="stretch", value_range=value_range)
        assert decode(strip)[-1, 0, 0] == pytest.approx(shade, abs=3)


class TestStrip:
    def test_pictures_are_side_by_side(self, images):
        strip = draw_class_strip(images, count=5, resize="stretch")
        assert decode(strip).shape == (TILE, 5 * TILE, 3)
        assert sorted(shades(strip)) == pytest.approx([0, 40, 80, 120, 160], abs=2)

    def test_where_there_are_more_some_are_drawn(self, images):
        drawn = shades(draw_class_strip(images, count=3, resize="stretch"))
        assert len(set(drawn)) == 3

    def test_the_choice_does_not_depend_on_the_order_of_the_rows(self, images):
        strip = draw_class_strip(images, count=3, resize="stretch")
        assert draw_class_strip(images.iloc[::-1], count=3, resize="stretch") == strip

    def test_where_there_are_fewer_grey_fills_the_strip(self, images):
        drawn = shades(draw_class_strip(images.head(2), count=4, resize="stretch"))
        assert drawn[2:] == pytest.approx([128, 128], abs=2)


class TestHeat:
    PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)

    def overlay(self, heat: list[list[float]], picture: np.ndarray = PICTURE) -> np.ndarray:
        return overlay_heat(picture, np.array(heat, np.float16)).astype(int)

    def test_it_is_a_picture_of_the_same_size(self):
        drawn = overlay_heat(self.PICTURE, np.zeros((3, 4), np.float16))
        assert (drawn.shape, drawn.dtype) == (self.PICTURE.shape, np.uint8)

    def test_where_it_is_cold_the_picture_shows_in_darker_grey(self):
        drawn = self.overlay([[0]])
        grey = np.repeat(self.PICTURE.mean(axis=2, keepdims=True), 3, axis=2)
        np.testing.assert_allclose(drawn, 0.8 * grey, atol=0.5)

    def test_what_is_hottest_is_red(self):
        red, green, blue = np.moveaxis(self.overlay([[1]]), 2, 0)
        assert (red > green + 150).all()
        assert (green == blue).all()

    def test_what_is_warm_is_between_yellow_and_red(self):
        red, green, blue = np.moveaxis(self.overlay([[0.5]], np.zeros((8, 8, 3), np.uint8)), 2, 0)
        assert (red > green).all()
        assert (green > blue).all()

    def test_the_heat_is_where_the_map_has_it(self):
        drawn = self.overlay([[0, 0], [0, 1]])
        redness = drawn[..., 0] - drawn[..., 1]
        assert redness[-4:, -4:].min() > 100
        assert redness[:4, :4].max() <= 2

    def test_the_picture_is_still_seen_through_it(self):
        drawn = self.overlay([[1]])
        bright = self.PICTURE.mean(axis=2) > 200
        dark = self.PICTURE.mean(axis=2) < 60
        assert drawn[bright].mean() > drawn[dark].mean() + 20

    def test_a_map_that_swings_between_cells_stays_within_bytes(self):
        checkers = np.indices((7, 7)).sum(axis=0) % 2
        drawn = self.overlay(checkers.tolist(), np.full((112, 112, 3), 255, np.uint8))
        # bicubic goes below 0 and above 1 between cells; unclipped, bytes would wrap around
        assert drawn[..., 0].min() >= 200
