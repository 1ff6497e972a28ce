"""params.yaml with one parameter changed, and the line that refuses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.reader import load_params
from pipeline.runtime.errors import PipelineError

ABSENT = object()
Change = Callable[..., Path]


@pytest.fixture
def change(project) -> Change:
    """Changes or (ABSENT) removes parameters in a copy of params.yaml, by name; sections that are not there are added."""

    def write(*changes: Any) -> Path:
        file = project.folder / "params.yaml"
        content = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
        for name, value in zip(changes[::2], changes[1::2], strict=True):
            *parents, key = name.split(".")
            section = content
            for part in parents:
                section = section.setdefault(part, {})
            if value is ABSENT:
                del section[key]
            else:
                section[key] = value
        file.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper), encoding="utf-8")
        return file

    return write


def refusal(file: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        load_params(file)
    line = str(caught.value)
    assert "\n" not in line
    return line
