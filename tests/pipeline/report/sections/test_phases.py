import pytest

from pipeline.report.sections.phases import describe_phases
from tests.pipeline.report.families import find, make_family, make_half_blind


def describe(**wrong: float) -> list[dict]:
    """What is said of families that misclassify these shares."""
    results = {name: make_family(wrong=rate, seed=seed) for seed, (name, rate) in enumerate(wrong.items())}
    return describe_phases(find(results))["phases"]


def test_both_phases_are_side_by_side_with_their_comparison():
    [phase] = describe(net=0.6, net_fine_tuned=0.1, best=0.0, best_svm=0.5)
    assert (phase["name"], phase["frozen"]["family"], phase["tuned"]["family"]) == ("net", "net", "net_fine_tuned")
    assert phase["versus"]["difference"] == pytest.approx(
        phase["tuned"]["test_accuracy"] - phase["frozen"]["test_accuracy"], abs=1e-6
    )
    assert phase["versus"]["distinguishable"]


def test_a_family_in_one_phase_is_not_compared():
    assert describe(net=0.2, other_fine_tuned=0.1) == []


@pytest.mark.parametrize("chosen", ["net", "net_fine_tuned"])
def test_the_fine_tuned_is_compared_with_the_frozen_whichever_is_chosen(chosen):
    results = {"net": make_half_blind(0), "net_fine_tuned": make_family(wrong=0.2)}
    other = next(name for name in results if name != chosen)
    results[chosen] = make_family(wrong=0.0)
    results[other] = make_family(wrong=0.5, seed=4)
    [phase] = describe_phases(find(results))["phases"]
    versus = phase["versus"]
    assert (versus["family"], versus["reference"]) == ("net_fine_tuned", "net")
    assert (versus["difference"] > 0) == (chosen == "net_fine_tuned")
    assert (versus["only_reference"] == 0) == (chosen == "net_fine_tuned")


def test_every_pair_has_its_row():
    phases = describe(a=0.5, b=0.4, b_fine_tuned=0.3, a_fine_tuned=0.2)
    assert {phase["name"] for phase in phases} == {"a", "b"}
