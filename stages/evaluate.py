"""Measures one family on train, val and test: metrics, tables, calibration, every prediction, heat maps, speed and memory.

The temperature is the model's own, fitted on val; nothing is ever chosen on test.
"""

import logging

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import averages_mirrors, describe_settings
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.measure import compute_metrics, make_calibration_table, make_test_class_table
from pipeline.evaluation.metrics import make_class_table, make_confusion_table, make_prediction_table
from pipeline.evaluation.out_of_fold import predict_out_of_fold
from pipeline.evaluation.ranking import load_rules
from pipeline.evaluation.results import Results, describe_model, load_curves, save_results
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from pipeline.models.contract import check_trained_on, load_contract
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.paths import METRICS, MODELS
from pipeline.runtime.tensorflow import configure_tensorflow

logger = logging.getLogger(__name__)


def evaluate(family: str) -> None:
    params = load_params()
    check_family(family)
    artifact, record = MODELS / f"{family}.keras", METRICS / family / "train"
    contract, facts = load_contract(artifact), load_dataset_facts()
    check_trained_on(contract, facts, describe_settings(params, family)["train"], artifact)
    rule = load_rules(contract, params.evaluate, artifact)
    configure_tensorflow(**params.runtime.arithmetic)
    from pipeline.data.batches import read_names
    from pipeline.evaluation.gradcam import explain_mistakes
    from pipeline.evaluation.latency import record_costs
    from pipeline.evaluation.layer_table import make_layer_table
    from pipeline.evaluation.look_alikes import group_look_alikes
    from pipeline.evaluation.out_of_distribution import judge_outside
    from pipeline.evaluation.probabilities import predict_splits
    from pipeline.evaluation.refusals import measure_refusals
    from pipeline.evaluation.samples import draw_samples
    from pipeline.evaluation.zero_shot import measure_zero_shot
    from pipeline.models.artifacts import load_model
    from pipeline.models.inference import freeze

    model = load_model(artifact)
    class_names, temperature = contract.class_names, contract.temperature
    predicted, outputs, apply = predict_splits(family, model, contract, artifact)
    about = describe_model(model, artifact, record, mirrored=averages_mirrors(params, family))
    test, folds, seed = predicted["test"], params.evaluate.label_folds, params.crossval.seed
    predictions = make_prediction_table(*read_names("test"), *test, class_names)
    results = Results(
        metrics={**compute_metrics(predicted, temperature, rule), **about, **measure_zero_shot(family, model, params)},
        classes=make_test_class_table(test, class_names, temperature, rule),
        classes_train=make_class_table(*predicted["train"], class_names),
        confusion=make_confusion_table(test[0], test[1].argmax(axis=1), class_names),
        predictions=predictions,
        val_predictions=make_prediction_table(*read_names("val"), *predicted["val"], class_names),
        train_predictions=predict_out_of_fold(family, facts, lambda: read_names("train"), num_folds=folds, seed=seed),
        curves=load_curves(record),
        roc=make_roc_table(*test, class_names),
        pr=make_pr_table(*test, class_names),
        reliability=make_calibration_table(*test, temperature),
        layers=make_layer_table(model),
        outside=judge_outside(model, contract, params),
        look_alikes=group_look_alikes(family, model, predictions["name"].tolist(), seed),
        refusals=measure_refusals(outputs, apply, contract, facts, params),
        heat_maps=explain_mistakes(model, predictions, class_names),
        augmented=draw_samples(family, params, facts),
        contract=contract,
    )
    save_results(family, results)
    record_costs(family, apply if outputs["test"].distances is None else freeze(model), artifact, facts.image_size)
    found = results.metrics
    logger.info("%s: accuracy %.4f on test, %.4f on train", family, found["test_accuracy"], found["train_accuracy"])


if __name__ == "__main__":
    run_family_verb(evaluate, __doc__)
