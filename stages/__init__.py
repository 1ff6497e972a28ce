"""From folders of labelled images to compared classifiers: verbs run (``python -m stages.<verb>``), nouns are imported.

`python` may be one without the project's packages, where the environment is not activated, as DVC started from .venv/bin/dvc
finds it. Then the verb goes on with the Python of .venv; without one it says so, in one line.
"""

import importlib.util
import os
import sys
from pathlib import Path

_NEEDED = "pydantic"  # which every verb imports first
_OWN_PYTHON = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"


def _find_python() -> None:
    if importlib.util.find_spec(_NEEDED) is not None:
        return
    # Not resolved: that would be the interpreter behind the environment, which has no packages either.
    if _OWN_PYTHON.exists() and Path(sys.executable) != _OWN_PYTHON:
        os.execv(_OWN_PYTHON, [str(_OWN_PYTHON), *sys.orig_argv[1:]])
    print(
        f"error: {sys.executable} (Python {sys.version.split()[0]}) has no package {_NEEDED}: expected the project's "
        "environment: build it with `make venv`, then `source .venv/bin/activate`",
        file=sys.stderr,
    )
    sys.exit(1)


_find_python()
