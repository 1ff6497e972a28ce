"""How long a run takes at most: what was measured, times pictures, epochs, folds and trials. Pure."""

from dataclasses import dataclass, field

from pipeline.config.families import FAMILIES
from pipeline.config.recipe_sections import LinearRecipe, Recipe, TransferRecipe
from pipeline.config.recipes import (
    averages_mirrors,
    embeds_mirrors,
    find_cut,
    list_features,
    resolve_family,
    trains_on_features,
)
from pipeline.config.sections import Params
from pipeline.config.teachers import find_embedded
from pipeline.doctor.pictures import Trials
from pipeline.doctor.speed import Speed
from pipeline.evaluation.familiarity import REFERENCES
from pipeline.training.duration import estimate_svc_seconds

# What a stage takes besides its pictures, in units of Speed.start, from the times of the stages of one default run. A light
# stage starts Python and DVC, a heavy one TensorFlow too; evaluate and report also draw and compare.
_LIGHT, _HEAVY, _EVALUATE, _REPORT, _CODE = 0.3, 1.5, 2.2, 2.5, 2.5
_EXAMINE = 0.5  # of what decoding takes, per picture
_FORWARD = 0.35  # of a training step, per image
_PICTURE = 0.0002  # of each picture, for reading, writing, hashing, comparing and drawing it in all stages together
_BACKWARD = 3.0  # times a pass forwards, of a backbone that is fine-tuned
_EIGEN = 8.0  # products per number of images, cubed, of the axes of fewer images than features
_LIGHT_STAGES = 7  # check, locate, download, prune, split, preprocess, examine


@dataclass(frozen=True)
class FamilyTime:
    """Seconds, and in words what is trained."""

    embed: float
    train: float
    evaluate: float
    what: str

    @property
    def seconds(self) -> float:
        return self.embed + self.train + self.evaluate


@dataclass
class Estimate:
    """Seconds at most. data: of all stages before `embed`, and of code and report. families: of those that were measured.
    crossval, search: by family. unmeasured: families for which there was no time."""

    data: float = 0.0
    families: dict[str, FamilyTime] = field(default_factory=dict)
    crossval: dict[str, float] = field(default_factory=dict)
    search: dict[str, float] = field(default_factory=dict)
    unmeasured: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        times = sum(time.seconds for time in self.families.values())
        return self.data + times + sum(self.crossval.values()) + sum(self.search.values())


def estimate_run(
    params: Params, splits: dict[str, int], num_classes: int, trials: Trials, speeds: dict[str, Speed], cores: float
) -> Estimate:
    """splits: pictures of train, val and test. cores: that work at a time. speeds: one at least."""
    start = next(iter(speeds.values())).start
    unmeasured = [name for name in params.families if not {name, find_embedded(params, name)} <= speeds.keys()]
    estimate = Estimate(unmeasured=unmeasured)
    per_picture = trials.inspect_seconds + (1 + _EXAMINE) * trials.decode_seconds + trials.draw_seconds
    estimate.data = sum(splits.values()) * (per_picture / cores + start * _PICTURE)
    estimate.data += start * (_LIGHT * _LIGHT_STAGES + _CODE + _REPORT)
    embedded: set[tuple[object, ...]] = set()
    for family in (family for family in params.families if family not in unmeasured):
        recipe, speed = resolve_family(params, family), speeds[family]
        source = find_embedded(params, family)
        kept, own = resolve_family(params, source), speeds[source]
        key = (FAMILIES[source].backbone, kept.input_size, kept.augment, tuple(list_features(kept)))
        looks = 2 if averages_mirrors(params, family) else 1
        rows = count_rows(params, source, splits)
        embed = 0.0 if key in embedded or not own.embed or not rows else own.begin + own.embed * rows
        embedded.add(key)
        train, what = _train(recipe, speed, splits, num_classes, params.image_size)
        if source != family:
            train += _train(kept, own, splits, num_classes, params.image_size)[0]
            what += f", after its teacher, {source}"
        estimate.families[family] = FamilyTime(
            embed=embed + start * (_HEAVY if embed else _LIGHT),
            train=train + start * _HEAVY,
            evaluate=_evaluate(recipe, speed, splits, params.evaluate.label_folds, looks) + start * _EVALUATE,
            what=what,
        )
        _add_repeats(estimate, family, train, params, splits, start * _HEAVY)
    return estimate


def _evaluate(
    recipe: Recipe | LinearRecipe, speed: Speed, splits: dict[str, int], label_folds: int, looks: int
) -> float:
    """Of images that a network or a fine-tuned backbone sees again, so many times; where features are there already, of the
    search for suspected labels in them."""
    count = sum(splits.values())
    if not speed.embed:
        return looks * count * _FORWARD * speed.step / recipe.batch_size if isinstance(recipe, Recipe) else 0.0
    seconds = 0.0
    if is_tuned(recipe):
        from_cut = splits["train"] + splits["val"] if speed.tail else 0
        seconds = looks * ((count - from_cut) * speed.embed + from_cut * _FORWARD * speed.tail)
    if label_folds and trains_on_features(recipe):
        seconds += splits["train"] * speed.num_features**2 * speed.product
    return seconds


def is_tuned(recipe: Recipe | LinearRecipe) -> bool:
    """Whether the backbone is trained too, so that its features of images are no longer those that were kept."""
    return isinstance(recipe, TransferRecipe) and recipe.fine_tune.epochs > 0


def count_views(recipe: Recipe | LinearRecipe, views: int) -> int:
    """How many augmented views of each training picture `embed` adds."""
    return views if recipe.augment is not None and recipe.augment.is_active else 0


def count_rows(params: Params, family: str, splits: dict[str, int]) -> int:
    """How many rows of features `embed` computes: of each picture, of augmented views, and of mirror images."""
    recipe, count = resolve_family(params, family), sum(splits.values())
    if not trains_on_features(recipe):
        return 0
    of_cut = splits["train"] + splits["val"]  # of test they are measured from pixels
    mirrored = (of_cut if find_cut(recipe) else count) if embeds_mirrors(params, family) else 0
    return count + mirrored + count_views(recipe, params.embed.views) * splits["train"]


def _train(
    recipe: Recipe | LinearRecipe, speed: Speed, splits: dict[str, int], num_classes: int, side: int
) -> tuple[float, str]:
    if isinstance(recipe, LinearRecipe):
        return _train_linear(recipe, speed, splits["train"], side, num_classes)
    steps = -(-splits["train"] // recipe.batch_size)
    if isinstance(recipe, TransferRecipe):
        tuned = _fine_tune(recipe, speed, splits) if is_tuned(recipe) else 0.0
        if recipe.starts_fresh:
            return speed.begin + tuned, f"a whole network, {recipe.fine_tune.epochs} epochs"
        what = f"a head, {recipe.epochs} epochs" + (f"; {recipe.fine_tune.epochs} of fine-tuning" if tuned else "")
        return speed.begin + recipe.epochs * steps * speed.head + tuned, what
    epoch = steps * speed.step + splits["val"] * _FORWARD * speed.step / recipe.batch_size
    return 1.5 * speed.begin + recipe.epochs * epoch, f"{recipe.epochs} epochs of {epoch:.1f} s"


def _fine_tune(recipe: TransferRecipe, speed: Speed, splits: dict[str, int]) -> float:
    """With the validation images after each epoch, and once more at the end; "none of these" takes training images, too."""
    epoch = estimate_tuning_epoch(speed.tail or speed.embed * _BACKWARD * (1.0 - speed.stem_share), splits)
    again = (min(REFERENCES, splits["train"]) + splits["val"]) * (_FORWARD * speed.tail or speed.embed)
    return recipe.fine_tune.epochs * epoch + again


def estimate_tuning_epoch(image: float, splits: dict[str, int]) -> float:
    """Seconds, validation included. image: seconds in training."""
    return (splits["train"] + _FORWARD * splits["val"]) * image


def _train_linear(recipe: LinearRecipe, speed: Speed, rows: int, side: int, num_classes: int) -> tuple[float, str]:
    """On features, a fraction of what `embed` takes; on pixels, see `pipeline.training.svm`. side: pixels of an image."""
    is_svc = recipe.solver == "svc"
    if not speed.sweep:
        seconds = estimate_svc_seconds(rows, speed.num_features) if is_svc else 0.0
        return speed.begin + seconds, "on features"
    columns = next(  # of pixels, averaged until they fit into max_gb
        width
        for pool in range(1, side + 1)
        if rows * (width := 3 * (side // pool) ** 2) * (8 if is_svc else 4) <= recipe.max_gb * 1e9 or pool == side
    )
    if is_svc:
        return estimate_svc_seconds(rows, columns), "by SVC"
    rank = min(rows, columns)
    turn = (rows * rows * columns * 2 + _EIGEN * rows**3) * speed.product if rows < columns else 0.0
    sweeps = 2 * recipe.max_iterations * rows * rank * max(1.0, num_classes / 8) * speed.sweep
    return turn + sweeps, f"{recipe.max_iterations} passes"


def _add_repeats(
    estimate: Estimate, family: str, train: float, params: Params, splits: dict[str, int], start: float
) -> None:
    """Folds and trials: as many trainings as there are, by the recipe's own settings."""
    folds = len(params.crossval.folds)
    both = splits["train"] + splits["val"]
    fold = train * both * (folds - 1) / folds / max(1, splits["train"])
    if family in params.crossval.families:
        estimate.crossval[family] = folds * (fold + start)
    if family in params.search.families:
        each = fold * folds if params.search.score == "crossval" else train
        seconds = params.search.trials * each + start
        limit = None if params.search.minutes is None else params.search.minutes * 60 + each
        estimate.search[family] = seconds if limit is None else min(seconds, limit)
