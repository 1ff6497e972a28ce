from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.report.findings import make_findings
from tests.pipeline.report.families import make_family


def test_validation_chooses_and_test_accuracy_ranks():
    results = {
        "lucky": make_family(wrong=0.0, val_wrong=0.5),
        "solid": make_family(wrong=0.2, val_wrong=0.1, seed=1),
        "poor": make_family(wrong=0.9, seed=2),
    }
    findings = make_findings(results)
    assert findings.chosen == "solid"
    assert findings.ranked == ["lucky", "solid", "poor"]
    assert set(findings.summary["family"]) == {*results, ENSEMBLE}
    assert set(findings.comparisons["family"]) == {"lucky", "poor", ENSEMBLE}
    assert findings.curves["family"].unique().tolist() == list(results)
    assert findings.issues["split"].isin(["test", "val"]).all()


def test_a_single_family_has_no_ensemble():
    findings = make_findings({"only": make_family(wrong=0.1)})
    assert findings.ensemble is None
    assert findings.comparisons.empty
    assert (findings.chosen, findings.ranked) == ("only", ["only"])
