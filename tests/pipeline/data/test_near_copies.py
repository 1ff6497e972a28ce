"""Signatures, candidates and alignment: which pictures count as near copies of each other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.alignment import compare_pairs
from pipeline.data.image import compute_image_id
from pipeline.data.near_copies import find_candidates, find_near_copies, verify
from pipeline.data.raw import load_index, save_raw
from pipeline.data.signatures import NUM_VALUES, SIDE, STEPS, describe, mirror
from pipeline.sources.raw_image import RawImage
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene
from tests.planted import CHANGES

LEAST = 0.85  # as in params.yaml


def draw(number: int, size: int = 64) -> Image.Image:
    """Soft blobs of random colours; no two numbers are alike."""
    blobs = np.random.default_rng(number).integers(40, 180, (6, 6, 3), np.uint8)
    return Image.fromarray(blobs).resize((size, size), Image.Resampling.BICUBIC)


def to_pixels(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for image in images])


def to_greys(images: list[Image.Image]) -> np.ndarray:
    return to_pixels([image.convert("L") for image in images])


class TestDescription:
    PIXELS = to_pixels([draw(number) for number in range(40)])

    def test_it_has_length_1(self):
        found = describe(self.PIXELS)
        assert (found.shape, found.dtype) == ((40, NUM_VALUES), np.float16)
        assert np.linalg.norm(found.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)

    def test_it_is_in_whole_steps_so_that_every_cpu_has_the_same(self):
        steps = describe(self.PIXELS).astype(np.float64) * STEPS
        assert (steps == steps.round()).all()

    def test_of_the_mirror_image_it_can_be_computed(self):
        assert (mirror(describe(self.PIXELS)) == describe(self.PIXELS[:, :, ::-1])).all()

    def test_brightness_and_contrast_do_not_matter(self):
        changed = (self.PIXELS * 0.5 + 60).astype(np.uint8)
        cosines = (describe(changed).astype(np.float32) * describe(self.PIXELS)).sum(axis=1)
        assert (cosines > 0.998).all()

    @pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 77)])
    def test_one_colour_has_none(self, colour):
        assert not describe(np.full((1, SIDE, SIDE, 3), colour, np.uint8)).any()


class TestAlignment:
    ORIGINALS = tuple(draw(number) for number in range(60))

    @pytest.mark.parametrize("change", [name for name in CHANGES if "mirrored" not in name and "all" not in name])
    def test_a_changed_copy_is_similar_either_way(self, change):
        random = np.random.default_rng(1)
        copies = to_greys([CHANGES[change](image, random) for image in self.ORIGINALS])
        originals = to_greys(list(self.ORIGINALS))
        assert (compare_pairs(originals, copies) > LEAST).mean() > 0.95
        assert (compare_pairs(copies, originals) > LEAST).mean() > 0.95

    def test_in_double_precision_it_is_the_same_but_for_rounding(self):
        one, other = to_greys(list(self.ORIGINALS)), to_greys([draw(number, size=50) for number in range(60)])
        exact = compare_pairs(one, other, np.float64)
        assert exact.dtype == np.float64
        assert compare_pairs(one, other) == pytest.approx(exact, abs=1e-3)

    def test_a_picture_is_equal_to_itself(self):
        greys = to_greys(list(self.ORIGINALS))
        assert compare_pairs(greys, greys) == pytest.approx(1, abs=0.02)

    def test_different_pictures_are_not(self):
        greys = to_greys(list(self.ORIGINALS))
        assert compare_pairs(greys[:30], greys[30:]).max() < 0.75

    def test_nor_are_different_pictures_in_the_same_frame(self):
        """The frame has the strongest edges."""
        framed = []
        for image in self.ORIGINALS:
            canvas = Image.new("RGB", (64, 64), "white")
            canvas.paste(image.resize((44, 44)), (10, 10))
            framed.append(canvas)
        greys = to_greys(framed)
        assert compare_pairs(greys[:30], greys[30:]).max() < LEAST

    def test_nor_are_different_ships_under_the_same_sky(self):
        """Most of the picture is flat, and flat parts agree."""
        greys = np.full((2, SIDE, SIDE), 200, np.uint8)
        greys[0, 20:26, 6:20] = 60
        greys[0, 12:20, 10:12] = 60
        greys[1, 20:24, 8:28] = 60
        greys[1, 16:20, 20:26] = 60
        assert compare_pairs(greys[:1], greys[1:])[0] < LEAST

    @pytest.mark.parametrize("shade", [0, 128, 255])
    def test_a_picture_of_one_colour_is_similar_to_none(self, shade):
        plain = np.full((60, SIDE, SIDE), shade, np.uint8)
        assert compare_pairs(plain, to_greys(list(self.ORIGINALS))).max() < 0.5

    def test_there_may_be_no_pair(self):
        none = np.zeros((0, SIDE, SIDE), np.uint8)
        assert len(compare_pairs(none, none)) == 0


class TestCandidates:
    ROWS = describe(to_pixels([draw(number) for number in range(300)]))

    def test_they_are_the_nearest_neighbours(self):
        rows = np.random.default_rng(0).normal(size=(500, NUM_VALUES)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[250:] = rows[:250] + np.random.default_rng(1).normal(scale=0.04, size=(250, NUM_VALUES))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found = {(a, b) for a, b, is_mirrored in find_candidates(rows).tolist() if not is_mirrored}
        assert {(i, i + 250) for i in range(250)} <= found

    def test_where_all_cells_are_searched_they_are_those_of_whole_numbers(self, monkeypatch):
        """Nothing depends on the order of sums, so on the CPU."""
        monkeypatch.setattr("pipeline.data.near_copies._PROBES", len(self.ROWS))
        steps = (self.ROWS.astype(np.float64) * STEPS).astype(np.int64)
        expected = set()
        for is_mirrored, queries in enumerate((steps, mirror(steps).astype(np.int64))):
            distances = ((queries[:, None] - steps[None]) ** 2).sum(axis=2)
            for one, row in enumerate(distances):
                near = [other for other in np.argsort(row, kind="stable")[:11] if row[other] <= STEPS**2]
                expected |= {(min(one, other), max(one, other), is_mirrored) for other in near if other != one}
        assert {tuple(row) for row in find_candidates(self.ROWS).tolist()} == expected

    def test_the_number_of_cores_does_not_matter(self, monkeypatch):
        found = []
        for cores in (1, 3):
            monkeypatch.setattr("pipeline.data.near_copies.num_cores", lambda cores=cores: cores)
            found.append(find_candidates(self.ROWS).tolist())
        assert found[0] == found[1]

    def test_each_pair_is_there_once_and_no_row_with_itself(self):
        found = find_candidates(describe(to_pixels([draw(number % 40) for number in range(120)])))
        assert len(np.unique(found, axis=0)) == len(found)
        assert (found[:, 0] < found[:, 1]).all()

    def test_mirror_images_are_found_as_such(self):
        pixels = to_pixels([draw(number) for number in range(50)])
        found = find_candidates(describe(np.concatenate([pixels, pixels[:, :, ::-1]]))).tolist()
        assert all([number, number + 50, 1] in found for number in range(50))

    def test_the_number_of_queries_at_a_time_does_not_matter(self, monkeypatch):
        whole = find_candidates(self.ROWS)
        monkeypatch.setattr("pipeline.data.near_copies._QUERIES", 64)
        assert find_candidates(self.ROWS).tolist() == whole.tolist()

    @pytest.mark.parametrize("count", [0, 1, 2, 3])
    def test_few_pictures_are_no_trouble(self, count):
        found = find_candidates(describe(to_pixels([draw(1)] * count)) if count else np.zeros((0, NUM_VALUES), "f4"))
        assert (found[:, 2] == 0).sum() == count * (count - 1) // 2

    def test_pictures_of_one_colour_have_none(self):
        assert len(find_candidates(np.zeros((20, NUM_VALUES), np.float32))) == 0


def encode(image: Image.Image, folder: Path, name: str) -> RawImage:
    image.save(folder / "picture.png")
    return RawImage(name, "any", "", (folder / "picture.png").read_bytes())


def find(images: dict[str, Image.Image], folder: Path) -> tuple[pd.DataFrame, dict[tuple[str, str], float]]:
    """The manifest, and similarity by names of a pair."""
    raw = [encode(image, folder, name) for name, image in images.items()]
    save_raw(raw, {"source": "test"})
    manifest = load_index().assign(image_id=[compute_image_id(image.data) for image in raw])
    found = find_near_copies(manifest, LEAST, num_workers=1)
    names = manifest["name"].to_numpy()
    return manifest, dict(zip(zip(names[found.one], names[found.other], strict=True), found.similarity, strict=True))


@pytest.mark.usefixtures("project")
class TestFind:
    def test_planted_copies_are_found_and_nothing_else(self, tmp_path):
        random = np.random.default_rng(3)
        originals = {f"o{number}": draw(number) for number in range(90)}
        copies = {
            f"c{number}": change(draw(number * 6 + kind), random)
            for kind, change in enumerate(CHANGES.values())
            for number in [kind]
        }
        expected = {(f"o{kind * 7}", f"c{kind}") for kind in range(len(CHANGES))}
        _, found = find(originals | copies, tmp_path)
        assert set(found) == expected

    @pytest.mark.ci
    def test_scenes_of_one_class_are_alike_but_no_copies(self, tmp_path):
        scenes = {
            f"{label}{index}": Image.fromarray(draw_scene(label, image_size=64, seed=42, index=index))
            for label in CLASS_NAMES
            for index in range(40)
        }
        assert find(scenes, tmp_path)[1] == {}

    def test_the_same_bytes_count_once(self, tmp_path):
        _, found = find({"a": draw(1), "b": draw(1), "c": draw(1, size=48)}, tmp_path)
        assert set(found) == {("a", "c")}

    def test_nothing_is_left_behind(self, tmp_path, project):
        find({"a": draw(1), "b": draw(2)}, tmp_path)
        assert [path.name for path in (project.folder / "data").iterdir()] == ["raw"]

    def test_the_number_of_workers_does_not_matter(self, tmp_path):
        manifest, found = find({f"{n}": draw(n // 2, size=40 + n) for n in range(60)}, tmp_path)
        again = find_near_copies(manifest, LEAST, num_workers=2)
        assert len(again.one) == len(found) >= 30
        assert again.similarity.tolist() == list(found.values())


def test_verifying_nothing_finds_nothing(tmp_path):
    np.save(tmp_path / "greys.npy", np.zeros((3, SIDE, SIDE), np.uint8))
    found = verify(np.zeros((0, 3), np.int32), tmp_path / "greys.npy", LEAST, num_workers=1)
    assert len(found.one) == len(found.similarity) == 0
