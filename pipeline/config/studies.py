"""The five published studies as commands: every setting in which each differs from params.yaml as delivered.

A line holds all that its study changes, so that it is the whole study, in a clone whose params.yaml is as committed. How the
families themselves train is in their recipes. A to E, with what each paper says, are in docs/studies.md.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.overrides import write_setting

_INTEL = "kaggle:puneet6060/intel-image-classification"
_UNCAPPED = ("train.max_epochs=null", "train.width=null")  # what keeps the default run short
_SCENES = ("buildings", "forest", "glacier", "mountain", "sea")  # of system A, without street


@dataclass(frozen=True)
class Line:
    """One `dvc exp run`. settings: as -S takes them. target: a stage; None: the whole pipeline. is_beside: in a temporary copy
    of the project, so that the workspace keeps its models and params.yaml."""

    settings: tuple[str, ...]
    target: str | None = None
    is_beside: bool = False

    @property
    def words(self) -> list[str]:
        """The command."""
        options = [word for setting in self.settings for word in ("-S", setting)]
        return ["dvc", "exp", "run", *(["--temp"] if self.is_beside else []), *filter(None, [self.target]), *options]


@dataclass(frozen=True)
class Study:
    """parts: name to what it runs, one after the other. address: of its pictures; None: they are not published. has_outside:
    whether it also judges pictures that are in no split."""

    title: str
    parts: dict[str, tuple[Line, ...]]
    source: tuple[str, ...] = ()
    address: str | None = None
    has_outside: bool = False


def _thin(per_class: dict[str, int]) -> tuple[str, ...]:
    counts = ", ".join(f"{label}: {count}" for label, count in per_class.items())
    return ("prune.thin=train", f"prune.max_images_per_class={{{counts}}}")


# The study thinned by hand, first to about 3,880 files, later to 2,666; how many of which class it does not say.
_A_ALL = ("prune.drop_classes=[street]", *_thin(dict.fromkeys(_SCENES, 776)))
_A_THIN = ("prune.drop_classes=[street]", *_thin(dict.fromkeys(_SCENES, 533) | {"sea": 534}))
_A_TUNING = (
    *_A_THIN,
    "families=[optimized]",
    "crossval.families=[optimized]",
    "crossval.augment=false",
    "train.max_epochs=null",
    "train.width=1.0",
    "train.epochs=30",
)
_A_BATCH = "train.batch_size=32"
# One at a time; the others are as published.
_A_POINTS = (
    *(f"train.l2={value}" for value in ("0.01", "0.001", "0.0001")),
    *(f"train.dropout={value}" for value in ("0.1", "0.2", "0.3")),
    *(f"recipes.optimized.last_dropout={value}" for value in ("0.2", "0.3", "0.4")),
    *(f"train.batch_size={value}" for value in ("16", "32", "128")),
    *(f"recipes.optimized.last_filters={value}" for value in ("512", "1024", "2048")),
)
_A_GRID = (
    "{train: {l2: [0.01, 0.001, 0.0001], dropout: [0.1, 0.2, 0.3], batch_size: [16, 32, 128]}, "
    "recipes: {optimized: {last_dropout: [0.2, 0.3, 0.4], last_filters: [512, 1024, 2048]}}}"
)
_D_TUNED = (
    *_UNCAPPED,
    "families=[cifar_elu]",
    "train.optimizer=rmsprop",
    "train.learning_rate=0.01",
    "train.batch_size=32",
    "train.epochs=40",
    "train.reduce_lr.factor=0.5",
)
_D_SCHEDULE = ("train.schedule.kind=exponential", "train.schedule.hold_epochs=10", "train.schedule.decay=0.1")
_D_SPACE = "{learning_rate: [0.001, 0.01], batch_size: [32, 64], epochs: [10, 20], optimizer: [adam, rmsprop]}"


def _beside(*settings: str, target: str | None = None) -> Line:
    return Line(settings, target, is_beside=True)


STUDIES: dict[str, Study] = {
    "A": Study(
        "under-, over- and well-fitted networks on Intel scenes, five classes",
        {
            "models": (
                Line((*_A_ALL, *_UNCAPPED, "families=[underfit,overfit]")),
                Line((*_A_THIN, *_UNCAPPED, "families=[optimized]")),
            ),
            "tuning": tuple(
                _beside(*_A_TUNING, *(() if "batch_size" in point else (_A_BATCH,)), point, target="average@optimized")
                for point in _A_POINTS
            ),
            "grid": (
                _beside(
                    *_A_TUNING,
                    "search.families=[optimized]",
                    "search.sampler=grid",
                    "search.score=crossval",
                    "search.trials=243",
                    "search.pruning.min_trials=null",
                    "~search.space.train",
                    "~search.space.recipes",
                    f"++search.space={_A_GRID}",
                    target="search@optimized",
                ),
            ),
        },
        address=_INTEL,
    ),
    "B": Study(
        "bears against pandas",
        {
            "models": (
                Line(
                    (
                        *_UNCAPPED,
                        "preprocess.image_size=128",
                        "families=[vgg_blocks,linear_svm]",
                        "recipes.linear_svm.solver=svc",
                    )
                ),
            )
        },
        has_outside=True,
    ),
    "C": Study(
        "an own network against pretrained backbones on Intel scenes, six classes",
        {
            "models": (
                Line(
                    (
                        *_UNCAPPED,
                        "split.seed=1234",
                        "train.seed=1234",
                        "families=[deep_cnn,mobilenet,vgg16,resnet50v2]",
                    )
                ),
            ),
            "tuning": (
                _beside(
                    *_UNCAPPED,
                    "split.seed=1234",
                    "train.seed=1234",
                    "families=[searched_cnn]",
                    "search.families=[searched_cnn]",
                    "search.trials=50",
                    target="search@searched_cnn",
                ),
            ),
        },
        address=_INTEL,
    ),
    "D": Study(
        "CIFAR-10 from scratch",
        {
            "models": (Line((*_UNCAPPED, "families=[cifar_small,cifar_dropout,cifar_elu]")),),
            "tuning": (
                _beside(
                    *_UNCAPPED,
                    "families=[cifar_elu]",
                    "recipes.cifar_elu.early_stopping.patience=null",
                    "++recipes.cifar_elu.early_stopping.restore=last",
                    "recipes.cifar_elu.reduce_lr.patience=null",
                    "search.families=[cifar_elu]",
                    "search.sampler=random",
                    "search.trials=5",
                    "search.pruning.min_trials=null",
                    "~search.space.train",
                    f"+search.space.train={_D_SPACE}",
                    target="search@cifar_elu",
                ),
                _beside(*_D_TUNED, *_D_SCHEDULE),
                _beside(*_D_TUNED),
            ),
        },
        source=("data.source=cifar10",),
    ),
    "E": Study(
        "ten animals, from a dense network to a fine-tuned Inception",
        {
            "models": (
                Line(
                    (
                        *_UNCAPPED,
                        "preprocess.image_size=299",
                        "split.val_fraction=0.1764",
                        "families=[dense_ann,animals_cnn,animals_cnn_augmented,animals_cnn_wide,inceptionv3,"
                        "inceptionv3_fine_tuned]",
                    )
                ),
            )
        },
        address="doi:10.5281/zenodo.10898524",
    ),
}


@dataclass(frozen=True)
class Pictures:
    """What a user has instead of a study's own pictures. data: a folder, an archive or an address. outside: a folder of
    pictures that are in no split."""

    data: str | None = None
    outside: str | None = None


NO_PICTURES = Pictures()


def list_lines(letter: str, part: str, pictures: Pictures = NO_PICTURES) -> list[Line]:
    """The commands of one part of a study, with its pictures. Raises PipelineError for an unknown study or part, and where the
    pictures must be named and are not."""
    if letter not in STUDIES:
        known = ", ".join(f"{name} ({study.title})" for name, study in STUDIES.items())
        raise PipelineError(f"study {letter!r} is unknown: expected one of {known}")
    study = STUDIES[letter]
    if part not in study.parts:
        raise PipelineError(f"study {letter} has no part {part!r}: expected one of {', '.join(study.parts)}")
    source = _choose_source(letter, study, pictures)
    return [Line((*source, *line.settings), line.target, line.is_beside) for line in study.parts[part]]


def _choose_source(letter: str, study: Study, pictures: Pictures) -> tuple[str, ...]:
    if study.source:
        if pictures.data is not None:
            raise PipelineError(
                f"study {letter} fetches its own pictures: expected no path, received {pictures.data!r}"
            )
        return study.source
    path = pictures.data or study.address
    if path is None:
        raise PipelineError(
            f"the pictures of study {letter} are not published: expected the path of a folder or an archive of yours; say "
            f"make study STUDY={letter} DATA=PATH"
        )
    if pictures.outside is not None and not study.has_outside:
        raise PipelineError(f"study {letter} has no outside pictures: expected none, received {pictures.outside!r}")
    source = "folder" if Path(path).expanduser().is_dir() else "archive"
    return (f"data.source={source}", write_setting("data.path", path), *_set_outside(study, pictures.outside))


def _set_outside(study: Study, folder: str | None) -> tuple[str, ...]:
    if not study.has_outside:
        return ()
    return ("evaluate.outside_path=null" if folder is None else write_setting("evaluate.outside_path", folder),)
