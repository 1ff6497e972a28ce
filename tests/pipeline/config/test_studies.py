"""The studies' commands against what the studies published: each setting of each family, from the papers, not from params.yaml.

Two kinds of silence: ANY, where a value has no effect (the monitor of a plateau rule that is not there) or was not published;
and names that a table lacks, which must be off.
"""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.config.families import FAMILIES, PRESETS
from pipeline.config.nested import walk
from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_family
from pipeline.config.sections import Params
from pipeline.config.studies import STUDIES, Line, Pictures, list_lines
from pipeline.config.teachers import find_teacher
from pipeline.data.manifest import MANIFEST_COLUMNS, save_table
from pipeline.data.splits import load_splits
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MANIFEST
from stages.split import split
from tests.conftest import ROOT


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Any = _Any()
OFF = (0, 0.0, None, "none", False, [])

# No callbacks: the last epoch's weights.
NO_CALLBACKS = {
    "early_stopping": {"monitor": ANY, "patience": None, "restore": "last"},
    "reduce_lr": {"monitor": ANY, "factor": ANY, "patience": None, "min_lr": ANY, "min_delta": ANY},
}
NO_SCHEDULE = {"schedule": {"kind": "constant", "hold_epochs": ANY, "decay": ANY, "warmup_epochs": ANY}}
NETWORK = {"width": 1.0, "class_weight": "none", **NO_SCHEDULE}


def stop(monitor: str, patience: int) -> dict[str, Any]:
    return {"early_stopping": {"monitor": monitor, "patience": patience, "restore": "best"}}


def plateau(factor: float, patience: int, *, min_lr: float = 0.0) -> dict[str, Any]:
    """On the validation loss; Keras' min_delta is 1e-4."""
    rule = {"monitor": "val_loss", "factor": factor, "patience": patience, "min_lr": min_lr, "min_delta": 1e-4}
    return {"reduce_lr": rule}


def augment(rotation: float, zoom: float = 0.0, contrast: float = 0.0) -> dict[str, Any]:
    return {"augment": {"flip": "horizontal", "rotation": rotation, "zoom": zoom, "contrast": contrast}}


def adam(rate: float, *, epochs: int, batch_size: int) -> dict[str, Any]:
    return {"optimizer": "adam", "learning_rate": rate, "epochs": epochs, "batch_size": batch_size}


_UNUSED = ("learning_rate", "optimizer", "unfreeze", "layer_decay", "start", "early_stopping", "reduce_lr")
FROZEN = {"fine_tune": {"epochs": 0, **dict.fromkeys(_UNUSED, ANY)}}
IMAGENET = {"backbone": {"weights": "imagenet"}}

# System A: Adam (0.001 is Keras' default), batch 16, the last epoch's weights.
A_BASE = NETWORK | NO_CALLBACKS
UNDERFIT = A_BASE | adam(0.001, epochs=30, batch_size=16)
OVERFIT = A_BASE | adam(0.001, epochs=50, batch_size=16) | {"head_units": 256}
OPTIMIZED = (
    A_BASE
    | adam(0.001, epochs=50, batch_size=16)
    | augment(0.1, 0.1)
    | {"l2": 0.001, "dropout": 0.3, "last_dropout": 0.4, "last_filters": 512, "head_units": 256, "width": 2.0}
)
# Its cross-validation: width 1, 30 epochs, batch 32; augmentation is off in the folds.
OPTIMIZED_FOLDS = OPTIMIZED | {"width": 1.0, "epochs": 30, "batch_size": 32}
# System B: patience and augmentation are not published.
VGG_BLOCKS = (
    NETWORK
    | adam(0.001, epochs=9, batch_size=32)
    | {"dropout": 0.15, "l2": 0.001, "head_units": 128, "augment": ANY}
    | {"early_stopping": {"monitor": ANY, "patience": ANY, "restore": "best"}, "reduce_lr": NO_CALLBACKS["reduce_lr"]}
)
SVC = {"solver": "svc", "C": 1.0, "max_iterations": ANY, "max_gb": ANY}
# System C. Whether deep_cnn had callbacks is not published.
DEEP_CNN = (
    NETWORK
    | adam(0.001, epochs=50, batch_size=32)
    | augment(0.2, 0.3)
    | {"dropout": 0.2, "head_units": 512, "early_stopping": ANY, "reduce_lr": NO_CALLBACKS["reduce_lr"]}
)
C_BACKBONE = (
    NETWORK
    | IMAGENET
    | FROZEN
    | adam(0.001, epochs=50, batch_size=32)
    | augment(0.1, 0.2)
    | stop("val_loss", 4)
    | plateau(0.4, 2)
)
# Of its search only the space is published, see below.
_SPACE = ("blocks", "layers", "filters", "kernel", "head_units", "epochs", "augment", "early_stopping")
SEARCHED = NETWORK | NO_CALLBACKS | adam(ANY, epochs=ANY, batch_size=32) | dict.fromkeys(_SPACE, ANY)
# System D
CIFAR_SMALL = NETWORK | NO_CALLBACKS | adam(0.001, epochs=25, batch_size=32) | {"head_units": 64}
CIFAR_DROPOUT = NETWORK | NO_CALLBACKS | adam(0.001, epochs=15, batch_size=32) | {"dropout": 0.5, "head_units": 64}
CIFAR_ELU = (
    NETWORK
    | {"optimizer": "rmsprop", "learning_rate": 0.001, "epochs": 50, "batch_size": 64, "dropout": 0.2, "l2": 1e-4}
    | stop("val_loss", 5)
    | plateau(0.2, 2)
    | {"schedule": NO_SCHEDULE["schedule"] | {"step_decay": 1e-6}}
)
CIFAR_SEARCHED = CIFAR_ELU | NO_CALLBACKS
CIFAR_PLATEAU = CIFAR_ELU | {"learning_rate": 0.01, "batch_size": 32, "epochs": 40} | plateau(0.5, 2)
CIFAR_SCHEDULED = CIFAR_PLATEAU | {
    "schedule": {"kind": "exponential", "hold_epochs": 10, "decay": 0.1, "warmup_epochs": ANY, "step_decay": 1e-6}
}
# System E: epochs are published for Inception only; the others stop early.
E_STOP = stop("val_loss", 10)
E_PLATEAU = plateau(0.2, 5, min_lr=1e-6)
DENSE_ANN = (
    NETWORK
    | adam(1e-4, epochs=ANY, batch_size=64)
    | E_STOP
    | {"dropout": 0.5, "head_units": 1024, "reduce_lr": NO_CALLBACKS["reduce_lr"]}
)
ANIMALS = NETWORK | adam(1e-4, epochs=ANY, batch_size=64) | E_STOP | E_PLATEAU | {"dropout": 0.2, "head_units": 64}
ANIMALS_AUGMENTED = ANIMALS | {"learning_rate": 1e-3} | augment(0.1)
ANIMALS_WIDE = ANIMALS | {"learning_rate": 1e-3, "batch_size": 32, "head_units": 128} | augment(0.1, 0.1, 0.1)
INCEPTION = (
    NETWORK
    | IMAGENET
    | FROZEN
    | {"optimizer": "rmsprop", "learning_rate": 1e-4, "epochs": 100, "batch_size": 64, "head_units": 1024}
    | augment(0.1, 0.1, 0.1)
    | E_STOP
    | E_PLATEAU
)
INCEPTION_TUNED = INCEPTION | {
    "fine_tune": {
        "epochs": 10,
        "learning_rate": 1e-5,
        "optimizer": "adam",
        "unfreeze": "all",
        "layer_decay": 1.0,
        "start": "fresh",
        **stop("val_accuracy", 5),
        **plateau(0.2, 3, min_lr=1e-7),
    }
}

# Study, part and number of the command, to what each of its families trains with.
PUBLISHED: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {
    ("A", "models", 0): {"underfit": UNDERFIT, "overfit": OVERFIT},
    ("A", "models", 1): {"optimized": OPTIMIZED},
    ("A", "grid", 0): {"optimized": OPTIMIZED_FOLDS | {"batch_size": ANY}},
    ("B", "models", 0): {"vgg_blocks": VGG_BLOCKS, "linear_svm": SVC},
    ("C", "models", 0): {"deep_cnn": DEEP_CNN} | dict.fromkeys(("mobilenet", "vgg16", "resnet50v2"), C_BACKBONE),
    ("C", "tuning", 0): {"searched_cnn": SEARCHED},
    ("D", "models", 0): {"cifar_small": CIFAR_SMALL, "cifar_dropout": CIFAR_DROPOUT, "cifar_elu": CIFAR_ELU},
    ("D", "tuning", 0): {"cifar_elu": CIFAR_SEARCHED},
    ("D", "tuning", 1): {"cifar_elu": CIFAR_SCHEDULED},
    ("D", "tuning", 2): {"cifar_elu": CIFAR_PLATEAU},
    ("E", "models", 0): {
        "dense_ann": DENSE_ANN,
        "animals_cnn": ANIMALS,
        "animals_cnn_augmented": ANIMALS_AUGMENTED,
        "animals_cnn_wide": ANIMALS_WIDE,
        "inceptionv3": INCEPTION,
        "inceptionv3_fine_tuned": INCEPTION_TUNED,
    },
}
# One parameter at a time, five folds each.
A_POINTS = [
    *({"l2": value} for value in (0.01, 0.001, 0.0001)),
    *({"dropout": value} for value in (0.1, 0.2, 0.3)),
    *({"last_dropout": value} for value in (0.2, 0.3, 0.4)),
    *({"batch_size": value} for value in (16, 32, 128)),
    *({"last_filters": value} for value in (512, 1024, 2048)),
]
PUBLISHED |= {("A", "tuning", n): {"optimized": OPTIMIZED_FOLDS | point} for n, point in enumerate(A_POINTS)}

OWN = {"B": Pictures("bears.zip", "outside")}


def find_line(study: str, part: str, number: int) -> Line:
    return list_lines(study, part, OWN.get(study, Pictures()))[number]


def write_params(line: Line, folder: Path) -> Path:
    """params.yaml as delivered, changed by the command as DVC does it."""
    file = folder / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    apply_overrides(file, list(line.settings))
    return file


@cache
def resolve(line: Line) -> Params:
    """What `write_params` writes, read. Shared: not to be changed."""
    with TemporaryDirectory() as folder:
        return load_params(write_params(line, Path(folder)))


def expect(values: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """A table's values by path; where a whole section is ANY, the section's."""
    return dict(walk(values))


def find_expected(expected: dict[tuple[str, ...], Any], path: tuple[str, ...]) -> list[Any]:
    """What a table says of a setting, or of the section that it is in; nothing: it must be off."""
    return [expected[path[:length]] for length in range(len(path), 0, -1) if path[:length] in expected]


@pytest.mark.parametrize(
    ("key", "family"),
    [(key, family) for key, families in PUBLISHED.items() for family in families],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else value,
)
def test_every_setting_is_the_published_one(key, family):
    recipe = resolve_family(resolve(find_line(*key)), family)
    expected = expect(PUBLISHED[key][family])
    assert find_teacher(recipe) is None
    found = dict(walk(recipe.model_dump(exclude={"distill"})))
    for path, value in found.items():
        said = find_expected(expected, path)
        if said:
            assert value == said[0], f"{'.'.join(path)}: {value!r}, published: {said[0]!r}"
        else:
            assert value in OFF, f"{'.'.join(path)}: {value!r}, published: nothing"


@pytest.mark.parametrize("study", STUDIES)
def test_the_table_has_every_command_and_every_family(study):
    for part in STUDIES[study].parts:
        lines = list_lines(study, part, OWN.get(study, Pictures()))
        assert [key for key in PUBLISHED if key[:2] == (study, part)] == [(study, part, n) for n in range(len(lines))]
        for number, line in enumerate(lines):
            assert set(resolve(line).families) == set(PUBLISHED[study, part, number])


class TestTuning:
    def test_a_cross_validates_one_family_without_augmentation_and_writes_only_its_averages(self):
        for number in range(len(A_POINTS)):
            line = find_line("A", "tuning", number)
            crossval = resolve(line).crossval
            assert (crossval.families, len(crossval.folds), crossval.augment) == (["optimized"], 5, False)
            assert (line.target, line.is_beside) == ("average@optimized", True)

    def test_as_grid_has_every_combination(self):
        search = resolve(find_line("A", "grid", 0)).search
        assert (search.sampler, search.score, search.trials, search.pruning.min_trials) == (
            "grid",
            "crossval",
            3**5,
            None,
        )
        assert dict(walk(search.space)) == {
            ("train", "l2"): [0.01, 0.001, 0.0001],
            ("train", "dropout"): [0.1, 0.2, 0.3],
            ("train", "batch_size"): [16, 32, 128],
            ("recipes", "optimized", "last_dropout"): [0.2, 0.3, 0.4],
            ("recipes", "optimized", "last_filters"): [512, 1024, 2048],
        }

    def test_cs_space_is_that_of_its_bayesian_search(self):
        search = resolve(find_line("C", "tuning", 0)).search
        space = {path[-2:] if path[-1] in ("low", "high") else path[-1:]: v for path, v in walk(search.space)}
        assert search.sampler == "bayesian"
        ranges = {"blocks": (1, 5), "layers": (1, 5), "filters": (32, 256), "head_units": (32, 512)}
        ranges |= {"dropout": (0.0, 0.9), "learning_rate": (1e-4, 1e-2)}
        for name, (low, high) in ranges.items():
            assert (space[name, "low"], space[name, "high"]) == (low, high)
        assert space["kernel",] == [3, 5]

    def test_ds_random_search_has_five_points_of_its_grid_and_stops_none(self):
        search = resolve(find_line("D", "tuning", 0)).search
        assert (search.sampler, search.trials, search.pruning.min_trials) == ("random", 5, None)
        assert search.space["train"] == {
            "learning_rate": [0.001, 0.01],
            "batch_size": [32, 64],
            "epochs": [10, 20],
            "optimizer": ["adam", "rmsprop"],
        }


INTEL = {"buildings": 2191, "forest": 2271, "glacier": 2404, "mountain": 2512, "sea": 2274, "street": 2382}
INTEL_TEST = {"buildings": 437, "forest": 474, "glacier": 553, "mountain": 525, "sea": 510, "street": 501}
ANIMAL_COUNTS = {
    "butterfly": (1795, 317),
    "cat": (1418, 250),
    "chicken": (2633, 465),
    "cow": (1586, 280),
    "dog": (4134, 729),
    "elephant": (1229, 217),
    "horse": (2230, 393),
    "sheep": (1547, 273),
    "spider": (4098, 730),
    "squirrel": (1583, 279),
}


def make_manifest(train: dict[str, int], test: dict[str, int]) -> pd.DataFrame:
    """Pictures of a source that has its own test split, by name and content alone."""
    names = [
        (f"{split}/{label}/{number}.jpg", label, split)
        for split, counts in (("train", train), ("test", test))
        for label, count in counts.items()
        for number in range(count)
    ]
    ids = np.random.default_rng(0).permutation(len(names))
    table = pd.DataFrame(names, columns=["name", "label", "source_split"])
    return table.assign(image_id=[f"{number:064x}" for number in ids])


class TestSizes:
    """With the real number of pictures of each class."""

    @pytest.fixture
    def count(self, project) -> Callable[..., dict[str, int]]:
        """Images per split, by the stage itself."""

        def run(key: tuple[str, str, int], train: dict[str, int], test: dict[str, int]) -> dict[str, int]:
            dropped = load_params(write_params(find_line(*key), project.folder)).prune.drop_classes or []
            manifest = make_manifest(train, test)
            (project.folder / "data").mkdir(exist_ok=True)
            save_table(manifest[~manifest["label"].isin(dropped)].reindex(columns=MANIFEST_COLUMNS), MANIFEST)
            split()
            return load_splits()["split"].value_counts().to_dict()

        return run

    def test_a_thins_training_alone(self, count):
        test = sum(count for label, count in INTEL_TEST.items() if label != "street")
        for number, kept in ((0, 3880), (1, 2666)):
            sizes = count(("A", "models", number), INTEL, INTEL_TEST)
            assert sizes["test"] == test == 2499
            assert sizes["train"] + sizes["val"] == kept
            assert sizes["val"] == pytest.approx(kept / 5, abs=2.5)  # 533 of 2,666

    def test_c_has_all_six_classes(self, count):
        sizes = count(("C", "models", 0), INTEL, INTEL_TEST)
        assert sizes["test"] == 3000
        assert (sizes["train"], sizes["val"]) == (pytest.approx(11_228, abs=3), pytest.approx(2806, abs=3))

    def test_d_has_a_fifth_of_each_class_for_validation(self, count):
        digits = {str(number): 5000 for number in range(10)}
        sizes = count(("D", "models", 0), digits, dict.fromkeys(digits, 1000))
        assert sizes == {"train": 40_000, "val": 10_000, "test": 10_000}

    def test_e_has_seventy_fifteen_and_fifteen_per_cent(self, count):
        train = {label: counts[0] for label, counts in ANIMAL_COUNTS.items()}
        test = {label: counts[1] for label, counts in ANIMAL_COUNTS.items()}
        sizes = count(("E", "models", 0), train, test)
        assert sizes["test"] == sum(test.values())
        assert (sizes["train"], sizes["val"]) == (pytest.approx(18_328, abs=5), pytest.approx(3925, abs=5))


class TestPictures:
    def test_b_needs_a_path(self):
        with pytest.raises(PipelineError, match=r"study B are not published: expected the path .* DATA=PATH"):
            list_lines("B", "models")

    @pytest.mark.parametrize("name", ["my bears.zip", "it's ${HOME}.zip", 'a"b.zip', "größe, alles.zip"])
    def test_any_path_arrives_as_it_is(self, name):
        params = resolve(list_lines("B", "models", Pictures(name, f"{name}/outside"))[0])
        assert (params.data.source, params.data.path) == ("archive", name)
        assert params.evaluate.outside_path == f"{name}/outside"

    def test_a_folder_is_read_as_a_folder(self, tmp_path):
        params = resolve(list_lines("A", "models", Pictures(str(tmp_path)))[0])
        assert (params.data.source, params.data.path) == ("folder", str(tmp_path))

    def test_a_path_for_cifar10_is_refused(self):
        with pytest.raises(
            PipelineError, match=r"study D fetches its own pictures: expected no path, received 'x\.zip'"
        ):
            list_lines("D", "models", Pictures("x.zip"))

    def test_outside_pictures_where_the_study_has_none_are_refused(self):
        with pytest.raises(PipelineError, match="study A has no outside pictures"):
            list_lines("A", "models", Pictures(outside="web"))

    def test_an_unknown_study_or_part_is_refused_with_those_there_are(self):
        with pytest.raises(PipelineError, match=r"study 'F' is unknown: expected one of A \(.*E \("):
            list_lines("F", "models")
        with pytest.raises(PipelineError, match="study B has no part 'tuning': expected one of models"):
            list_lines("B", "tuning", Pictures("bears.zip"))


def test_every_family_of_a_study_has_a_command():
    """All but those that are not of a study."""
    later = {"mobilenetv3", "efficientnetv2b0", *(f"efficientnet_lite{n}" for n in range(3)), *PRESETS}
    of_none = {"resnet_fast", "resnet_fast_distilled"}
    named = {family for families in PUBLISHED.values() for family in families}
    assert {
        family
        for family, declared in FAMILIES.items()
        if declared.backbone not in later and family not in of_none and not family.endswith(("_svm", "_fine_tuned"))
    } | {"linear_svm", "inceptionv3_fine_tuned"} == named
