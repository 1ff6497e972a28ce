"""Trains one family on pixels or cached features: models/<family>.keras, and its learning curves in metrics/<family>/train."""

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.paths import METRICS, MODELS
from pipeline.runtime.tensorflow import configure_tensorflow


def train(family: str) -> None:
    params = load_params()
    check_family(family)
    configure_tensorflow(onednn=params.runtime.onednn)
    from pipeline.models.artifacts import save_model
    from pipeline.runtime.timings import read_peak_memory, record_readings, record_seconds
    from pipeline.training.dispatch import train_family

    artifact, record = MODELS / f"{family}.keras", METRICS / family / "train"
    with record_seconds("train_seconds", family, artifact):
        save_model(train_family(family, params, record=record), artifact)
    record_readings(family, artifact, {"train_peak_mb": read_peak_memory()})


if __name__ == "__main__":
    run_family_verb(train, __doc__)
