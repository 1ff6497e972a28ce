import numpy as np
import pytest

from pipeline.config.reader import load_params
from pipeline.data.tfrecords import load_dataset_facts
from tests.tfrecords import make_noise, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, COUNT, NETWORK, BACKBONE = 16, 9, "underfit", "mobilenet"
IMAGES = make_noise(COUNT, SIZE)
AUGMENT = {"flip": "both", "rotation": 0.2, "zoom": 0.2, "contrast": 0.2}
NONE = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}


@pytest.fixture(autouse=True)
def data(project):
    write_records(class_names=["red", "green", "blue"], train=(IMAGES, np.arange(COUNT) % 3))
    recipes = {f"recipes__{family}__augment": AUGMENT for family in (NETWORK, BACKBONE)}
    project.set(families=[NETWORK], preprocess__image_size=SIZE, embed__views=2, embed__seed=7, **recipes)
    return project


def draw(family: str) -> np.ndarray:
    from pipeline.evaluation.samples import draw_samples

    return draw_samples(family, load_params(), load_dataset_facts())


def make_augmentation():
    from pipeline.data.augmentation import Augmentation

    return Augmentation(**AUGMENT)


@pytest.mark.parametrize("family", [NETWORK, BACKBONE])
def test_the_first_images_come_unchanged_and_then_augmented(family):
    samples = draw(family)
    assert samples.dtype == np.uint8
    assert samples.shape == (5, 1 + (4 if family == NETWORK else 2), SIZE, SIZE, 3)
    np.testing.assert_array_equal(samples[:, 0], IMAGES[:5])
    versions = samples.astype(float).swapaxes(0, 1)
    for number, version in enumerate(versions):
        assert all(np.abs(version - other).mean() > 1 for other in versions[:number])


def test_those_of_a_network_are_from_its_first_epochs():
    from pipeline.data.batches import make_training_batches

    batches, steps = make_training_batches(
        batch_size=COUNT,
        seed=load_params().train.seed,
        augmentation=make_augmentation(),
        cache_gb=1.0,
        shuffle_buffer=COUNT,
    )
    assert steps == 1
    for version, (images, _) in enumerate(batches.take(4), start=1):
        for sample in draw(NETWORK)[:, version]:
            assert np.abs(images.numpy() - sample).max(axis=(1, 2, 3)).min() <= 0.51  # the order is another one


def test_those_of_a_backbone_are_its_views():
    from pipeline.data.batches import read_views

    for view in (1, 2):
        (images, _), *_ = read_views("train", view, batch_size=COUNT, seed=7, augmentation=make_augmentation())
        np.testing.assert_allclose(draw(BACKBONE)[:, view], images.numpy()[:5], atol=0.51)


def test_train_overrides_the_recipe(data):
    data.set(train__augment=NONE)
    assert draw(NETWORK).shape == (0, 1, SIZE, SIZE, 3)


@pytest.mark.parametrize("family", ["linear_svm", NETWORK])
def test_a_family_that_does_not_augment_has_none(data, family):
    data.set(recipes__underfit__augment=NONE)
    assert draw(family).shape == (0, 1, SIZE, SIZE, 3)
