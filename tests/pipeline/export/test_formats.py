from typing import get_args

import pytest

from pipeline.config.types import ExportFormat
from pipeline.export import formats
from pipeline.export.formats import FORMATS, Format, check_packages
from pipeline.runtime.errors import PipelineError


def test_every_format_that_params_yaml_takes_is_declared():
    assert set(FORMATS) == set(get_args(ExportFormat))
    assert len({form.file for form in FORMATS.values()}) == len(FORMATS)


def test_saved_models_need_nothing_but_tensorflow():
    check_packages(["savedmodel"])


def test_a_missing_package_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(formats.FORMATS, "onnx", Format("model.onnx", ("json", "no_such_package")))
    with pytest.raises(PipelineError) as caught:
        check_packages(["savedmodel", "onnx"])
    assert str(caught.value) == (
        "export.formats has onnx, but no_such_package can't be imported: expected the extra `export`; run "
        "`pip install -c constraints.txt -e '.[export]'`"
    )
