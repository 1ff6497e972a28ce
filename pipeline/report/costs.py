"""What each family costs: time, memory, size. Pure."""

from collections.abc import Mapping

import pandas as pd

from pipeline.evaluation.ensemble import ENSEMBLE

_READINGS = ["images_per_second_1", "images_per_second_32", "train_seconds", "train_peak_mb", "evaluate_peak_mb"]


def make_costs(timings: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """family, accuracy, milliseconds (for one image at a time), images_per_second (32 at a time), train_seconds,
    train_peak_mb, evaluate_peak_mb, model_mb, parameters, trainable_parameters, on_front: one row per family, the most
    accurate first; missing where there is no reading.

    on_front: no other family is at least as accurate and at least as fast, and better in one of the two (Pareto).
    """
    readings = timings.reindex(columns=["family", *_READINGS])
    table = readings.merge(
        summary[["family", "test_accuracy", "parameters", "trainable_parameters", "model_bytes"]], on="family"
    )
    table = table.assign(
        milliseconds=(1000 / table["images_per_second_1"]).round(2), model_mb=(table["model_bytes"] / 1e6).round(2)
    ).rename(columns={"test_accuracy": "accuracy", "images_per_second_32": "images_per_second"})
    table = table.assign(on_front=find_front(table)).drop(columns=["images_per_second_1", "model_bytes"])
    return table.sort_values(["accuracy", "family"], ascending=[False, True], ignore_index=True)


def add_ensemble(costs: pd.DataFrame, summary: pd.DataFrame, weights: Mapping[str, float]) -> pd.DataFrame:
    """The table with a last row, of the ensemble: the sum of its members' times, as each image goes through all of them, one
    after the other. Missing where one of them has no reading; on no front, and with no memory, which nobody measured. As it is
    where fewer than two families have weight. weights: family to its weight, see `pipeline.evaluation.ensemble`."""
    members = costs[costs["family"].isin([family for family, weight in weights.items() if weight > 0])]
    if len(members) < 2:
        return costs
    found = summary.set_index("family").loc[ENSEMBLE]
    row = {
        "family": ENSEMBLE,
        "accuracy": found["test_accuracy"],
        "milliseconds": round(members["milliseconds"].sum(skipna=False), 2),
        "images_per_second": 1 / (1 / members["images_per_second"]).sum(skipna=False),
        "train_seconds": members["train_seconds"].sum(skipna=False),
        "model_mb": round(found["model_bytes"] / 1e6, 2),
        "parameters": found["parameters"],
        "trainable_parameters": found["trainable_parameters"],
        "on_front": False,
    }
    return pd.DataFrame([*costs.to_dict("records"), row], columns=list(costs.columns))


def find_front(table: pd.DataFrame) -> list[bool]:
    """For each row, whether no other is better in one of accuracy and milliseconds and at least as good in the other. A
    family without a reading is not on the front, and beats nobody."""
    points = list(zip(table["accuracy"], table["milliseconds"], strict=True))
    return [
        bool(time == time) and not any((a >= accuracy and t <= time) and (a > accuracy or t < time) for a, t in points)
        for accuracy, time in points
    ]
