"""models/<family>.keras: pixels in, probabilities out, the same bytes for the same weights. Imports Keras."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras

from pipeline.models.archive import RefusedError, check_model
from pipeline.models.contract import CONTRACT_FILE, Contract, advise_training, describe_remedy, dump_contract
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import write_aside

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def save_model(model: keras.Model, file: Path, contract: Contract | None = None) -> None:
    """Saves a model in Keras' format, uncompiled, without what differs each time: clock times and memory addresses.

    contract: a further member of the archive, to which Keras pays no attention; None for what nobody predicts with.
    """
    with write_aside(file) as partial:
        written = partial.with_name(file.name + ".timed.partial.keras")
        try:
            model.save(written)
            _make_stable(written, partial, contract)
        finally:
            written.unlink(missing_ok=True)


def _make_stable(source: Path, target: Path, contract: Contract | None) -> None:
    with zipfile.ZipFile(source) as written, zipfile.ZipFile(target, "w") as stable:
        for name in sorted(written.namelist()):
            content = written.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}).encode()
            if name == "config.json":
                content = json.dumps(_renumber_shared(json.loads(content), {})).encode()
            stable.writestr(zipfile.ZipInfo(name, _EPOCH), content)
        if contract is not None:
            stable.writestr(zipfile.ZipInfo(CONTRACT_FILE, _EPOCH), dump_contract(contract))


def _renumber_shared(config: Any, numbers: dict[int, int]) -> Any:
    """Keras identifies objects that layers share by memory address; 1, 2, … in order of appearance say the same."""
    if isinstance(config, list):
        return [_renumber_shared(value, numbers) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: numbers.setdefault(value, len(numbers) + 1)
        if key == "shared_object_id"
        else _renumber_shared(value, numbers)
        for key, value in config.items()
    }


def load_model(file: Path) -> keras.Model:
    """The model, uncompiled. Raises PipelineError if there is none, if it is damaged, or if loading it would run code."""
    if not file.exists():
        raise PipelineError(f"{file} is not here: expected a trained model; {advise_training(file.stem)}")
    try:
        check_model(file)
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except (MemoryError, PermissionError):  # which say nothing of the file's content
        raise
    except RefusedError as error:
        raise PipelineError(f"{file} is refused: {error}; {describe_remedy(file)}") from error
    except Exception as error:  # Keras raises whatever type the damage leads to
        said = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        raise PipelineError(
            f"{file} can't be loaded ({type(error).__name__}{said and f': {said}'}): {describe_remedy(file)}"
        ) from error
