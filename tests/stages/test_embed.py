import contextlib
import json
import logging
import shutil
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.sections import Embed
from pipeline.data.embeddings import MIRROR, EmbeddingFacts, Embeddings, load_embeddings
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.errors import PipelineError
from stages.embed import embed
from tests.clone import run
from tests.code_digests import write_code
from tests.conftest import ROOT, Project
from tests.tfrecords import make_noise, write_records

SIZE, NAMES = 32, ["red", "green", "blue"]
COUNTS = {"train": 26, "val": 9, "test": 5}
SPLITS = {
    name: (make_noise(count, SIZE, seed=seed), np.random.default_rng(seed).integers(0, 3, count))
    for seed, (name, count) in enumerate(COUNTS.items())
}
AUGMENT = {"flip": "horizontal", "rotation": 0.1, "zoom": 0.2, "contrast": 0.0}
SETTINGS: dict[str, Any] = {"views": 2, "dtype": "float32", "batch_size": 8, "seed": 42}


@pytest.fixture(autouse=True)
def _logged(caplog):
    caplog.set_level(logging.INFO)


@pytest.fixture(scope="module", autouse=True)
def _configured(tensorflow):  # noqa: ARG001 - the verb does it itself, but only once in a process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.embed.configure_tensorflow", lambda **_: None)
        from tests.small_backbone import shrink_mobilenet

        shrink_mobilenet(patch)
        yield


def make_project(folder: Path, **settings: Any) -> Project:
    """Images for networks with random weights, the same each time."""
    project = Project(folder)
    weights = {f"recipes__{family}__backbone__weights": "none" for family in ("mobilenet", "mobilenet_svm")}
    project.set(preprocess__image_size=SIZE, **weights, **{f"embed__{key}": value for key, value in SETTINGS.items()})
    project.set(**settings)
    write_records(folder / "data/tfrecords", class_names=NAMES, **SPLITS)
    write_code("embed", "mobilenet", "mobilenet_svm", folder=folder)
    return project


@pytest.fixture(scope="module")
def run_embed(tmp_path_factory) -> Callable[..., Path]:
    """Runs the verb in a new project; returns its folder. settings: see Project.set."""

    def run_once(**settings: Any) -> Path:
        folder = tmp_path_factory.mktemp("project")
        make_project(folder, **settings)
        with contextlib.chdir(folder):
            embed("mobilenet")
        return folder

    return run_once


@pytest.fixture(scope="module")
def finished(run_embed) -> Path:
    """A project in which the verb has run for mobilenet. Not to be changed."""
    return run_embed()


@pytest.fixture(scope="module")
def build_once(tensorflow) -> Callable[..., Any]:  # noqa: ARG001 - must be configured before the module imports it
    """Backbones that all tests share."""
    from pipeline.models.backbones.loader import build_backbone

    return cache(build_backbone)


@pytest.fixture
def fast(build_once, monkeypatch) -> None:
    """Backbones are built once, and not applied: every feature is the mean of the pixels."""

    def freeze(_):
        return lambda images: np.repeat(np.asarray(images, np.float32).mean(axis=(1, 2, 3))[:, None], 64, axis=1)

    monkeypatch.setattr("pipeline.models.backbones.loader.build_backbone", build_once)
    monkeypatch.setattr("pipeline.models.extraction.freeze", freeze)


def load(folder: Path, family: str = "mobilenet") -> Embeddings:
    return load_embeddings(family, folder / "data/embeddings")


def read_all(found: Embeddings, split: str, view: int = 0) -> np.ndarray:
    rows = found.features(split, view)
    return rows.take(np.arange(len(rows)))


def read_bytes(folder: Path, family: str = "mobilenet") -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "data/embeddings" / family).iterdir()}


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for rounding. With random weights features are about 1e-21, so that only ratios count."""
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found / scale, expected / scale, rtol=1e-4, atol=1e-5)


class TestPixelFamilies:
    def test_they_get_an_empty_folder_at_no_cost(self, tmp_path):
        """Without TensorFlow, TFRecords and digests of the code."""
        Project(tmp_path)
        code = (
            "import sys; from pipeline.runtime.logging import configure_logging; from stages.embed import embed; "
            "configure_logging(); embed('underfit'); embed('linear_svm'); "
            "assert not {'tensorflow', 'keras'} & set(sys.modules)"
        )
        output = run([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(ROOT))
        assert output.splitlines() == [
            f"{family} trains on pixels: nothing to embed" for family in ("underfit", "linear_svm")
        ]
        for family in ("underfit", "linear_svm"):
            folder = tmp_path / "data/embeddings" / family
            assert [file.name for file in folder.iterdir()] == ["embeddings.json"]
            with pytest.raises(PipelineError, match="has no features"):
                load(tmp_path, family)


class TestFeatures:
    def test_every_split_has_one_row_per_image_and_its_label(self, finished):
        found = load(finished)
        for split, (_, labels) in SPLITS.items():
            assert read_all(found, split).shape == (len(labels), 64)
            np.testing.assert_array_equal(found.labels(split), labels)

    def test_mirror_images_have_features_where_models_average_them(self, run_embed, build_once):
        from pipeline.models.transfer import make_feature_model

        found = load(run_embed(evaluate__tta="flip", families=["mobilenet"]))
        model = make_feature_model("mobilenet", build_once("mobilenet", SIZE, "none"), image_size=SIZE, input_size=SIZE)
        for split, (images, _) in SPLITS.items():
            assert_close(read_all(found, split, MIRROR), model(images[:, :, ::-1]).numpy())

    def test_they_have_none_otherwise(self, finished):
        assert not load(finished).facts.mirrored
        assert not list((finished / "data/embeddings/mobilenet").glob("*mirror*"))

    def test_rows_are_the_networks_output_in_the_order_of_the_records(self, finished, build_once):
        from pipeline.models.transfer import make_feature_model

        network = build_once("mobilenet", SIZE, "none")
        model = make_feature_model("mobilenet", network, image_size=SIZE, input_size=SIZE)
        for split, (images, _) in SPLITS.items():
            assert_close(read_all(load(finished), split), model(images, training=False).numpy())

    def test_only_training_images_have_augmented_views(self, finished):
        found = load(finished)
        assert [read_all(found, "train", view).shape for view in (1, 2)] == [(26, 64), (26, 64)]
        assert all(len(found.features(split, view)) == 0 for split in ("val", "test") for view in (1, 2))
        assert len(found.features("train", 3)) == 0

    def test_the_facts_describe_the_files(self, finished, build_once):
        from pipeline.models.backbones.backbone import compute_weights_digest

        facts = load(finished).facts
        assert (facts.backbone, facts.num_features, facts.dtype, facts.views) == ("mobilenet", 64, "float32", 2)
        assert facts.num_images == COUNTS
        assert facts.weights_sha256 == compute_weights_digest(build_once("mobilenet", SIZE, "none"))

    def test_two_runs_write_the_same_bytes(self, finished, run_embed):
        assert read_bytes(run_embed()) == read_bytes(finished)

    def test_the_batch_size_does_not_change_the_features(self, finished, run_embed):
        expected, found = load(finished), load(run_embed(embed__batch_size=5, embed__views=1))
        for split, view in [("train", 0), ("train", 1), ("val", 0), ("test", 0)]:
            assert_close(read_all(found, split, view), read_all(expected, split, view))


@pytest.mark.usefixtures("fast")
class TestParameters:
    def test_no_views_are_written_if_none_are_wanted(self, run_embed):
        folder = run_embed(embed__views=0)
        assert load(folder).facts.views == 0
        assert {name for name in read_bytes(folder) if "view" in name} == {
            f"{split}-view000-00000.npy" for split in COUNTS
        }

    def test_no_views_are_written_without_augmentation(self, run_embed):
        none = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
        folder = run_embed(recipes__mobilenet__augment=none)
        assert load(folder).facts.views == 0
        assert not [name for name in read_bytes(folder) if "view001" in name]

    def test_train_augment_overrides_the_recipe(self, run_embed):
        changes = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
        folder = run_embed(**{f"train__augment__{key}": value for key, value in changes.items()})
        assert load(folder).facts.views == 0

    def test_float16_halves_the_features_on_disk(self, run_embed):
        found = load(run_embed(embed__dtype="float16"))
        assert found.facts.dtype == "float16"
        assert {np.load(file).dtype for file in found.folder.glob("*-view*.npy")} == {np.dtype("float16")}
        images, _ = SPLITS["val"]
        np.testing.assert_allclose(read_all(found, "val")[:, 0], images.mean(axis=(1, 2, 3)), rtol=1e-3)

    @pytest.mark.parametrize(
        ("features", "dtype", "line"),
        [
            (
                [1e5, 1.0],
                "float16",
                "m: features of up to 1e+05 do not fit embed.dtype float16: expected at most 6.55e+04",
            ),
            ([np.nan, 1.0], "float16", "m: its backbone gives features that are no numbers"),
            ([np.inf, 1.0], "float32", "m: its backbone gives features that are no numbers"),
        ],
    )
    def test_features_of_which_no_loss_can_be_computed_are_refused(self, features, dtype, line):
        from pipeline.models.embedding import check_finite

        with pytest.raises(PipelineError) as caught:
            check_finite(np.array([features], np.float32), "m", dtype)
        assert str(caught.value).startswith(line)

    def test_views_that_are_no_longer_wanted_are_deleted(self, run_embed, monkeypatch):
        folder = run_embed()
        monkeypatch.chdir(folder)
        project = Project(folder)
        project.set(preprocess__image_size=SIZE, recipes__mobilenet__backbone__weights="none", embed__views=0)
        embed("mobilenet")
        assert not [name for name in read_bytes(folder) if "view001" in name]


class TestTwins:
    @pytest.fixture
    def project(self, finished, tmp_path, monkeypatch) -> Project:
        """A project with mobilenet's features, in which mobilenet_svm is to be embedded next."""
        project = make_project(tmp_path)
        (tmp_path / "data/embeddings/mobilenet").mkdir(parents=True)
        for name, content in read_bytes(finished).items():
            (tmp_path / "data/embeddings/mobilenet" / name).write_bytes(content)
        monkeypatch.chdir(tmp_path)
        return project

    def test_a_family_on_the_same_backbone_gets_copies_of_the_files(self, project, caplog):
        embed("mobilenet_svm")
        assert caplog.messages == ["mobilenet_svm: has the same features as mobilenet, copied"]
        assert read_bytes(project.folder, "mobilenet_svm") == read_bytes(project.folder)

    def test_a_network_gets_its_teachers(self, project, caplog):
        project.set(recipes__underfit__distill={"teacher": "mobilenet"}, families=["underfit"])
        write_code("embed", "underfit")
        embed("underfit")
        assert caplog.messages == ["underfit: has the same features as mobilenet, copied"]
        assert read_bytes(project.folder, "underfit") == read_bytes(project.folder)

    @pytest.mark.ci
    @pytest.mark.usefixtures("fast")
    @pytest.mark.parametrize(
        "changes",
        [
            {"embed__seed": 7},
            {"embed__views": 1},
            {"embed__dtype": "float16"},
            {"recipes__mobilenet_svm__augment": AUGMENT | {"zoom": 0.3}},
            {"recipes__mobilenet_svm__input_size": 40},
            {"train__augment__flip": "both"},
            {"runtime__onednn": False},  # other kernels, other rounding
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_other_features_are_computed(self, project, caplog, changes):
        project.set(**changes)
        embed("mobilenet_svm")
        assert "copied" not in caplog.text
        assert load(project.folder, "mobilenet_svm").facts.key != load(project.folder).facts.key

    @pytest.mark.usefixtures("fast")
    def test_features_of_other_records_are_computed(self, project, caplog):
        facts = project.folder / "data/tfrecords/dataset.json"
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"resize": "crop"}))
        embed("mobilenet_svm")
        assert "copied" not in caplog.text

    @pytest.mark.usefixtures("fast")
    def test_features_by_other_code_are_computed(self, project, caplog):
        write_code("embed", "mobilenet_svm", folder=project.folder, pipeline__data__augmentation="another version")
        embed("mobilenet_svm")
        assert "copied" not in caplog.text


def flatten(images: Any) -> np.ndarray:
    return np.asarray(images, np.float32).reshape(len(images), -1)


def embed_pixels(
    folder: Path,
    extract: Callable[[Any], np.ndarray] = flatten,
    *,
    family: str = "pixels",
    key: str | None = None,
    **changes: Any,
) -> Embeddings:
    """Runs embed_images in a folder with records, with the pixels themselves as features."""
    from pipeline.data.augmentation import Augmentation
    from pipeline.models.embedding import embed_images, extract_here

    settings, size = Embed(**SETTINGS | changes), SIZE * SIZE * 3
    facts = EmbeddingFacts("none", "the key", "the weights", size, settings.dtype, settings.views, dict(COUNTS))
    with contextlib.chdir(folder):
        here = partial(extract_here, extract, settings, Augmentation(**AUGMENT))
        embed_images(family, here, facts, key=key)
    return load(folder, family)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    write_records(folder / "data/tfrecords", class_names=NAMES, **SPLITS)
    return folder


@pytest.fixture(scope="module")
def pixels(records) -> Embeddings:
    """With seed 42 and two views."""
    return embed_pixels(records)


@pytest.mark.ci
class TestKilled:
    @pytest.mark.parametrize("batches", [2, 5, 9, 12])
    def test_it_goes_on_and_the_bytes_are_those_of_a_run_that_was_not(self, records, tmp_path, monkeypatch, batches):
        """batches: after which it is killed: 4 of train, 2 of val, 1 of test, 4 of each view."""
        monkeypatch.setattr("pipeline.data.embeddings._SHARD_ROWS", 10)
        shutil.copytree(records / "data" / "tfrecords", tmp_path / "data" / "tfrecords")
        expected = embed_pixels(tmp_path, family="whole")
        monkeypatch.setattr("pipeline.models.embedding.map_ahead", map)  # in one thread, so that batches count in order
        seen: list[int] = []

        def extract(images: Any) -> np.ndarray:
            if len(seen) == batches:
                seen.clear()
                raise KeyboardInterrupt
            seen.append(len(images))
            return flatten(images)

        with pytest.raises(KeyboardInterrupt):
            embed_pixels(tmp_path, extract, family="killed", key="a key")
        again = embed_pixels(tmp_path, lambda images: seen.append(0) or flatten(images), family="killed", key="a key")
        assert len(seen) < 15, "what was finished is not computed again"
        for file in sorted(expected.folder.iterdir()):
            assert (again.folder / file.name).read_bytes() == file.read_bytes()
        assert len(list(again.folder.iterdir())) == len(list(expected.folder.iterdir()))


class TestPasses:
    def test_view_0_has_the_images_themselves(self, pixels):
        for split, (images, _) in SPLITS.items():
            np.testing.assert_array_equal(read_all(pixels, split), flatten(images))

    def test_views_differ_from_the_images_and_from_one_another(self, pixels):
        views = [read_all(pixels, "train", view) for view in range(3)]
        for i, one in enumerate(views):
            for other in views[:i]:
                assert (np.abs(one - other).mean(axis=1) > 1).all()

    def test_one_seed_gives_the_same_views_for_any_number_of_them(self, pixels, records):
        again = embed_pixels(records, family="again", views=1)
        np.testing.assert_array_equal(read_all(again, "train", 1), read_all(pixels, "train", 1))

    def test_another_seed_gives_other_views(self, pixels, records):
        other = embed_pixels(records, family="other", seed=7, views=1)
        assert (np.abs(read_all(other, "train", 1) - read_all(pixels, "train", 1)).mean(axis=1) > 1).all()
        np.testing.assert_array_equal(read_all(other, "train"), read_all(pixels, "train"))

    @pytest.mark.parametrize("batch_size", [5, 1000])
    def test_views_do_not_depend_on_the_batch_size(self, pixels, records, batch_size):
        found = embed_pixels(records, family=f"in batches of {batch_size}", batch_size=batch_size)
        for view in range(3):
            expected = read_all(pixels, "train", view)
            np.testing.assert_allclose(read_all(found, "train", view), expected, rtol=1e-5, atol=1e-3)

    def test_the_amount_of_work_is_logged(self, records, caplog):
        embed_pixels(records, family="logged")
        assert caplog.messages[0].startswith("logged: 92 images, 3072 features each, ")  # 26 · 3 + 9 + 5

    def test_an_interrupted_run_keeps_the_previous_files(self, tmp_path, records):
        (tmp_path / "data").mkdir()
        (tmp_path / "data/tfrecords").symlink_to(records / "data/tfrecords")
        embed_pixels(tmp_path, views=0)
        before, seen = read_bytes(tmp_path, "pixels"), []

        def fail_in_the_third_batch(images: Any) -> np.ndarray:
            seen.append(images)
            if len(seen) >= 3:
                raise KeyboardInterrupt
            return flatten(images)

        with pytest.raises(KeyboardInterrupt):
            embed_pixels(tmp_path, fail_in_the_third_batch)
        assert read_bytes(tmp_path, "pixels") == before
        assert [path.name for path in (tmp_path / "data/embeddings").iterdir()] == ["pixels"]


class TestRefusals:
    def refusal(self, monkeypatch, capsys, family: str) -> str:
        monkeypatch.setattr(sys, "argv", ["embed", family])
        with pytest.raises(SystemExit) as ended:
            run_family_verb(embed, "Embeds.")
        captured = capsys.readouterr()
        assert (ended.value.code, captured.out, captured.err.count("\n")) == (1, "", 1)
        assert not Path("data/embeddings").exists()
        return captured.err

    @pytest.mark.parametrize("family", ["mobilenet", "mobilenet_svm"])
    def test_a_missing_file_of_weights(self, tmp_path, monkeypatch, capsys, family):
        monkeypatch.chdir(tmp_path)
        make_project(tmp_path, **{f"recipes__{family}__backbone__weights": "mine.weights.h5"})
        message = self.refusal(monkeypatch, capsys, family)
        assert message.startswith(
            f"error: recipes.{family}.backbone.weights: {tmp_path / 'mine.weights.h5'} is not here"
        )

    def test_a_file_without_weights(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        make_project(tmp_path, recipes__mobilenet__backbone__weights="mine.weights.h5")
        Path("mine.weights.h5").write_bytes(b"nothing")
        assert "mine.weights.h5 can't be read" in self.refusal(monkeypatch, capsys, "mobilenet")

    def test_missing_records(self, project, monkeypatch, capsys):
        project.set(recipes__mobilenet__backbone__weights="none")
        assert "data/tfrecords/dataset.json is not here" in self.refusal(monkeypatch, capsys, "mobilenet")

    def test_an_unknown_family(self, project, monkeypatch, capsys):  # noqa: ARG002
        assert "did you mean mobilenet" in self.refusal(monkeypatch, capsys, "mobilenett")

    def test_missing_digests_of_the_code(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        make_project(tmp_path)
        (tmp_path / "data/code/embed/mobilenet.json").unlink()
        expected = "data/code/embed/mobilenet.json is not here: expected what the stage code writes"
        assert self.refusal(monkeypatch, capsys, "mobilenet") == f"error: {expected}; run `dvc repro embed@mobilenet`\n"
