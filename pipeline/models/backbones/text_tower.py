"""The tower for text of presets of KerasHub that have one, such as CLIP and SigLIP. Imports Keras, and KerasHub, an extra, only
where such a preset is used."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pipeline.models.archive import check_preset_texts
from pipeline.models.backbones.backbone import compute_weights_digest
from pipeline.models.backbones.hub import check_folder, read_reason
from pipeline.models.backbones.presets import TEXT_NETWORKS, TOKENIZER, check_preset_place
from pipeline.runtime.errors import PipelineError

_VISION_TOWERS = tuple(name.replace("Backbone", "VisionEncoder") for name in TEXT_NETWORKS)
# What a preset does with the pooled output of its tower for images before it compares it with texts; SigLIP: nothing.
_AFTER_POOLING = ("vision_post_layer_norm", "vision_projection")
_BATCH = 64  # texts


@dataclass(frozen=True)
class TextTower:
    """model: the whole preset, with both towers. preprocessor: of KerasHub, from texts to the numbers of their tokens."""

    model: keras.Model
    preprocessor: Any

    @property
    def images_sha256(self) -> str:
        """Of the weights of the tower for images, as `compute_weights_digest` has it of `build_preset`."""
        return compute_weights_digest(self.model.vision_encoder)

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """float32 (n, dimensions), not normalised."""
        tokens = np.asarray(self._tokenize(texts)["token_ids"])
        parts = [tokens[first : first + _BATCH] for first in range(0, len(tokens), _BATCH)]
        return np.concatenate([np.asarray(self.model.get_text_embeddings(part)) for part in parts])

    def embed_features(self, features: np.ndarray) -> np.ndarray:
        """The same of images. features: float32 (n, features), of `build_preset`, pooled: the first of them are what the preset
        itself takes, of CLIP the class token."""
        pooled = features[:, : self.model.vision_encoder.hidden_dim]
        for name in _AFTER_POOLING:
            pooled = getattr(self.model, name)(pooled) if hasattr(self.model, name) else pooled
        return np.asarray(pooled)

    def list_words(self, text: str) -> list[str]:
        """The tokens that stand for a text; none for one of which the tokenizer knows nothing."""
        tokenizer, content = self.preprocessor.tokenizer, self._tokenize([text])
        there = np.asarray(content["token_ids"])[0][np.asarray(content["padding_mask"])[0]]
        known = [int(token) for token in there if int(token) not in tokenizer.special_token_ids]
        words = [str(tokenizer.id_to_token(token)) for token in known]
        return [word for word in words if word.strip("\N{LOWER ONE EIGHTH BLOCK} ")]

    def _tokenize(self, texts: list[str]) -> dict[str, Any]:
        return self.preprocessor({"images": None, "prompts": texts})


def may_know_texts(model: keras.Model) -> bool:
    """Whether a model has a tower for images of a kind that presets have beside one for text."""
    return any(type(layer).__name__ in _VISION_TOWERS for layer in model._flatten_layers())


def load_text_tower(preset: str, *, parameter: str) -> TextTower | None:
    """None for a preset that has no tower for text, or no tokenizer.

    preset: see `build_preset`. parameter: the one that names it. Raises PipelineError, one line, for what can't be loaded.
    """
    import keras_hub

    folder = check_preset_place(preset, parameter)
    if folder is not None:
        check_folder(folder, parameter)
        check_folder(folder, parameter, check_preset_texts)
    place = str(folder) if folder is not None else preset
    try:
        model = keras_hub.models.Backbone.from_preset(place)
        if type(model).__name__ not in TEXT_NETWORKS:
            return None
        preprocessor = keras_hub.models.CausalLMPreprocessor.from_preset(place, image_converter=None)
        tower = TextTower(model, preprocessor)
        tower.embed_texts(["a photo"])
        _forget_tables()
    except MemoryError:
        raise
    except Exception as error:  # KerasHub, its tokenizers and its hubs raise many types
        if isinstance(error, FileNotFoundError) and TOKENIZER in str(error):
            return None
        raise PipelineError(
            f"{parameter}: {place} can't be loaded for texts ({type(error).__name__}: {read_reason(error)}): expected a preset "
            "whose tokenizer this version of KerasHub knows, reachable from here; set evaluate.prompts to [] to do without "
            "the zero-shot row"
        ) from error
    return tower


def _forget_tables() -> None:
    """A tokenizer's tables of words are noted in TensorFlow's default graph, for a session that never is; whatever is frozen
    afterwards would warn that they can't be saved."""
    import tensorflow as tf

    tf.compat.v1.get_default_graph().clear_collection(tf.compat.v1.GraphKeys.TABLE_INITIALIZERS)
