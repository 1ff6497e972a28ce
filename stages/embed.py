"""Computes a backbone's features of every image, once, into data/embeddings/<family>: the part of training that is frozen.

For a family that trains on pixels, it writes an empty folder at no cost, or its teacher's features. For one that is
fine-tuned from a cut on, it keeps what the backbone gives there, too.
"""

import logging

from pipeline.config.families import FAMILIES, check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import embeds_mirrors, find_cut, list_features, resolve_family, trains_on_features
from pipeline.config.teachers import find_embedded
from pipeline.data.embeddings import EmbeddingFacts, compute_key, copy_twin, save_none
from pipeline.data.part_key import compute_part_key
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.cluster import open_cluster
from pipeline.runtime.code_digests import find_code_file
from pipeline.runtime.paths import TFRECORDS
from pipeline.runtime.tensorflow import configure_tensorflow

logger = logging.getLogger(__name__)


def embed(family: str) -> None:
    params = load_params()
    check_family(family)
    source = find_embedded(params, family)
    backbone, recipe = FAMILIES[source].backbone, resolve_family(params, source)
    if not trains_on_features(recipe) or backbone is None or recipe.backbone is None or recipe.augment is None:
        save_none(family)
        logger.info("%s trains on pixels: nothing to embed", family)
        return
    runtime = params.runtime.arithmetic
    configure_tensorflow(**runtime)
    from pipeline.data.augmentation import Augmentation
    from pipeline.models.backbones.backbone import compute_weights_digest
    from pipeline.models.backbones.loader import build_backbone
    from pipeline.models.embedding import embed_images
    from pipeline.models.extraction import Extraction, make_extract
    from pipeline.models.tail import make_extractor, prepare_cut

    facts, augment = load_dataset_facts(), recipe.augment.model_dump()
    size, features, cut = recipe.input_size or facts.image_size, list_features(recipe), find_cut(recipe)
    asked = recipe.backbone
    network = build_backbone(backbone, size, asked.weights, preset=asked.preset, family=source)
    weights = compute_weights_digest(network)
    settings = {"backbone": backbone, "input_size": size, "weights": weights, "augment": augment}
    mirrored = embeds_mirrors(params, source)
    settings |= {"preset": asked.preset, "features": features, "cut": cut, "mirrored": mirrored}
    settings |= params.embed.model_dump() | runtime
    key = compute_key(settings, [*sorted(TFRECORDS.iterdir()), find_code_file("embed", family)])
    twin = copy_twin(family, key)
    if twin is not None:
        logger.info("%s: has the same features as %s, copied", family, twin)
        return
    embedding_facts = EmbeddingFacts(
        backbone=backbone,
        key=key,
        weights_sha256=weights,
        num_features=0,
        dtype=params.embed.dtype,
        views=params.embed.views if Augmentation(**augment).is_active else 0,
        num_images=facts.num_images,
        features=features,
        cut=cut,
        mirrored=mirrored,
    )
    sizes = {"image_size": facts.image_size, "input_size": size}
    model, embedding_facts = make_extractor(network, embedding_facts, **sizes)
    prepare_cut(source, recipe, network, embedding_facts)
    parts = compute_part_key({"key": key}, [])
    with open_cluster(cluster=params.runtime.cluster, address=params.runtime.ray_address) as cluster:
        how = Extraction(source, embedding_facts, params.embed, augment, runtime, asked.weights, asked.preset, sizes)
        embed_images(family, make_extract(model, how, cluster), embedding_facts, key=parts, source=source)


if __name__ == "__main__":
    run_family_verb(embed, __doc__)
