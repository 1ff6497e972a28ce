from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pipeline.config.types import Encoding
from pipeline.data.pixel_encoding import LOSSLESS, decode_picture, decode_pixels, encode_pixels, is_lossy
from pipeline.sources.scenes.drawing import draw_scene
from tests.tfrecords import make_noise

LOSSY: list[tuple[Encoding, int]] = [("jpeg", 1), ("jpeg", 90), ("jpeg", 100), ("webp", 1), ("webp", 90)]
ALL: list[tuple[Encoding, int]] = [("raw", 90), ("webp", LOSSLESS), *LOSSY]
KINDS = {"noise": make_noise(1, 33)[0], "scene": draw_scene("forest", image_size=33, seed=0, index=0)}


def encode(pixels: np.ndarray, encoding: Encoding, quality: int) -> bytes:
    return encode_pixels(Image.fromarray(pixels), encoding, quality)


@pytest.mark.parametrize(("encoding", "quality"), ALL)
@pytest.mark.parametrize("kind", KINDS)
class TestEveryEncoding:
    def test_an_image_comes_back_in_its_size(self, kind: str, encoding: Encoding, quality: int) -> None:
        pixels = decode_pixels(encode(KINDS[kind], encoding, quality), encoding, 33)
        assert (pixels.shape, pixels.dtype) == ((33, 33, 3), np.uint8)

    def test_only_a_lossy_one_changes_pixels(self, kind: str, encoding: Encoding, quality: int) -> None:
        pixels = decode_pixels(encode(KINDS[kind], encoding, quality), encoding, 33)
        assert np.array_equal(pixels, KINDS[kind]) == (not is_lossy(encoding, quality))

    def test_the_same_pixels_give_the_same_bytes(self, kind: str, encoding: Encoding, quality: int) -> None:
        assert encode(KINDS[kind].copy(), encoding, quality) == encode(KINDS[kind], encoding, quality)

    def test_tensorflow_decodes_the_same_bits(
        self, tensorflow: Any, kind: str, encoding: Encoding, quality: int
    ) -> None:
        from pipeline.data.batches import parse_batch
        from pipeline.data.tfrecords import encode_record

        data = encode(KINDS[kind], encoding, quality)
        example = encode_record(data, label=2, image_id="", name="")[12:-4]
        batch = parse_batch(tensorflow.constant([example] * 2), 33, encoding)
        assert batch.labels.numpy().tolist() == [2, 2]
        assert np.array_equal(batch.images.numpy(), [decode_pixels(data, encoding, 33)] * 2)


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_more_quality_takes_more_bytes_and_changes_less(encoding: Encoding) -> None:
    scene = KINDS["scene"].astype(int)
    files = [encode(KINDS["scene"], encoding, quality) for quality in (10, 50, 95)]
    assert [len(file) for file in files] == sorted({len(file) for file in files})
    errors = [np.abs(decode_pixels(file, encoding, 33) - scene).mean() for file in files]
    assert errors == sorted(set(errors), reverse=True)
    assert errors[-1] < 4


@pytest.mark.parametrize(("encoding", "quality", "most"), [("jpeg", 90, 0.5), ("webp", 90, 0.4), ("webp", 100, 0.8)])
def test_a_scene_takes_fewer_bytes_than_raw(encoding: Encoding, quality: int, most: float) -> None:
    scene = draw_scene("forest", image_size=64, seed=0, index=0)
    assert len(encode(scene, encoding, quality)) < most * scene.size


def test_no_other_format_is_tried() -> None:
    with pytest.raises(UnidentifiedImageError):
        decode_picture(encode(KINDS["noise"], "webp", 90), "jpeg")
