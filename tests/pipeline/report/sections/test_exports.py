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


def test_every_format_of_every_family_is_a_row(tmp_path, monkeypatch):
    make_exports(tmp_path, monkeypatch, "underfit", "overfit")
    rows = describe_exports(["overfit", "optimized", "underfit"])["exports"]
    assert [(row["family"], row["format"], row["status"]) for row in rows] == [
        *(("overfit", "onnx", "kept"), ("overfit", "litert_int8", "refused")),
        *(("underfit", "onnx", "kept"), ("underfit", "litert_int8", "refused")),
    ]
    assert [row["distance_difference"] for row in rows] == [2e-05, None] * 2


def test_where_nothing_is_exported_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert describe_exports(["overfit"]) == {"exports": []}
    assert list_export_costs({"overfit": "0" * 64}) == []


def test_costs_of_another_model_are_not_shown(tmp_path, monkeypatch):
    make_exports(tmp_path, monkeypatch, "underfit", "overfit")
    costs = list_export_costs({"underfit": digest_of("underfit"), "overfit": "f" * 64})
    assert [(cost["family"], cost["format"], cost["median_1"]) for cost in costs] == [
        ("underfit", "keras", 12.0),
        ("underfit", "onnx", 2.5),
    ]
