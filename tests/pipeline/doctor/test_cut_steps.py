import pytest

from pipeline.config.reader import load_published_recipe
from pipeline.runtime.errors import PipelineError

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture
def measure(monkeypatch):
    """The cuts of a mobilenet of three blocks, of which the last ends the network."""
    from pipeline.doctor import cut_steps, steps
    from tests.small_backbone import shrink_mobilenet

    shrink_mobilenet(monkeypatch)
    monkeypatch.setattr(steps, "_PER_FAMILY", 0.0)
    recipe = load_published_recipe("mobilenet_fine_tuned")

    def measure(**changes):
        rule = recipe.fine_tune.model_copy(update=changes)
        changed = recipe.model_copy(update={"fine_tune": rule, "batch_size": 2})
        return cut_steps.measure_cuts("mobilenet_fine_tuned", changed, 32, 3)

    return measure


@pytest.mark.ci
def test_each_block_but_the_last_is_a_cut_with_what_follows_it(measure):
    cuts = measure(**{"from": "block 2"})
    assert [(cut.block, cut.shape) for cut in cuts.found] == [(1, (16, 16, 8)), (2, (8, 8, 16))]
    second = 3 * 3 * 16 + 2 * 16 + 16 * 64 + 2 * 64  # with scale and offset of the normalizations
    first = 3 * 3 * 8 + 2 * 8 + 8 * 16 + 2 * 16
    assert [cut.weights for cut in cuts.found] == [first + second, second]
    assert cuts.whole == 3 * 3 * 3 * 8 + 2 * 8 + first + second
    assert 1 > cuts.found[0].share > cuts.found[1].share > 0
    assert (cuts.chosen, cuts.refused, set(cuts.measured)) == (2, {}, {1, 2})
    assert all(seconds > 0 for seconds in cuts.measured.values())


@pytest.mark.ci
def test_where_layers_before_a_cut_shall_train_it_is_none(measure):
    cuts = measure(unfreeze="2 blocks")
    assert cuts.refused == {2: "fine_tune.unfreeze reaches before it"}
    assert (cuts.chosen, [cut.block for cut in cuts.found]) == (None, [1])


@pytest.mark.ci
def test_where_none_is_left_one_line_says_so(measure):
    with pytest.raises(PipelineError, match=r"^mobilenet_fine_tuned can be cut nowhere: expected .* received 3 blocks"):
        measure(unfreeze="3 blocks")


@pytest.mark.ci
def test_a_recipe_without_fine_tuning_gets_an_epoch_of_it():
    from pipeline.doctor.cut_steps import cut_at

    assert cut_at(load_published_recipe("mobilenet"), 4).fine_tune.cut == 4
