"""Trains one family on pixels or cached features: models/<family>.keras, and its learning curves in metrics/<family>/train.

A training that was killed goes on after the last epoch that it has kept beside DVC's cache, and ends in the same bytes.

The model file holds its contract: class names, how pictures become pixels, the temperature and the scores of prediction sets
and of "none of these", all from val, and what it was trained on and with.
"""

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import averages_mirrors, describe_settings
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.conformal import fit_conformal
from pipeline.evaluation.temperature import apply_temperature, fit_temperature
from pipeline.models.contract import make_contract
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.paths import METRICS, MODELS
from pipeline.runtime.tensorflow import configure_tensorflow


def train(family: str) -> None:
    params = load_params()
    check_family(family)
    configure_tensorflow(**params.runtime.model_dump())
    from pipeline.data.embeddings import find_embeddings
    from pipeline.evaluation.familiarity_fit import fit_to_model, validate
    from pipeline.models.artifacts import save_model
    from pipeline.models.mirrors import average_mirrors
    from pipeline.runtime.timings import read_peak_memory, record_last_digits, record_readings, record_seconds
    from pipeline.training.checkpoint_key import find_checkpoints
    from pipeline.training.dispatch import train_family

    artifact, record = MODELS / f"{family}.keras", METRICS / family / "train"
    checkpoints = find_checkpoints("train", family, params)
    with record_seconds("train_seconds", family, artifact, before=lambda: checkpoints.seconds_before):
        model = train_family(family, params, record=record, checkpoints=checkpoints)
        model = average_mirrors(model) if averages_mirrors(params, family) else model
        validation = validate(model, find_embeddings(family))
        labels, probabilities = validation.labels, validation.outputs.probabilities
        temperature = fit_temperature(labels, probabilities)
        contract = make_contract(
            family,
            load_dataset_facts(),
            temperature=temperature,
            settings=describe_settings(params, family)["train"],
            conformal=fit_conformal(labels, apply_temperature(probabilities, temperature)),
            familiarity=fit_to_model(validation, temperature, params.train.seed),
        )
        save_model(model, artifact, contract)
    record_readings(family, artifact, {"train_peak_mb": read_peak_memory()})
    record_last_digits(family, artifact)
    checkpoints.remove()


if __name__ == "__main__":
    run_family_verb(train, __doc__)
