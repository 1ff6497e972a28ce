import numpy as np
import pytest

from pipeline.data.embeddings import EmbeddingFacts, EmbeddingWriter, save_facts
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, COUNT = 16, 90  # images, of three kinds


@pytest.fixture
def names(tmp_path, monkeypatch) -> list[str]:
    """Of test images, which lie in data/tfrecords."""
    monkeypatch.chdir(tmp_path)
    counts = {"train": 3, "val": 3, "test": COUNT}
    splits = {name: make_coloured_split(n, SIZE, seed=n) for name, n in counts.items()}
    write_records(class_names=["red", "green", "blue"], **splits)
    return [f"{number}.png" for number in range(COUNT)]


def keep_features(features: np.ndarray) -> None:
    """As `embed` keeps those of test."""
    from pipeline.runtime.paths import EMBEDDINGS

    folder = EMBEDDINGS / "mobilenet"
    folder.mkdir(parents=True)
    EmbeddingWriter(folder, "float32").write("test", 0, [(features, np.zeros(len(features), int))])
    save_facts(EmbeddingFacts("mobilenet", "key", "weights", 8, "float32", 0, {"test": len(features)}), folder)


def group(family: str, names: list[str]):
    from pipeline.evaluation.look_alikes import group_look_alikes
    from pipeline.models.build import build_model

    model = build_model(family, image_size=SIZE, num_classes=3) if family == "underfit" else None
    return group_look_alikes(family, model, names, seed=42)


def test_images_with_features_in_one_direction_are_a_group_named_after_the_one_in_the_middle(names):
    kinds, rng = np.arange(COUNT) % 3, np.random.default_rng(0)
    features = 10 * np.eye(8)[kinds] + rng.normal(size=(COUNT, 8)) * np.where(np.arange(COUNT) < 3, 0, 1)[:, None]
    keep_features(features * rng.uniform(1, 100, (COUNT, 1)))  # how long they are says nothing
    table = group("mobilenet", names)
    assert table["name"].tolist() == names
    assert table.groupby("alike").ngroups == 3
    for kind in range(3):
        (middle,) = set(table["alike"][kinds == kind])
        assert int(middle.removesuffix(".png")) % 3 == kind


def test_the_same_images_are_the_same_groups(names):
    keep_features(np.random.default_rng(0).normal(size=(COUNT, 8)))
    assert group("mobilenet", names).equals(group("mobilenet", names))


def test_many_images_are_read_a_block_at_a_time_and_join_the_groups_of_the_first_one(names, monkeypatch):
    """Kinds take turns, so that the first block has all of them: the groups are those of all images at once."""
    kinds = np.arange(COUNT) % 3
    keep_features(10 * np.eye(8)[kinds] + np.random.default_rng(0).normal(size=(COUNT, 8)) / 10)
    at_once = group("mobilenet", names)
    monkeypatch.setattr("pipeline.evaluation.look_alikes._FITTED", 64)
    in_blocks = group("mobilenet", names)
    assert in_blocks["name"].tolist() == names
    pairs = set(zip(at_once["alike"], in_blocks["alike"], strict=True))
    assert len(pairs) == at_once["alike"].nunique() == in_blocks["alike"].nunique() == 3


@pytest.mark.parametrize("block", [64, 16_384])
def test_a_network_without_a_backbone_compares_what_its_last_layer_gets(names, block, monkeypatch):
    monkeypatch.setattr("pipeline.evaluation.look_alikes._FITTED", block)
    table = group("underfit", names)
    assert table["name"].tolist() == names
    assert 1 < table.groupby("alike").ngroups <= 3


def test_with_fewer_than_sixty_images_there_are_none(names):
    keep_features(np.random.default_rng(0).normal(size=(59, 8)))
    assert len(group("mobilenet", names[:59])) == 0
