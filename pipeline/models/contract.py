"""What a model file says of itself: contract.json in models/<family>.keras. Read without TensorFlow, and ignored by Keras.

Whoever has the file needs nothing else to use the model rightly: neither data/ nor metrics/.
"""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from pipeline.config.families import FAMILIES, check_family
from pipeline.config.reader import read_file
from pipeline.config.types import Count, Natural, NotNegative, Pixels, Positive, Section, Share
from pipeline.data.tfrecords import DATASET_FILE, DatasetFacts, load_dataset_facts
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MODELS, TFRECORDS

CONTRACT_FILE = "contract.json"
VERSION: Final = 3  # 1 had no conformal, 2 no familiarity
_MOST_BYTES = 16 << 20  # of contract.json: a file from elsewhere may unpack to anything
_SHOWN = 3  # class names in a message


class Conformal(Section):
    """What prediction sets are made from. images: of val. scores: ascending; see pipeline.evaluation.conformal."""

    images: Count
    scores: Annotated[list[Share], Field(min_length=1, max_length=1000)]


class Familiarity(Section):
    """How unfamiliar the images of val look, by which others are refused; see pipeline.evaluation.familiarity. images: of val.
    scores: ascending. features, directions: how many; 0: there are no distances. numbers: of `Directions`, float32, base64."""

    score: Literal["distance", "confidence"]
    images: Count
    scores: Annotated[list[NotNegative], Field(min_length=1, max_length=1000)]
    features: Natural
    directions: Natural
    numbers: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$")]


class Contract(Section):
    """class_names: of the model's outputs, in their order. image_size: pixels, each side. resize, range: as in preprocess.
    temperature: fitted on val; see pipeline.evaluation.temperature. data: `DatasetFacts.digest`. settings: see
    `compute_settings_digest`. conformal: None in files of version 1. familiarity: None up to version 2."""

    version: Literal[1, 2, 3] = VERSION
    family: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
    class_names: Annotated[list[str], Field(min_length=1)]
    image_size: Pixels
    resize: Literal["stretch", "crop", "letterbox"]
    range: Literal["auto", "full", "minmax"]
    temperature: Positive
    data: str
    settings: str
    conformal: Conformal | None = None
    familiarity: Familiarity | None = None


def make_contract(
    family: str,
    facts: DatasetFacts,
    *,
    temperature: float,
    settings: dict[str, Any],
    conformal: Conformal | None = None,
    familiarity: Familiarity | None = None,
) -> Contract:
    """Of a model that was trained on the data of `facts`. settings: as `describe_settings` has them for training."""
    return Contract.model_validate(
        {
            "family": family,
            "class_names": facts.class_names,
            "image_size": facts.image_size,
            "resize": facts.resize,
            "range": facts.range,
            "temperature": temperature,
            "data": facts.digest,
            "settings": compute_settings_digest(settings),
            "conformal": conformal,
            "familiarity": familiarity,
        }
    )


def compute_settings_digest(settings: dict[str, Any]) -> str:
    """64 hex digits, whatever the order of the keys. settings: as `describe_settings` has them for training."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def dump_contract(contract: Contract) -> str:
    """The text of contract.json: the same for the same contract."""
    return json.dumps(contract.model_dump(), indent=1, ensure_ascii=False) + "\n"


def parse_contract(text: str | bytes) -> Contract:
    """Reads what `dump_contract` wrote. Raises ValueError, one line, for anything else."""
    content = json.loads(text)
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise ValueError(f"version {version} is of a newer program: expected {VERSION} at most; update this one")
    try:
        contract = Contract.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    if len(set(contract.class_names)) < len(contract.class_names):
        raise ValueError("class_names: a name is there twice")
    return contract


def advise_training(family: str) -> str:
    """How a family's model comes to be: DVC knows the stages of those alone that params.yaml names in `families`."""
    with suppress(PipelineError):
        listed = read_file().get("families")
        if family in FAMILIES and isinstance(listed, list) and family not in listed:
            return f"run `dvc exp run -S 'families=[{', '.join(map(str, [*listed, family]))}]'`"
    return f"run `dvc repro train@{family}`"


def load_contract(file: Path) -> Contract:
    """The contract in a model file. Raises PipelineError where there is no file, or none with a contract."""
    if not file.exists():
        advice = advise_training(file.stem) if file.parent == MODELS else "name a .keras file"
        raise PipelineError(f"{file} is not here: expected a trained model; {advice}")
    if not file.is_file():
        raise PipelineError(f"{file} is not a file: expected a trained model, such as {MODELS}/<family>.keras")
    try:
        content = _read_member(file)
    except (MemoryError, PermissionError):  # no fault of the file
        raise
    except Exception as error:  # zipfile raises whatever type the damage leads to
        raise PipelineError(
            f"{file} can't be loaded ({type(error).__name__}): expected a .keras file; {describe_remedy(file)}"
        ) from error
    if content is None:
        raise PipelineError(
            f"{file} has no {CONTRACT_FILE}, which says its class names and how it was trained: Keras alone or an older "
            f"version wrote it; {describe_remedy(file)}"
        )
    try:
        return parse_contract(content)
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{CONTRACT_FILE} in {file} is damaged ({error}): {describe_remedy(file)}") from error


def _read_member(file: Path) -> bytes | None:
    with zipfile.ZipFile(file) as archive:
        if CONTRACT_FILE not in archive.namelist():
            return None
        with archive.open(CONTRACT_FILE) as member:
            return member.read(_MOST_BYTES)


def load_own_contract(file: Path) -> Contract:
    """The same of models/<family>.keras. Raises PipelineError too where there is no such family, where the file is of another
    one, and where it does not fit the project's data, if there are any."""
    check_family(str(file).removeprefix(f"{MODELS}/").removesuffix(".keras"), parameter="--family")
    contract = load_contract(file)
    check_data(contract, load_dataset_facts() if (TFRECORDS / DATASET_FILE).exists() else None, file)
    return contract


def describe_remedy(file: Path) -> str:
    """What to do about a model file that can't be used."""
    if file.parent == MODELS:
        return f"train it again with `dvc repro -f train@{file.stem}`"
    return "ask for the file that `dvc repro` left in the models/ of whoever trained it"


def check_data(contract: Contract, facts: DatasetFacts | None, file: Path) -> None:
    """Raises PipelineError if a model of this project is of another family than its file's name says, or names other classes
    or takes other pictures than the project's data. facts: of data/tfrecords; None: there is none."""
    if contract.family != file.stem:
        raise PipelineError(
            f"{file} is a model of the family {contract.family}: expected one of {file.stem}; run `dvc repro "
            f"train@{file.stem}`"
        )
    if facts is not None and (difference := _compare(contract, facts)):
        raise PipelineError(
            f"{file} was trained on {difference}: run `dvc repro train@{file.stem}`, or use it as it is with --model {file}"
        )


def check_trained_on(contract: Contract, facts: DatasetFacts, settings: dict[str, Any], file: Path) -> None:
    """Raises PipelineError if a model of this project was trained on other data than `facts` describes, or otherwise than
    with `settings`, as `describe_settings` has them for training."""
    check_data(contract, facts, file)
    if contract.data != facts.digest:
        raise PipelineError(
            f"{file} was trained on other pictures, labels or splits than {TFRECORDS} has: run `dvc repro train@{file.stem}`"
        )
    if contract.settings != compute_settings_digest(settings):
        raise PipelineError(
            f"{file} was trained with other settings than params.yaml has: run `dvc repro train@{file.stem}`"
        )


def _compare(contract: Contract, facts: DatasetFacts) -> str:
    """How a model's data differ from the project's, in words; empty if they don't."""
    if contract.class_names != facts.class_names:
        return f"other classes than {TFRECORDS} has ({compare_names(contract.class_names, facts.class_names)})"
    if contract.image_size != facts.image_size:
        return f"images of {contract.image_size} px, but those in {TFRECORDS} have {facts.image_size} px"
    for name, mine, theirs in (("resize", contract.resize, facts.resize), ("range", contract.range, facts.range)):
        if mine != theirs:
            return f"images of preprocess.{name} {mine}, but {TFRECORDS} has {theirs}"
    return ""


def compare_names(mine: Sequence[str], theirs: Sequence[str]) -> str:
    """How two lists of class names differ, seen from the first."""
    more = [name for name in mine if name not in set(theirs)]
    fewer = [name for name in theirs if name not in set(mine)]
    parts = [f"{word} {_list(names)}" for word, names in (("with", more), ("without", fewer)) if names]
    return " and ".join(parts) or "in another order"


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
