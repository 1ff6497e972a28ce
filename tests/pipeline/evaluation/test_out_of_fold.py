import json
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier

from pipeline.data.embeddings import EmbeddingFacts, EmbeddingWriter, Rows, save_none
from pipeline.data.tfrecords import DatasetFacts, load_dataset_facts
from pipeline.evaluation import out_of_fold
from pipeline.evaluation.out_of_fold import predict_folds, predict_out_of_fold, solve, sum_products
from pipeline.report.label_issues import find_suspects
from tests.tfrecords import make_noise, write_records

FAMILY, NAMES, WIDTH = "efficientnet_lite0", ["cat", "NA", "7"], 12


def make_features(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds, far apart, and their numbers."""
    random, labels = np.random.default_rng(seed), np.arange(count) % len(NAMES)
    centres = 3 * np.eye(len(NAMES), WIDTH)
    return (centres[labels] + random.normal(0, 0.6, (count, WIDTH))).astype(np.float32), labels


def write_project(features: np.ndarray, labels: np.ndarray) -> tuple[DatasetFacts, list[str], list[str]]:
    """data/tfrecords and the features of FAMILY; facts, image ids and names."""
    val = make_noise(3, 8), np.arange(3)
    write_records(class_names=NAMES, train=(make_noise(len(labels), 8), labels), val=val)
    folder = Path("data/embeddings") / FAMILY
    folder.mkdir(parents=True)
    EmbeddingWriter(folder, "float32").write("train", 0, [(features, labels)])
    facts = EmbeddingFacts(FAMILY, "", "", WIDTH, "float32", 0, {"train": len(labels)})
    (folder / "embeddings.json").write_text(json.dumps(asdict(facts)))
    return load_dataset_facts(), [f"id-{i}" for i in range(len(labels))], [f"{i}.png" for i in range(len(labels))]


def predict(features: np.ndarray, labels: np.ndarray, num_folds: int = 5, seed: int = 42) -> pd.DataFrame:
    facts, ids, names = write_project(features, labels)
    return predict_out_of_fold(FAMILY, facts, lambda: (ids, names), num_folds=num_folds, seed=seed)


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class TestTable:
    def test_every_training_image_is_predicted_once_in_order(self):
        features, labels = make_features(60)
        table = predict(features, labels)
        assert table["image_id"].tolist() == [f"id-{i}" for i in range(60)]
        assert table["label"].tolist() == [NAMES[label] for label in labels]
        assert list(table.filter(regex="^p:")) == [f"p:{name}" for name in NAMES]
        np.testing.assert_allclose(table.filter(regex="^p:").sum(axis=1), 1, atol=1e-5)
        assert (table["label"] == table["predicted"]).mean() > 0.95

    def test_planted_labels_are_found_in_training_images(self):
        features, labels = make_features(200)
        wrong = [3, 50, 77, 101, 150]
        labels = labels.copy()
        labels[wrong] = (labels[wrong] + 1) % 3
        found = find_suspects({"train": predict(features, labels)})
        assert set(found["name"]) <= {f"{i}.png" for i in wrong}
        assert len(found) >= 4
        assert set(found["split"]) == {"train"}

    def test_it_is_the_same_every_time_and_the_seed_draws_other_folds(self):
        features, labels = make_features(60)
        facts, ids, names = write_project(features, labels)
        one, same, other = (
            predict_out_of_fold(FAMILY, facts, lambda: (ids, names), num_folds=4, seed=seed) for seed in (1, 1, 2)
        )
        pd.testing.assert_frame_equal(one, same)
        assert not one.equals(other)

    def test_with_no_folds_there_are_no_rows(self):
        table = predict(*make_features(30), num_folds=0)
        assert table.empty
        assert "p:NA" in table

    def test_a_family_that_trains_on_pixels_has_none(self):
        facts, ids, names = write_project(*make_features(30))
        save_none("underfit")
        assert predict_out_of_fold("underfit", facts, lambda: (ids, names), num_folds=5, seed=1).empty

    def test_a_class_of_three_images_makes_three_folds(self):
        features, labels = make_features(60)
        kept = np.concatenate([np.flatnonzero(labels != 2), np.flatnonzero(labels == 2)[:3]])
        assert len(predict(features[kept], labels[kept])) == len(kept)

    def test_a_class_of_one_image_has_no_second_opinion_and_that_is_said(self, caplog):
        features, labels = make_features(60)
        kept = np.concatenate([np.flatnonzero(labels != 2), [2]])
        with caplog.at_level(logging.WARNING):
            assert predict(features[kept], labels[kept]).empty
        assert "not sought in training images" in caplog.text

    def test_copies_with_two_labels_share_a_fold(self):
        features, labels = make_features(60)
        facts, ids, names = write_project(features, labels)
        ids[1] = ids[3] = ids[0]
        assert len(predict_out_of_fold(FAMILY, facts, lambda: (ids, names), num_folds=20, seed=1)) == 60

    def test_images_of_a_group_share_a_fold(self, monkeypatch):
        facts, ids, names = write_project(*make_features(60))
        groups = [f"g{i // 6}" for i in range(60)]
        pd.DataFrame({"name": names, "group": groups}).to_csv("data/tfrecords/groups.csv", index=False)
        seen = {}
        monkeypatch.setattr(
            out_of_fold, "predict_folds", lambda *a, **k: seen.update(folds=a[2]) or predict_folds(*a, **k)
        )
        predict_out_of_fold(FAMILY, facts, lambda: (ids, names), num_folds=5, seed=1)
        folds = pd.Series(seen["folds"]).groupby(groups).nunique()
        assert set(folds) == {1}


class TestFolds:
    def test_an_image_has_no_say_in_its_own_prediction(self):
        """Probabilities of a fold depend on its labels through the temperature alone, which leaves the order of classes."""
        features, labels = make_features(40)
        folds = np.arange(40) % 4
        changed = np.where(folds == 2, (labels + 1) % 3, labels)
        one = predict_folds(Rows([features]), labels, folds, num_classes=3)
        other = predict_folds(Rows([features]), changed, folds, num_classes=3)
        here = folds == 2
        assert (one[here].argmax(axis=1) == other[here].argmax(axis=1)).all()

    def test_it_is_ridge_regression(self):
        features, labels = make_features(50)
        weights = solve(*sum_products(Rows([features]), labels, np.arange(50), 3))
        penalty = np.trace(np.cov(features.T, bias=True)) * 50 / WIDTH
        theirs = RidgeClassifier(alpha=penalty, solver="cholesky").fit(features, labels)
        np.testing.assert_allclose(2 * weights[:-1].T, theirs.coef_, atol=1e-5)
        np.testing.assert_allclose(2 * weights[-1] - 1, theirs.intercept_, atol=1e-5)

    def test_shards_and_blocks_do_not_matter(self, monkeypatch):
        features, labels = make_features(50)
        folds = np.arange(50) % 5
        one = predict_folds(Rows([features]), labels, folds, num_classes=3)
        monkeypatch.setattr(out_of_fold, "_ROWS", 3)
        other = predict_folds(Rows([features[:20], features[20:]]), labels, folds, num_classes=3)
        np.testing.assert_allclose(one, other, atol=1e-9)

    def test_features_that_are_all_the_same_say_nothing(self):
        probabilities = predict_folds(
            Rows([np.ones((30, 4), np.float32)]), np.arange(30) % 3, np.arange(30) % 5, num_classes=3
        )
        np.testing.assert_allclose(probabilities, 1 / 3, atol=0.2)
