"""data/code/<verb>/<family>.json as the stage `code` writes it: the modules that a verb runs, with a digest of each."""

import json
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import CODE


def find_code_file(verb: str, family: str) -> Path:
    """Its path. Raises PipelineError where it is missing."""
    file = CODE / verb / f"{family}.json"
    if not file.exists():
        raise PipelineError(f"{file} is not here: expected what the stage code writes; run `dvc repro {verb}@{family}`")
    return file


def load_module_digests(verb: str, family: str) -> dict[str, str]:
    """Module to digest. Raises PipelineError where the file is missing."""
    return json.loads(find_code_file(verb, family).read_text())["modules"]
