from itertools import chain

import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.config.reader import check_params, load_params, read_params
from pipeline.config.recipes import describe_settings
from pipeline.doctor.rungs import LADDERS

RUNGS = list(dict.fromkeys(chain(*LADDERS.values())))


@pytest.mark.ci
@pytest.mark.parametrize("rung", RUNGS, ids=str)
def test_what_dvc_sets_is_what_the_estimate_is_for(project, rung):
    planned = check_params(read_params(), rung.overrides)
    apply_overrides(project.folder / "params.yaml", rung.settings)
    params = load_params()
    assert params.families == planned.families == list(rung.families)
    assert params.embed == planned.embed
    for family in rung.families:
        assert describe_settings(params, family) == describe_settings(planned, family)
        assert params.input_size(family) == rung.size


def test_a_better_preset_has_all_that_a_cheaper_one_has_behind_its_own():
    fast, good, best = (LADDERS[name] for name in ("fast", "good", "best"))
    assert good[-len(fast) :] == fast
    assert best[-len(good) :] == good


@pytest.mark.parametrize("name", LADDERS)
def test_what_is_measured_once_for_a_size_is_cut_at_one_block(name):
    tuned = {(rung.measured_size, rung.cut) for rung in LADDERS[name] if rung.epochs}
    assert len(tuned) == len(dict(tuned))


def test_a_rung_is_said_in_words():
    assert str(LADDERS["best"][4]) == (
        "efficientnet_lite0, fine-tuned after block 12 for 4 epochs, 192 px, a view of each image, mirror images averaged"
    )
    assert str(LADDERS["good"][0]) == "efficientnet_lite0, fine-tuned for 4 epochs, 160 px, a view of each image"
    assert str(LADDERS["fast"][-1]) == "efficientnet_lite0, frozen, 64 px"
