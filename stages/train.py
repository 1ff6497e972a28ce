"""Trains one family on data/tfrecords: models/<family>.keras, and its learning curves in metrics/<family>/train/."""

from pathlib import Path

from stages.cli import run_family_verb
from stages.families import check_family
from stages.params import LinearRecipe, load_params, resolve_recipe
from stages.runtime import configure_tensorflow, seed_everything

MODELS = Path("models")
METRICS = Path("metrics")


def train(family: str) -> None:
    params = load_params()
    check_family(family)
    own = params.recipes[family]
    configure_tensorflow(onednn=params.runtime.onednn)
    from stages.training.artifacts import save_model
    from stages.training.linear import train_linear
    from stages.training.network import train_network
    from stages.training.timings import record_seconds

    seed_everything(params.train.seed)
    artifact, record = MODELS / f"{family}.keras", METRICS / family / "train"
    with record_seconds("train_seconds", family, artifact):
        if isinstance(own, LinearRecipe):
            model = train_linear(family, own, record=record)
        else:
            recipe = resolve_recipe(params.train, own)
            print(f"{family}: {recipe.model_dump_json()}")
            if recipe.epochs < own.epochs and params.train.epochs is None:
                print(
                    f"{family}: its recipe's {own.epochs} epochs are cut by train.max_epochs={params.train.max_epochs}"
                )
            model = train_network(
                family,
                recipe,
                seed=params.train.seed,
                cache_gb=params.train.cache_gb,
                shuffle_buffer=params.train.shuffle_buffer,
                record=record,
            )
        save_model(model, artifact)


if __name__ == "__main__":
    run_family_verb(train, __doc__)
