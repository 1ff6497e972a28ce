"""The layers of a network as a table. Imports Keras."""

from typing import Any

import keras
import pandas as pd

from pipeline.models.layers import unwrap
from pipeline.models.mirrors import get_one_view


def make_layer_table(model: keras.Model) -> pd.DataFrame:
    """layer, kind, rows, columns, channels, parameters: one row per layer, in order; a backbone is one layer. A flat output
    has 1 row and 1 column. Of a model that averages mirror images: those that each image goes through."""
    model = get_one_view(model)
    front, inner = unwrap(model)
    rows: list[dict[str, Any]] = []
    for layer in [*model.layers[: 1 + len(front)], *inner.layers[1:]]:
        shape = layer.compute_output_shape(layer.input.shape) if isinstance(layer, keras.Model) else layer.output.shape
        if isinstance(
            shape, list
        ):  # of a backbone of which the head sees earlier blocks too: its own output comes first
            shape = shape[0]
        height, width = shape[1:3] if len(shape) == 4 else (1, 1)
        rows.append(
            {
                "layer": layer.name,
                "kind": "Backbone" if isinstance(layer, keras.Model) else type(layer).__name__,
                "rows": height,
                "columns": width,
                "channels": shape[-1],
                "parameters": layer.count_params(),
            }
        )
    return pd.DataFrame(rows)
