"""Small untrained presets of KerasHub that have a tower for text, with tokenizers of a few words. Imports KerasHub."""

import io
from pathlib import Path

import keras
import sentencepiece
from keras_hub import layers, models

SIZE, WIDTH = 32, 16  # pixels of an image, each side; features
SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, -0.5, 0.25]
KINDS = ("clip", "metaclip", "siglip")
_WORDS = "a photo of red green blue polar bear"
_LETTERS = "abcdefghijklmnopqrstuvwxyz."
_LONGEST = 32  # tokens of a text, of which CLIP has one per letter here


def make_network(kind: str) -> keras.Model:
    """The same weights each time."""
    keras.utils.set_random_seed(4)
    tower = {"num_layers": 2, "num_heads": 2, "hidden_dim": WIDTH, "intermediate_dim": 32}
    image = {"patch_size": 16, "image_shape": (SIZE, SIZE, 3)}
    text = {"vocabulary_size": 64, "embedding_dim": WIDTH, "max_sequence_length": _LONGEST}
    name = {"clip": "CLIP", "metaclip": "MetaCLIP2", "siglip": "SigLIP"}[kind]
    towers = {
        "vision_encoder": getattr(models, f"{name}VisionEncoder")(**image, **tower),
        "text_encoder": getattr(models, f"{name}TextEncoder")(**text, **tower),
    }
    size = {} if kind == "siglip" else {"projection_dim": 12}
    network = getattr(models, f"{name}Backbone")(**towers, **size)
    # Untrained, all texts and all images look nearly the same: larger weights tell them apart.
    network.set_weights(
        [3 * array if array.dtype.kind == "f" and array.ndim > 1 else array for array in network.get_weights()]
    )
    return network


def save_text_preset(kind: str, folder: Path) -> None:
    """A whole preset, as KerasHub saves it."""
    make_network(kind).save_to_preset(str(folder))
    make_preprocessor(kind).save_to_preset(str(folder))


def make_preprocessor(kind: str):
    """Of texts and images."""
    if kind == "clip":
        tokens = [
            *_LETTERS,
            *(f"{letter}</w>" for letter in _LETTERS),
            "re",
            "red</w>",
            "<|startoftext|>",
            "<|endoftext|>",
        ]
        vocabulary = {token: number for number, token in enumerate(tokens)}
        tokenizer = models.CLIPTokenizer(vocabulary=vocabulary, merges=["r e", "re d</w>"])
        converter, preprocessor = layers.CLIPImageConverter, models.CLIPPreprocessor
    elif kind == "metaclip":
        tokenizer = models.MetaCLIP2Tokenizer(proto=_make_words(unk_id=0, bos_id=1, eos_id=2))
        converter, preprocessor = layers.MetaCLIP2ImageConverter, models.MetaCLIP2CausalLMPreprocessor
    else:
        tokenizer = models.SigLIPTokenizer(proto=_make_words(pad_id=0, eos_id=1, bos_id=2, unk_id=3))
        converter, preprocessor = layers.SigLIPImageConverter, models.SigLIPPreprocessor
    scaling = converter(image_size=(SIZE, SIZE), scale=SCALE, offset=OFFSET)
    return preprocessor(tokenizer, scaling, sequence_length=_LONGEST)


def _make_words(**numbers: int) -> bytes:
    """A model of sentencepiece with one token per word."""
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([_WORDS]),
        model_writer=content,
        vocab_size=16,
        model_type="word",
        hard_vocab_limit=False,
        minloglevel=2,
        **numbers,
    )
    return content.getvalue()
