import pytest

from pipeline.export.parity_table import PARITY_FILE, load_kept, load_parity, save_parity
from pipeline.runtime.errors import PipelineError
from tests.stages.test_package import make_parity


def test_what_was_written_is_read(tmp_path):
    (tmp_path / "underfit").mkdir()
    rows = [
        make_parity("onnx", "model.onnx", distance_difference=2e-5, refusal_disagreements=0),
        make_parity("litert_int8", "model_int8.tflite", largest_difference=float("nan")).refuse("it is too bad"),
    ]
    save_parity(rows, tmp_path / "underfit")
    assert "model.onnx,5000000,9,1.0,0,3e-07," in (tmp_path / "underfit" / PARITY_FILE).read_text()
    table = load_parity("underfit", tmp_path)
    assert table is not None
    assert table["largest_difference"].tolist() == pytest.approx([3e-7, float("nan")], nan_ok=True)
    assert table["distance_difference"].tolist() == pytest.approx([2e-5, float("nan")], nan_ok=True)
    assert table["refusal_disagreements"].tolist() == pytest.approx([0, float("nan")], nan_ok=True)
    assert table["reason"].tolist() == ["", "it is too bad"]


def test_a_table_of_an_older_version_lacks_only_what_it_did_not_measure(tmp_path):
    (tmp_path / "underfit").mkdir()
    save_parity([make_parity("onnx", "model.onnx")], tmp_path / "underfit")
    file = tmp_path / "underfit" / PARITY_FILE
    head, row = file.read_text().splitlines()
    assert ",distance_difference,refusal_disagreements," in head
    file.write_text(head.replace(",distance_difference,refusal_disagreements", "") + f"\n{row.replace(',,,', ',')}\n")
    table = load_parity("underfit", tmp_path)
    assert table is not None
    assert (table["status"].tolist(), table["distance_difference"].isna().tolist()) == (["kept"], [True])


def test_a_family_that_is_not_exported_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_parity("underfit") is None
    with pytest.raises(PipelineError, match="has no exported file: expected one"):
        load_kept("underfit")
