import io
from collections import Counter

import pytest
from PIL import Image

from pipeline.config.sources import ScenesSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources import RawImage, scenes


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
class TestPictures:
    def test_there_are_as_many_of_each_class_as_asked_for(self):
        names = ("buildings", "forest", "glacier", "mountain", "sea", "street")
        assert Counter(image.label for image in draw(3)) == dict.fromkeys(names, 3)

    def test_they_are_rgb_jpegs_of_the_size_asked_for(self):
        for image in draw(1, image_size=40):
            with Image.open(io.BytesIO(image.data)) as picture:
                assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (40, 40))

    def test_the_source_brings_no_splits(self):
        assert {image.source_split for image in draw(1)} == {""}

    def test_no_two_are_alike(self):
        images = draw(4)
        assert len({image.data for image in images}) == len({image.name for image in images}) == len(images)

    def test_the_same_seed_gives_the_same_bytes(self):
        assert draw() == draw()

    def test_another_seed_gives_others(self):
        ours, others = by_name(draw()), by_name(draw(seed=43))
        assert ours.keys() == others.keys()
        assert all(ours[name] != others[name] for name in ours)

    def test_more_images_leave_the_first_ones_as_they_were(self):
        assert by_name(draw(1)).items() <= by_name(draw(3)).items()


def test_any_number_of_processes_gives_the_same_bytes(monkeypatch):
    drawn = {}
    for cores in (1, 2):
        monkeypatch.setattr("pipeline.runtime.processes.num_cores", lambda cores=cores: cores)
        drawn[cores] = draw()
    assert drawn[1] == drawn[2]


def test_there_is_nothing_outside_the_program_to_watch():
    assert scenes.locate(None) is None


def test_a_path_is_refused():
    with pytest.raises(PipelineError, match=r"takes no data\.path; received 'pictures'"):
        scenes.locate("pictures")
