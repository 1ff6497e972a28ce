"""Trains one family on pixels or cached features: models/<family>.keras, and its learning curves in metrics/<family>/train/."""

from pathlib import Path
from typing import Any

from stages.cli import run_family_verb
from stages.families import check_family
from stages.params import LinearRecipe, Recipe, TransferRecipe, load_params, resolve_recipe
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
    from stages.training.transfer import train_transfer

    seed_everything(params.train.seed)
    artifact, record = MODELS / f"{family}.keras", METRICS / family / "train"
    with record_seconds("train_seconds", family, artifact):
        if isinstance(own, LinearRecipe):
            model = train_linear(family, own, record=record)
        else:
            recipe = resolve_recipe(params.train, own)
            print(f"{family}: {describe_overrides(own, recipe)}")
            settings: dict[str, Any] = {
                "seed": params.train.seed,
                "cache_gb": params.train.cache_gb,
                "shuffle_buffer": params.train.shuffle_buffer,
                "record": record,
            }
            if isinstance(recipe, TransferRecipe):
                model = train_transfer(family, recipe, **settings)
            else:
                model = train_network(family, recipe, **settings)
        save_model(model, artifact)


def describe_overrides(own: Recipe, used: Recipe) -> str:
    """What of a recipe `train` has overridden, in words."""
    before, after = own.model_dump(), used.model_dump()
    changes = [f"{key} {after[key]}, not {before[key]}" for key in before if before[key] != after[key]]
    return f"trained with {'; '.join(changes)}: train in params.yaml overrides" if changes else "trained as published"


if __name__ == "__main__":
    run_family_verb(train, __doc__)
