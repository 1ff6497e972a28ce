import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.examination import NEAR_COLUMNS
from pipeline.data.near_duplicates import NUM_FEATURES, describe_outline, find_near_duplicates, find_similar


def make_scene(seed: int = 0, size: int = 96) -> np.ndarray:
    """Soft blobs of colour between 60 and 150, so that brightness can change without clipping; no two seeds are alike."""
    blobs = np.random.default_rng(seed).integers(60, 151, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(blobs).resize((size, size), Image.Resampling.BILINEAR))


def compress(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=30)
    return np.asarray(Image.open(buffer).convert("RGB"))


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def describe(*pictures: np.ndarray) -> np.ndarray:
    return np.stack([describe_outline(picture) for picture in pictures])


def compare(one: np.ndarray, other: np.ndarray) -> float:
    [(_, _, similarity)] = find_similar(describe(one), describe(other), least=-1)
    return similarity


def make_outlines(count: int, seed: int) -> np.ndarray:
    """Few values per row, so that some rows are nearly the same and some are equal."""
    rows = np.random.default_rng(seed).integers(-1, 2, (count, 5)).astype(np.float32)
    return np.pad(rows, ((0, 0), (0, NUM_FEATURES - 5))).astype(np.float16)


def find_in_a_loop(ours: np.ndarray, others: np.ndarray, least: float) -> list[tuple[int, int, float]]:
    found = []
    for row, a in enumerate(ours.astype(float)):
        best = (-2.0, 0)
        for number, b in enumerate(others.astype(float)):
            length = np.linalg.norm(a) * np.linalg.norm(b)
            cosine = round(float(a @ b / length), 4) if length else 0.0
            if cosine > best[0]:
                best = (cosine, number)
        if best[0] >= least:
            found.append((row, best[1], best[0]))
    return found


def find_in_a_matrix(ours: np.ndarray, others: np.ndarray, least: float) -> list[tuple[int, int, float]]:
    a, b = (rows.astype(float) / np.linalg.norm(rows.astype(float), axis=1, keepdims=True) for rows in (ours, others))
    cosines = (a @ b.T).round(4)
    best = cosines.argmax(axis=1)
    return [(row, int(i), float(cosines[row, i])) for row, i in enumerate(best) if cosines[row, i] >= least]


class TestOutline:
    @pytest.mark.parametrize(
        "change",
        [
            lambda scene: scene + np.uint8(80),
            lambda scene: scene - np.uint8(60),
            lambda scene: (scene * 1.6).astype(np.uint8),
            lambda scene: (scene * 0.4 + 100).astype(np.uint8),
            lambda scene: resize(scene, 300, 300),
            lambda scene: resize(scene, 40, 40),
            lambda scene: resize(scene, 200, 90),
            compress,
        ],
        ids=["brighter", "darker", "more contrast", "less contrast", "larger", "smaller", "stretched", "compressed"],
    )
    def test_a_changed_copy_is_recognized(self, change):
        assert compare(make_scene(), change(make_scene())) > 0.97

    def test_every_image_has_similarity_1_to_itself(self):
        scenes = describe(*(make_scene(seed) for seed in range(30)))
        assert list(find_similar(scenes, scenes, least=1)) == [(row, row, 1.0) for row in range(30)]

    def test_so_has_an_image_with_few_edges(self):
        dot = np.zeros((32, 32, 3), np.uint8)
        dot[3:6, 9:14] = 77
        assert compare(dot, dot) == 1

    def test_different_images_are_not_similar(self):
        scenes = [make_scene(seed) for seed in range(100)]
        for _, _, similarity in find_similar(describe(*scenes[:50]), describe(*scenes[50:]), least=-1):
            assert similarity < 0.7

    def test_a_negative_is_the_opposite(self):
        assert compare(make_scene(), 255 - make_scene()) < -0.97

    @pytest.mark.parametrize("shade", [0, 128, 255])
    def test_an_image_of_one_colour_matches_nothing(self, shade):
        plain = np.full((32, 32, 3), shade, np.uint8)
        outlines = describe(plain, make_scene())
        assert (outlines[0] == 0).all()
        assert list(find_similar(describe(plain), outlines, least=0.01)) == []

    @pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 16), (5, 300)])
    def test_the_number_of_features_does_not_depend_on_the_size(self, size):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        outline = describe_outline(pixels)
        assert (outline.shape, outline.dtype) == ((NUM_FEATURES,), np.float16)
        assert np.isfinite(outline).all()


class TestFindSimilar:
    @pytest.mark.parametrize("block", [1, 3, 7, 4096])
    @pytest.mark.parametrize("least", [-1, 0.5, 0.9, 1])
    @pytest.mark.parametrize("many", [0, 1], ids=["all pairs of a block", "what the bound leaves"])
    def test_it_finds_what_a_loop_over_all_pairs_finds(self, monkeypatch, block, least, many):
        monkeypatch.setattr("pipeline.data.near_duplicates._BLOCK", block)
        monkeypatch.setattr("pipeline.data.near_duplicates._ROWS", block)
        monkeypatch.setattr("pipeline.data.near_duplicates._MANY", many)
        ours, others = make_outlines(20, seed=1), make_outlines(31, seed=2)
        assert list(find_similar(ours, others, least=least)) == find_in_a_loop(ours, others, least)

    @pytest.mark.parametrize("least", [0.3, 0.6, 0.85])
    def test_the_bound_leaves_out_no_pair_that_is_similar_enough(self, least):
        rng = np.random.default_rng(0)
        mixed = rng.normal(size=(700, 20)) @ rng.normal(size=(20, NUM_FEATURES)) + rng.normal(size=(700, NUM_FEATURES))
        outlines = mixed.astype(np.float16)
        ours, others = outlines[:300], outlines[300:]
        found = list(find_similar(ours, others, least=least))
        assert found == find_in_a_matrix(ours, others, least)

    @pytest.mark.parametrize("block", [1, 2, 3, 4096])
    def test_among_equals_the_first_one_is_returned(self, monkeypatch, block):
        monkeypatch.setattr("pipeline.data.near_duplicates._BLOCK", block)
        scene, other = make_scene(0), make_scene(1)
        found = list(find_similar(describe(scene), describe(other, scene, scene, other, scene), least=0.9))
        assert found == [(0, 1, 1.0)]

    def test_the_limit_itself_is_similar_enough(self):
        ours, others = describe(make_scene()), describe(compress(make_scene()))
        [(_, _, similarity)] = find_similar(ours, others, least=0.5)
        assert len(list(find_similar(ours, others, least=similarity))) == 1
        assert list(find_similar(ours, others, least=similarity + 0.0001)) == []

    @pytest.mark.parametrize(("ours", "others"), [(0, 5), (5, 0), (0, 0)])
    def test_nothing_is_similar_to_an_empty_set(self, ours, others):
        assert list(find_similar(make_outlines(ours, 1), make_outlines(others, 2), least=0.01)) == []


class TestNearDuplicates:
    def find(self, *images: tuple[str, str, str, int], least: float = 0.9) -> pd.DataFrame:
        """images: name, split, label and seed of the scene; an odd seed is a brighter copy of the even one below it."""
        table = pd.DataFrame([image[:3] for image in images], columns=["name", "split", "label"])
        scenes = [make_scene(seed // 2) + np.uint8(80 * (seed % 2)) for *_, seed in images]
        return find_near_duplicates(table, describe(*scenes), least)

    def test_an_image_of_test_or_val_is_found_with_the_one_of_train(self):
        near = self.find(
            ("a", "train", "cat", 0), ("b", "train", "dog", 2), ("c", "val", "cat", 1), ("d", "test", "eel", 3)
        )
        assert near[["name", "split", "label", "train_name", "train_label"]].to_numpy().tolist() == [
            ["c", "val", "cat", "a", "cat"],
            ["d", "test", "eel", "b", "dog"],
        ]

    def test_pairs_without_an_image_of_train_do_not_count(self):
        near = self.find(
            *(("a", "train", "cat", 0), ("b", "train", "cat", 1), ("c", "test", "cat", 2), ("d", "val", "cat", 3))
        )
        assert near.empty
        assert list(near.columns) == NEAR_COLUMNS

    def test_the_most_similar_come_first_and_equals_by_name(self):
        images = pd.DataFrame(
            {"name": list("abcde"), "split": ["train", "val", "test", "test", "val"], "label": list("vwxyz")}
        )
        outlines = np.zeros((5, NUM_FEATURES), np.float16)
        outlines[:, 0] = 1
        outlines[1, 1] = 0.25
        near = find_near_duplicates(images, outlines, 0.5)
        assert near["name"].tolist() == ["c", "d", "e", "b"]
        assert near["similarity"].tolist() == [1, 1, 1, pytest.approx(1 / np.sqrt(1 + 1 / 16), abs=1e-4)]
        assert set(near["train_label"]) == {"v"}
