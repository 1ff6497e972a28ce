import hashlib
import json

import pytest

from pipeline.export.contract import load_export_contract, make_export_contract, save_contract
from pipeline.models.contract import Contract
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import EXPORTED
from tests.pipeline.export.contracts import make_contract


def test_it_says_what_goes_in_and_comes_out(tmp_path):
    file = tmp_path / "model.keras"
    file.write_bytes(b"weights")
    known = make_contract(image_size=24).model_dump()
    contract = make_export_contract(Contract(**{name: known[name] for name in Contract.model_fields}), file)
    assert contract.input.shape == [None, 24, 24, 3]
    assert (contract.input.dtype, contract.input.lowest, contract.input.highest) == ("float32", 0, 255)
    assert contract.output.shape == [None, 3]
    assert contract.model_sha256 == hashlib.sha256(b"weights").hexdigest()
    assert contract.temperature == 1.5


def test_how_to_mend_one_depends_on_whose_it_is(tmp_path):
    with pytest.raises(PipelineError, match="export the model again, or name another folder"):
        load_export_contract(tmp_path / "model")
    with pytest.raises(PipelineError, match="run `dvc repro -f export@optimized`"):
        load_export_contract(EXPORTED / "optimized")


def test_classes_are_written_in_the_order_of_the_outputs(tmp_path):
    save_contract(make_contract(class_names=["zebra", "猫", "ant"]), tmp_path)
    assert (tmp_path / "labels.txt").read_text(encoding="utf-8").splitlines() == ["zebra", "猫", "ant"]
    content = json.loads((tmp_path / "contract.json").read_text(encoding="utf-8"))
    assert content["class_names"] == ["zebra", "猫", "ant"]
    assert content["input"]["layout"] == "NHWC"
