import pytest

from pipeline.models.backbones.backbone import compute_weights_digest

pytestmark = pytest.mark.usefixtures("tensorflow")


class TestDigest:
    def test_it_is_a_sha256(self, network):
        digest = compute_weights_digest(network("mobilenet"))
        assert len(digest) == 64
        assert set(digest) <= set("0123456789abcdef")

    def test_the_same_weights_have_the_same(self, network):
        first = compute_weights_digest(network("mobilenet"))
        assert compute_weights_digest(network("mobilenet")) == first

    @pytest.mark.parametrize("place", [0, 60, -1])
    def test_one_other_number_gives_another(self, network, place):
        model = network("mobilenet")
        weights, before = model.get_weights(), compute_weights_digest(model)
        changed = [array.copy() for array in weights]
        changed[place].flat[-1] += 1e-3
        model.set_weights(changed)
        after = compute_weights_digest(model)
        model.set_weights(weights)
        assert after != before
        assert compute_weights_digest(model) == before
