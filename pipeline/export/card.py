"""README.md in a package: a model card in the format of Hugging Face's hub (huggingface_hub.ModelCard reads it)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from pipeline.config.families import FAMILIES
from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.results import Results
from pipeline.export.contract import ExportContract

_SHOWN = 5  # of the classes that are confused most often


@dataclass(frozen=True)
class Subject:
    """parity: the row of parity.csv of the file. versions: package to version. requirements: of predict.py. weights: what the
    backbone started from, or None. slices: groups of test pictures, see `measure_slices`;
    None: not known."""

    contract: ExportContract
    facts: DatasetFacts
    results: Results
    parity: pd.DataFrame
    versions: Mapping[str, str]
    requirements: Sequence[str]
    weights: str | None
    slices: pd.DataFrame | None


def make_card(subject: Subject) -> str:
    """The text, Markdown with a YAML head. Names of classes are code, in which no mark-up counts."""
    parts = [_make_use, _make_data, _make_quality, _make_files, _make_failures, _make_origin]
    body = "\n\n".join(part(subject) for part in parts)
    return f"---\n{yaml.safe_dump(_make_head(subject), sort_keys=False, allow_unicode=True)}---\n\n{body}\n"


def _make_head(subject: Subject) -> dict[str, Any]:
    metrics, contract = subject.results.metrics, subject.contract
    values = [
        {"type": kind, "name": name, "value": metrics[key]}  # type: ignore[literal-required]
        for kind, name, key in (
            ("accuracy", "Accuracy", "test_accuracy"),
            ("f1", "Macro F1", "test_macro_f1"),
        )
    ]
    data = {"type": "imagefolder", "name": "the project's own pictures", "split": "test", "revision": contract.data}
    result = {"task": {"type": "image-classification"}, "dataset": data, "metrics": values}
    return {
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", *subject.parity["format"]],
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": contract.family, "results": [result]}],
    }


def _make_use(subject: Subject) -> str:
    size, resize, names = subject.contract.image_size, subject.contract.resize, subject.contract.class_names
    return (
        f"# {subject.contract.family}: {len(names)} classes\n\n"
        f"```\npip install {' '.join(subject.requirements)}\npython predict.py picture.jpg\n```\n"
        f"Takes RGB pictures of {size} × {size} px, 0 to 255, as `decode.py` makes them of a file (`{resize}`), "
        "and gives a probability for each class in `labels.txt`; `calibrate` in `decode.py` makes them mean what they say. "
        "`contract.json` says the same for programs."
    )


def _make_data(subject: Subject) -> str:
    counts = subject.facts.counts
    rows = [
        f"| {_code(name)} | " + " | ".join(f"{counts[split][name]:,}" for split in ("train", "val", "test")) + " |"
        for name in subject.contract.class_names
    ]
    return "## Data\n\n| Class | train | val | test |\n|---|--:|--:|--:|\n" + "\n".join(rows)


def _make_quality(subject: Subject) -> str:
    m, num_images = subject.results.metrics, subject.facts.num_images["test"]
    return (
        "## How good\n\n"
        f"On {num_images:,} test pictures, which decided nothing: accuracy {m['test_accuracy']:.3f} (95 % "
        f"interval {m['test_accuracy_low']:.3f} to {m['test_accuracy_high']:.3f}), balanced accuracy "
        f"{m['test_balanced_accuracy']:.3f}, macro F1 {m['test_macro_f1']:.3f}; in training {m['train_accuracy']:.3f}, in "
        f"validation {m['val_accuracy']:.3f}. Calibration error {m['test_ece']:.3f}, after `calibrate` "
        f"{m['test_ece_calibrated']:.3f}. Expect this of pictures of the same kind only."
    )


def _make_files(subject: Subject) -> str:
    rows = [
        f"| `{row['file']}` | {row['bytes'] / 1e6:.2f} | {100 * row['agreement']:.1f} % | {row['largest_difference']:.0e} "
        f"| {_show_difference(row['distance_difference'])} | {row['accuracy']:.3f} |"
        for row in subject.parity.to_dict("records")
    ]
    head = "| File | MB | Same class as the model | Largest difference | Of distance | Accuracy |\n|---|--:|--:|--:|--:|--:|\n"
    return "## Files\n\nEach was run on all test pictures, from their bytes.\n\n" + head + "\n".join(rows)


def _show_difference(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0e}"


def _make_failures(subject: Subject) -> str:
    confusion = subject.results.confusion
    wrong = confusion[(confusion["label"] != confusion["predicted"]) & (confusion["images"] > 0)]
    wrong = wrong.sort_values(["images", "label", "predicted"], ascending=[False, True, True]).head(_SHOWN)
    rows = [
        f"- {_code(row['label'])} taken for {_code(row['predicted'])}: {row['images']:,} of the test pictures"
        for row in wrong.to_dict("records")
    ]
    return (
        "## Known failures\n\n"
        "It always names one of its classes, also for a picture of something else, and of noise. `predict` says beside it "
        "whether the picture looks like none of them: that finds some such pictures, not all.\n\n"
        + ("\n".join(rows) or "- On the test pictures it made no mistake.")
        + ("" if subject.slices is None else f"\n\n{_describe_slices(subject.slices)}")
    )


def _describe_slices(slices: pd.DataFrame) -> str:
    rows = [
        f"- {_code(row['property'])}, {_code(row['group'])}: accuracy {row['accuracy']:.3f} on {row['images']:,} test pictures "
        f"(95 % interval {row['low']:.3f} to {row['high']:.3f}), where its classes let expect {row['expected']:.3f}"
        for row in slices.to_dict("records")
        if row["is_weak"]
    ]
    tested = f"Of {len(slices)} groups of test pictures (by light, contrast, size, shape, colour mode, folder, look), "
    if not rows:
        return f"{tested}none is classified distinguishably worse than its classes explain."
    return f"{tested}these are classified distinguishably worse than their classes explain:\n\n" + "\n".join(rows)


def _make_origin(subject: Subject) -> str:
    contract, backbone = subject.contract, FAMILIES[subject.contract.family].backbone
    licence = (
        "Trained from scratch: whoever has the rights in the pictures decides about the weights."
        if backbone is None
        else f"Made from the weights of `{backbone}` (`{subject.weights}`), whose licence counts too."
    )
    versions = ", ".join(f"{name} {number}" for name, number in subject.versions.items())
    return (
        f"## Where it is from\n\n{licence}\n\n| SHA-256 | |\n|---|---|\n| model | `{contract.model_sha256}` |\n"
        f"| pictures, labels and splits | `{contract.data}` |\n| settings of training | `{contract.settings}` |\n\n"
        f"Written and run with {versions}."
    )


def _code(name: str) -> str:
    """A name as code, whatever is in it."""
    fence = "``" if "`" in name else "`"
    text = name.replace("|", "\\|")
    return f"{fence} {text} {fence}" if "`" in name else f"{fence}{text}{fence}"
