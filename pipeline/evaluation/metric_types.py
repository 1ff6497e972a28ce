"""The metrics that cross from evaluation to report, search and files, each by its name in them.

accuracy, balanced_accuracy, precision, recall, F1, top-k accuracy, ROC AUC, PR AUC: 0 to 1. loss: mean cross-entropy, nats.
kappa, mcc: -1 to 1. ece: 0 to 1. brier: 0 to 2. None where a metric is not defined. Six digits.
"""

from typing import NotRequired, TypedDict

from pipeline.training.scores import Scores


class BasicMetrics(Scores):
    macro_f1: float


class ClassificationMetrics(TypedDict):
    """See `pipeline.evaluation.metrics.compute_classification_metrics`."""

    balanced_accuracy: float
    macro_precision: float
    macro_recall: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    kappa: float | None
    mcc: float | None
    top2_accuracy: float | None
    top5_accuracy: float | None
    roc_auc: float | None
    pr_auc: float | None


class Calibration(TypedDict):
    ece: float
    brier: float


class HeldOutMetrics(BasicMetrics):
    """Of a family that was trained in a workspace. images: measured. best_epoch: from 1; None without epochs."""

    images: int
    training_images: int
    best_epoch: int | None


class Size(TypedDict):
    """parameters, trainable_parameters: weights. model_bytes: of the model's file."""

    parameters: int
    trainable_parameters: int
    model_bytes: int


class GivenUp(TypedDict):
    """epoch: of `epochs`, after which training was given up. highest: what its learning curve promised at most, of validation
    accuracy. bar: train.early_stopping.give_up_below."""

    epoch: int
    epochs: int
    highest: float
    bar: float


class ModelFacts(Size):
    """best_epoch: from 1; None without epochs. model_sha256: of the model's file. tta: none, or flip where it averages mirror
    images. given_up: only where it was."""

    best_epoch: int | None
    model_sha256: str
    tta: str
    given_up: NotRequired[GivenUp]


class SharedMetrics(TypedDict):
    """What a family and an ensemble have: val and test by `compute_basic_metrics`, test by `compute_classification_metrics` and
    `compute_calibration`. low, high: ends of the 95 % interval."""

    val_accuracy: float
    val_loss: float
    val_macro_f1: float
    test_accuracy: float
    test_loss: float
    test_macro_f1: float
    test_balanced_accuracy: float
    test_macro_precision: float
    test_macro_recall: float
    test_weighted_precision: float
    test_weighted_recall: float
    test_weighted_f1: float
    test_kappa: float | None
    test_mcc: float | None
    test_top2_accuracy: float | None
    test_top5_accuracy: float | None
    test_roc_auc: float | None
    test_pr_auc: float | None
    test_accuracy_low: float
    test_accuracy_high: float
    test_ece: float
    test_brier: float
    temperature: float


class EnsembleMetrics(SharedMetrics, Size):
    """Sizes: sums over the members."""


class FamilyMetrics(SharedMetrics):
    """What `pipeline.evaluation.measure.compute_metrics` finds. calibrated: at the temperature. set: see `measure_sets`;
    asked_coverage: of the sets.
    verdict: see `judge_fit`."""

    val_balanced_accuracy: float
    val_roc_auc: float | None
    train_accuracy: float
    train_loss: float
    train_macro_f1: float
    test_macro_f1_low: float
    test_macro_f1_high: float
    test_balanced_accuracy_low: float
    test_balanced_accuracy_high: float
    test_ece_calibrated: float
    test_brier_calibrated: float
    test_loss_calibrated: float
    test_set_coverage: float
    test_set_size: float
    test_set_single: float
    asked_coverage: float
    verdict: str


class ZeroShotMetrics(TypedDict, total=False):
    """Of a family's preset alone, see `pipeline.evaluation.zero_shot`; most families have none of these. low, high: ends of the
    95 % interval. preset: the last part of its name."""

    zero_shot_preset: str
    zero_shot_prompts: list[str]
    zero_shot_val_accuracy: float
    zero_shot_test_accuracy: float
    zero_shot_test_accuracy_low: float
    zero_shot_test_accuracy_high: float


class Metrics(FamilyMetrics, ModelFacts, ZeroShotMetrics):
    """metrics.json of a family."""
