import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from pipeline.config.sources import ScenesSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources import scenes
from pipeline.sources.raw_image import RawImage
from pipeline.sources.scenes.drawing import CLASS_NAMES, MIN_IMAGE_SIZE, draw_scene


def draw(images_per_class: int = 2, image_size: int = 32, seed: int = 42) -> list[RawImage]:
    settings = ScenesSettings(
        images_per_class=images_per_class,
        image_size=image_size,
        seed=seed,
        drop_classes=[],
        merge_classes={},
        max_images_per_class=None,
        min_images_per_class=None,
    )
    return list(scenes.read_images(path=None, sha256=None, settings=settings))


def by_name(images: list[RawImage]) -> dict[str, bytes | None]:
    return {image.name: image.data for image in images}


@pytest.mark.usefixtures("one_core")
class TestImages:
    def test_each_class_has_the_given_number_of_images(self):
        names = ("buildings", "forest", "glacier", "mountain", "sea", "street")
        assert Counter(image.label for image in draw(3)) == dict.fromkeys(names, 3)

    def test_images_are_rgb_jpegs_of_the_given_size(self):
        for image in draw(1, image_size=40):
            with Image.open(io.BytesIO(image.data)) as picture:
                assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (40, 40))

    def test_the_source_has_no_splits(self):
        assert {image.source_split for image in draw(1)} == {""}

    def test_no_two_images_are_equal(self):
        images = draw(4)
        assert len({image.data for image in images}) == len({image.name for image in images}) == len(images)

    def test_the_same_seed_gives_the_same_bytes(self):
        assert draw() == draw()

    def test_another_seed_gives_other_images(self):
        ours, others = by_name(draw()), by_name(draw(seed=43))
        assert ours.keys() == others.keys()
        assert all(ours[name] != others[name] for name in ours)

    def test_drawing_more_images_does_not_change_the_first_ones(self):
        assert by_name(draw(1)).items() <= by_name(draw(3)).items()


def test_the_bytes_do_not_depend_on_the_number_of_processes(monkeypatch):
    drawn = {}
    for cores in (1, 2):
        monkeypatch.setattr("pipeline.runtime.processes.num_cores", lambda cores=cores: cores)
        drawn[cores] = draw()
    assert drawn[1] == drawn[2]


def test_nothing_is_watched():
    assert scenes.locate(None) is None


def test_a_path_is_refused():
    with pytest.raises(PipelineError, match=r"takes no data\.path; received 'pictures'"):
        scenes.locate("pictures")


class TestDrawing:
    @pytest.mark.parametrize("size", [MIN_IMAGE_SIZE, 33, 210])
    @pytest.mark.parametrize("label", CLASS_NAMES)
    def test_every_class_can_be_drawn_at_any_size(self, label, size):
        for index in range(8):
            pixels = draw_scene(label, image_size=size, seed=1, index=index)
            assert (pixels.shape, pixels.dtype) == ((size, size, 3), np.uint8)
            assert pixels.std() > 1

    def test_an_unknown_class_is_refused(self):
        with pytest.raises(ValueError, match=r"label: expected one of .*, received 'desert'"):
            draw_scene("desert", image_size=32, seed=1, index=0)

    def test_a_smaller_image_is_refused(self):
        with pytest.raises(ValueError, match="image_size: expected at least 8, received 7"):
            draw_scene("sea", image_size=7, seed=1, index=0)
