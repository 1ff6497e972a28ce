"""What a family says of every image of every split. Imports TensorFlow."""

from pathlib import Path

import keras

from pipeline.data.embeddings import find_embeddings
from pipeline.evaluation.familiarity_fit import Outputs, make_answering, split_outputs
from pipeline.evaluation.measure import Split
from pipeline.models.contract import Contract
from pipeline.models.inference import Apply, freeze
from pipeline.models.predictions import check_agreement, predict
from pipeline.runtime.timings import record_seconds


def predict_splits(
    family: str, model: keras.Model, contract: Contract, artifact: Path
) -> tuple[dict[str, Split], dict[str, Outputs], Apply]:
    """For train, val and test: (labels, int64 (n,); probabilities, float32 (n, classes)); the same probabilities with the
    distances that "none of these" goes by, from the same look at each image; and the frozen model that gives both for others.

    artifact: the model's file, under whose digest the seconds are recorded. A backbone that has not been fine-tuned takes its
    features from the cache, one that was fine-tuned from a cut the activations there, but for test; some images also go
    through the whole model, from pixels. Raises PipelineError where the two disagree.
    """
    joint, num_classes = make_answering(model, contract, artifact, always=True), len(contract.class_names)
    embeddings, apply = find_embeddings(family), freeze(joint)
    predicted, outputs = {}, {}
    for split in ("train", "val", "test"):
        with record_seconds(f"evaluate_{split}_seconds", family, artifact):
            labels, both = predict(joint, split, embeddings, apply)
        outputs[split] = split_outputs(both, num_classes)
        predicted[split] = (labels, outputs[split].probabilities)
        if embeddings is not None and split != "train":
            check_agreement(family, apply, split, predicted[split][1])
    return predicted, outputs, apply
