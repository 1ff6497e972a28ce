from dataclasses import replace

import pytest

from pipeline.config.reader import load_params
from pipeline.doctor.minutes import estimate_run
from pipeline.doctor.times import describe_minutes, show_time
from tests.pipeline.doctor.measured import SPEEDS, make_trials

SPLITS = {"train": 640, "val": 160, "test": 200}


@pytest.fixture
def estimate(project):
    """Of a run with these parameters on two cores."""

    def run(speeds=SPEEDS, splits=SPLITS, **values):
        project.set(families=list(SPEEDS), **values)
        return estimate_run(load_params(), splits, 5, make_trials(10), speeds, 2)

    return run


def test_training_takes_epochs_times_steps(estimate):
    """40 steps of 16 images in 10 ms, and a third of that per image for validation, 10 epochs."""
    found = estimate(train__epochs=10).families["underfit"]
    epoch = 40 * 0.01 + 160 * 0.35 * 0.01 / 16
    assert found.train == pytest.approx(10 * epoch + 1.5 * 1.0 + 1.5 * 2.0)
    assert found.what == f"10 epochs of {epoch:.1f} s"


def test_the_cap_of_epochs_counts(estimate):
    assert estimate(train__max_epochs=2).families["underfit"].what.startswith("2 epochs")


def test_a_backbone_sees_each_picture_once_and_each_view(estimate):
    one, three = (estimate(embed__views=views).families["efficientnet_lite0"].embed for views in (1, 3))
    assert three - one == pytest.approx(2 * 640 * 0.01)
    plain = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
    assert one - estimate(train__augment=plain).families["efficientnet_lite0"].embed == pytest.approx(640 * 0.01)


def test_two_families_on_one_backbone_share_its_features(project):
    speed = SPEEDS["efficientnet_lite0"]
    names = ["efficientnet_lite0", "efficientnet_lite0_svm"]
    project.set(families=names)
    found = estimate_run(load_params(), SPLITS, 5, make_trials(10), dict.fromkeys(names, speed), 2).families
    assert found[names[0]].embed > 10 > found[names[1]].embed


def test_fine_tuning_is_added(estimate):
    head = estimate().families["efficientnet_lite0"]
    tuned = estimate(recipes__efficientnet_lite0__fine_tune={"epochs": 4}).families["efficientnet_lite0"]
    epoch = (640 + 0.35 * 160) * 0.01 * 3
    assert tuned.train - head.train == pytest.approx(4 * epoch + (640 + 160) * 0.01), '"none of these" is fitted, too'
    assert tuned.evaluate - head.evaluate == pytest.approx(1000 * 0.01), "every image goes through the network once"
    assert "4 of fine-tuning" in tuned.what


def test_a_teacher_is_embedded_and_trained_for_the_network_that_learns_from_it(estimate):
    speeds = {**SPEEDS, "mobilenet": replace(SPEEDS["efficientnet_lite0"], embed=0.02, head=0.01)}
    taught = {"train__epochs": 10, "recipes__underfit__distill": {"teacher": "mobilenet"}}
    alone, both = (estimate(speeds, **values).families["underfit"] for values in ({"train__epochs": 10}, taught))
    assert both.embed - alone.embed > (1000 + 640) * 0.02
    head = speeds["mobilenet"].begin + 10 * 20 * 0.01  # 640 images in batches of 32
    assert both.train - alone.train == pytest.approx(head)
    assert both.what == f"{alone.what}, after its teacher, mobilenet"
    assert "underfit" in estimate(SPEEDS, **taught).unmeasured, "as long as its teacher is not"


def test_what_follows_a_cut_is_measured_itself(estimate):
    tuned = {"recipes__efficientnet_lite0__fine_tune": {"epochs": 2, "from": "block 13"}}
    speeds = {**SPEEDS, "efficientnet_lite0": replace(SPEEDS["efficientnet_lite0"], tail=0.004)}
    pixels, cut = (estimate(speeds, **tuned).families["efficientnet_lite0"] for speeds in (SPEEDS, speeds))
    epochs = 2 * (640 + 0.35 * 160) * (0.03 - 0.004)
    assert pixels.train - cut.train == pytest.approx(epochs + (640 + 160) * (0.01 - 0.35 * 0.004))
    again = 800 * (0.01 - 0.35 * 0.004)
    assert pixels.evaluate - cut.evaluate == pytest.approx(again), "test still comes from pixels"


def test_a_head_takes_its_own_steps_and_suspected_labels_a_product_of_all_features(estimate):
    speed = replace(SPEEDS["efficientnet_lite0"], head=0.01, product=1e-9)
    before, after = (
        estimate({**SPEEDS, "efficientnet_lite0": each}, train__epochs=10).families["efficientnet_lite0"]
        for each in (SPEEDS["efficientnet_lite0"], speed)
    )
    assert after.train - before.train == pytest.approx(10 * 5 * 0.01)  # 640 images in batches of 128
    assert after.evaluate - before.evaluate == pytest.approx(640 * 1280**2 * 1e-9)


def test_a_linear_machine_of_more_pictures_takes_longer(estimate):
    sizes = [{"train": n, "val": 100, "test": 100} for n in (100, 1000, 5000, 12_000)]
    times = [estimate(splits=splits).families["linear_svm"].train for splits in sizes]
    assert times == sorted(times)


def test_scikit_learns_svc_takes_hours_where_the_fast_solver_takes_minutes(estimate):
    splits = {"train": 40_000, "val": 100, "test": 100}
    svc = estimate(splits=splits, recipes__linear_svm={"C": 1.0, "solver": "svc"}).families["linear_svm"]
    assert svc.train > 3600
    assert svc.what == "by SVC"
    few = estimate(splits=SPLITS, recipes__linear_svm={"C": 1.0, "solver": "svc"}).families["linear_svm"]
    assert few.train < 60


def test_more_cores_and_fewer_pictures_take_less(estimate):
    assert estimate(splits={"train": 64, "val": 16, "test": 20}).data < estimate().data


def test_folds_and_trials_are_trainings(estimate):
    found = estimate(
        crossval__families=["underfit"],
        search__families=["underfit"],
        search__trials=7,
        crossval__folds=[1, 2, 3, 4, 5],
    )
    train = found.families["underfit"].train - 3.0
    assert found.crossval["underfit"] == pytest.approx(5 * (train + 3.0))  # a fold has as many images as train
    assert found.search["underfit"] == pytest.approx(7 * train + 3.0)
    assert found.seconds > estimate(crossval__families=[], search__families=[]).seconds
    assert estimate(search__families=["underfit"], search__minutes=0.01).search["underfit"] < 7 * train


def test_families_that_were_not_measured_are_named(estimate):
    found = estimate(speeds={"underfit": SPEEDS["underfit"]})
    assert found.unmeasured == ["linear_svm", "efficientnet_lite0"]
    lines, _ = describe_minutes(found, 8, is_known=True)
    assert "and what was not measured" in lines[0]
    assert lines[-1] == "not measured in 8 s: linear_svm, efficientnet_lite0; try --seconds 24"


def test_it_is_an_upper_bound_and_for_1000_pictures_where_their_number_is_unknown(estimate):
    assert describe_minutes(estimate(), 8, is_known=True)[0][0].startswith("at most ")
    assert describe_minutes(estimate(), 8, is_known=False)[0][0].startswith("for 1,000 pictures, at most ")


def test_a_family_that_takes_hours_is_a_finding(estimate):
    assert describe_minutes(estimate(), 8, is_known=True)[1] == []
    _, [finding] = describe_minutes(estimate(splits={"train": 10**6, "val": 10, "test": 10}), 8, is_known=True)
    assert "train.max_epochs" in finding.text
    assert not finding.stops


@pytest.mark.parametrize(("seconds", "text"), [(12.3, "12 s"), (204, "3.4 min"), (7560, "2.1 h")])
def test_times_have_a_unit(seconds, text):
    assert show_time(seconds) == text
