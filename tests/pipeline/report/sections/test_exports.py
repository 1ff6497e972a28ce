import json
from pathlib import Path

from pipeline.export.costs import find_file
from pipeline.report.sections.exports import describe_exports, list_export_costs
from tests.pipeline.report.project import export


def digest_of(family: str) -> str:
    return json.loads(find_file(family).read_text())["model"]


def make_exports(folder: Path, monkeypatch, *families: str) -> None:
    monkeypatch.chdir(folder)
    for family in families:
        Path("metrics", family).mkdir(parents=True)
        export(family)


def test_every_format_is_a_row_of_its_family_in_the_order_that_is_asked_for(tmp_path, monkeypatch):
    make_exports(tmp_path, monkeypatch, "underfit", "overfit")
    exports = describe_exports(["overfit", "optimized", "underfit"])["exports"]
    assert list(exports) == ["overfit", "underfit"]
    for rows in exports.values():
        assert [(row["format"], row["status"]) for row in rows] == [("onnx", "kept"), ("litert_int8", "refused")]
        assert [row["distance_difference"] for row in rows] == [2e-05, None]


def test_where_nothing_is_exported_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert describe_exports(["overfit"]) == {"exports": {}}
    assert list_export_costs({"overfit": "0" * 64}) == []


def test_costs_of_another_model_are_not_shown(tmp_path, monkeypatch):
    make_exports(tmp_path, monkeypatch, "underfit", "overfit")
    costs = list_export_costs({"underfit": digest_of("underfit"), "overfit": "f" * 64})
    assert [(cost["family"], cost["format"], cost["median_1"]) for cost in costs] == [
        ("underfit", "keras", 12.0),
        ("underfit", "onnx", 2.5),
    ]
