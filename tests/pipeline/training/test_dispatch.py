"""A network and the teacher that it learns from."""

import contextlib
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from pipeline.data.embeddings import EmbeddingFacts, EmbeddingWriter, load_embeddings, save_facts
from pipeline.runtime.errors import PipelineError
from pipeline.training.checkpoints import NO_CHECKPOINTS, Checkpoints, Pace
from tests.conftest import ROOT
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("small_backbone")

SIZE, TEACHER, STUDENT, TEMPERATURE = 32, "mobilenet", "underfit", 2.5
SETTINGS: dict[str, Any] = {
    "families": [STUDENT],
    "preprocess.image_size": SIZE,
    **{f"recipes.{name}.backbone.weights": "none" for name in (TEACHER, "mobilenet_svm")},
    **{f"recipes.{name}.input_size": SIZE for name in (TEACHER, "mobilenet_svm")},
    "recipes.mobilenet.epochs": 3,
    "recipes.underfit.epochs": 3,
    "recipes.underfit.augment.mixup": 0.2,
    "recipes.underfit.distill.teacher": TEACHER,
    "recipes.underfit.distill.weight": 0.6,
    "recipes.underfit.distill.temperature": TEMPERATURE,
}


def load(**changes: Any) -> Params:
    """changes: two underscores for a dot."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return load_params(ROOT / "params.yaml", SETTINGS | named)


@pytest.fixture(scope="module")
def data(small_backbone, tmp_path_factory) -> Path:  # noqa: ARG001 - what it patches is used
    """A folder with images, and with the features that `embed` keeps under the names of teacher and student: the same ones."""
    from pipeline.models.backbones.backbone import compute_weights_digest
    from pipeline.models.backbones.loader import build_backbone
    from tests.small_backbone import NUM_FEATURES

    folder, rng = tmp_path_factory.mktemp("distilled"), np.random.default_rng(0)
    splits = {"train": make_coloured_split(24, SIZE), "val": make_coloured_split(9, SIZE, seed=1)}
    write_records(folder / "data/tfrecords", class_names=["red", "green", "blue"], **splits)
    features = folder / "data/embeddings" / TEACHER
    features.mkdir(parents=True)
    writer = EmbeddingWriter(features, "float32")
    for split, (_, numbers) in splits.items():
        for view in range(2 if split == "train" else 1):
            near = np.eye(NUM_FEATURES)[numbers] + rng.normal(0, 0.5, (len(numbers), NUM_FEATURES))
            writer.write(split, view, [(near, numbers)])
    digest = compute_weights_digest(build_backbone(TEACHER, SIZE, "none", family=TEACHER))
    counts = {split: len(numbers) for split, (_, numbers) in splits.items()}
    save_facts(EmbeddingFacts(TEACHER, "key", digest, NUM_FEATURES, "float32", 1, counts), features)
    shutil.copytree(features, features.with_name(STUDENT))
    return folder


@pytest.fixture
def _inside(data, tmp_path, monkeypatch) -> None:
    (tmp_path / "data").symlink_to(data / "data")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_inside")
class TestLesson:
    def take(self, params: Params):
        from pipeline.config.recipes import resolve_family
        from pipeline.training.dispatch import take_lesson

        return take_lesson(STUDENT, resolve_family(params, STUDENT), params, NO_CHECKPOINTS)

    @pytest.mark.parametrize("teacher", [TEACHER, pytest.param("mobilenet_svm", marks=pytest.mark.ci)])
    def test_it_is_what_the_model_of_the_teachers_own_family_says_of_the_training_images(self, caplog, teacher):
        from pipeline.models.predictions import predict
        from pipeline.training.dispatch import train_family
        from pipeline.training.distillation import soften

        caplog.set_level(logging.INFO)
        params = load(recipes__underfit__distill__teacher=teacher)
        lesson = self.take(params)
        own = load_embeddings(TEACHER)
        model = train_family(teacher, params, record=Path("record"), embeddings=own)
        labels, probabilities = predict(model, "train", own)
        assert (lesson.targets == soften(probabilities, TEMPERATURE)).all()
        assert (lesson.weight, lesson.temperature) == (0.6, TEMPERATURE)
        accuracy = f"{(probabilities.argmax(axis=1) == labels).mean():.4f}"
        assert f"underfit: learns from {teacher}, whose accuracy on the training images is {accuracy}" in caplog.text

    def test_without_a_teacher_there_is_none_and_no_features_are_needed(self):
        assert self.take(load(recipes__underfit__distill__teacher=None)) is None

    def test_where_embed_has_kept_nothing_it_says_what_to_run(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path.parent)
        expected = "data/embeddings/underfit has no features: expected them from `dvc repro embed@underfit`"
        with pytest.raises(PipelineError, match=expected):
            self.take(load())

    def test_features_of_other_weights_are_refused_by_the_name_of_the_network(self, monkeypatch):
        monkeypatch.setattr("pipeline.training.features.compute_weights_digest", lambda _: "of others")
        with pytest.raises(PipelineError, match=r"recipes\.mobilenet\.backbone.* run `dvc repro -f embed@underfit`"):
            self.take(load())


class _KilledError(Exception):
    pass


@pytest.mark.ci
@pytest.mark.usefixtures("_inside")
def test_two_trainings_and_one_that_was_killed_end_in_the_same_bytes(tmp_path, caplog):
    import keras

    from pipeline.models.artifacts import save_model
    from pipeline.training.dispatch import train_family
    from pipeline.training.head import _compile_head

    def kill(epoch: int, accuracy: float) -> None:  # noqa: ARG001 - Watch's
        if epoch == 1:
            raise _KilledError

    def train(name: str, *, watch: Any = None) -> bytes:
        # As in a new process.
        keras.backend.clear_session()
        _compile_head.cache_clear()
        kept = Checkpoints(tmp_path / "checkpoints" / name[:6], STUDENT, lambda: "a" * 64, Pace(first=0.0, share=1e9))
        model = train_family(STUDENT, load(), record=Path("record"), watch=watch, checkpoints=kept)
        save_model(model, tmp_path / f"{name}.keras")
        return (tmp_path / f"{name}.keras").read_bytes()

    caplog.set_level(logging.INFO, "pipeline.training")
    whole = train("first")
    assert train("second") == whole
    with contextlib.suppress(_KilledError):
        train("killed", watch=kill)
    assert "resumes" not in caplog.text
    assert train("killed again") == whole
    assert "mobilenet: resumes at epoch 3 of 3" in caplog.text
    assert "underfit: resumes at epoch 2 of 3" in caplog.text
