"""models/<family>.keras: pixels in, probabilities out, the same bytes for the same weights. Imports Keras."""

import json
import zipfile
from pathlib import Path

import keras

from stages.errors import PipelineError
from stages.files import write_aside

MODELS = Path("models")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def save_model(model: keras.Model, file: Path) -> None:
    """Saves a model in Keras' own format without optimizer, and without the time of saving, which would change the hash."""
    with write_aside(file) as partial:
        written = partial.with_name(file.name + ".timed.partial.keras")
        try:
            model.save(written)
            _strip_times(written, partial)
        finally:
            written.unlink(missing_ok=True)


def _strip_times(source: Path, target: Path) -> None:
    with zipfile.ZipFile(source) as timed, zipfile.ZipFile(target, "w") as stable:
        for name in sorted(timed.namelist()):
            content = timed.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}).encode()
            stable.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def load_model(file: Path) -> keras.Model:
    """The model, uncompiled. Refuses files that would run code. Raises PipelineError where there is none, or it is damaged."""
    if not file.exists():
        raise PipelineError(f"{file} is not here: expected a trained model; run `dvc repro train@{file.stem}`")
    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the damage makes it stumble over
        raise PipelineError(
            f"{file} can't be loaded ({type(error).__name__}): train it again with `dvc repro -f train@{file.stem}`"
        ) from error
