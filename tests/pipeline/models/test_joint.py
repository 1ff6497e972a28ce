import numpy as np
import pytest

from pipeline.evaluation.familiarity import fit_directions, measure_distances
from pipeline.models.build import build_model
from pipeline.models.joint import make_extractor, make_joint
from pipeline.models.mirrors import average_mirrors

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE, 3), np.uint8).astype(np.float32)


@pytest.mark.parametrize("family", ["optimized", "dense_ann"])  # the second resizes in front of its network
def test_the_distance_is_behind_the_probabilities(family):
    image_size = 40 if family == "dense_ann" else SIZE
    images = np.pad(IMAGES, ((0, 0), (0, image_size - SIZE), (0, image_size - SIZE), (0, 0)))
    model = build_model(family, image_size=image_size, num_classes=3)
    features = make_extractor(model)(images, training=False).numpy()
    directions = fit_directions(features, np.arange(40) % 3, 3)
    both = make_joint(model, **vars(directions))(images, training=False).numpy()
    np.testing.assert_allclose(both[:, :3], model(images, training=False).numpy(), atol=1e-6)
    np.testing.assert_allclose(both[:, 3], measure_distances(features, directions), rtol=5e-3)


def test_directions_of_another_network_do_not_fit():
    model = build_model("underfit", image_size=SIZE, num_classes=3)
    with pytest.raises(ValueError, match="the last layer takes"):
        make_joint(model, **vars(fit_directions(np.random.default_rng(1).random((20, 7)), np.arange(20) % 3, 3)))


def test_a_model_that_averages_mirror_images_averages_their_distances():
    model = build_model("optimized", image_size=SIZE, num_classes=3)
    features, mirrored = (
        make_extractor(model)(images, training=False).numpy() for images in (IMAGES, IMAGES[:, :, ::-1])
    )
    directions = fit_directions(features, np.arange(40) % 3, 3)
    averaged = average_mirrors(model)
    assert np.array_equal(make_extractor(averaged)(IMAGES, training=False).numpy(), features)
    both = make_joint(averaged, **vars(directions))(IMAGES, training=False).numpy()
    np.testing.assert_allclose(both[:, :3], averaged(IMAGES, training=False).numpy(), atol=1e-6)
    distances = [measure_distances(seen, directions) for seen in (features, mirrored)]
    np.testing.assert_allclose(both[:, 3], np.mean(distances, axis=0), rtol=5e-3)
