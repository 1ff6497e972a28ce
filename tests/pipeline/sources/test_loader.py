import inspect

import pytest

from pipeline.config.sources import SOURCES
from pipeline.runtime.errors import PipelineError
from pipeline.sources.loader import Source, load_source


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_the_functions_of_the_protocol(name):
    source = load_source(name)
    for function in ("locate", "read_images"):
        expected, received = (inspect.signature(getattr(owner, function)) for owner in (Source, source))
        assert list(received.parameters) == list(expected.parameters)[1:]  # without self


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_is_wrong_with_a_path(name, tmp_path):
    with pytest.raises(PipelineError, match=r"data\.path"):
        load_source(name).locate(str(tmp_path / "missing"))
