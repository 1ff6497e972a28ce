"""Exports one family for other programs, into models/exported/<family>: files, contract, labels, decode.py, and parity.csv.

Every file is run by its own runtime over the whole test split, from the pictures' bytes. One that computes in float32 has to
name the model's classes, or the stage fails; one that rounds is deleted if it loses more accuracy than export.max_drop.
Then what each costs to use is measured, for the report. A family that export.families does not name gets an empty folder.
"""

import json
import logging

from pipeline.config.families import check_family
from pipeline.config.reader import load_params
from pipeline.config.recipes import describe_settings
from pipeline.config.sections import Params
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.export.contract import make_export_contract
from pipeline.export.costs import record_costs
from pipeline.export.facts import save_none
from pipeline.export.formats import check_packages
from pipeline.models.contract import check_trained_on, load_contract
from pipeline.runtime.cli import run_family_verb
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import CHOSEN, EXPORTED, MODELS
from pipeline.runtime.tensorflow import configure_tensorflow

logger = logging.getLogger(__name__)


def export(family: str) -> None:
    params = load_params()
    check_family(family)
    if (reason := find_reason_not_to(family, params)) is not None:
        save_none(family)
        logger.info("%s is not exported: %s", family, reason)
        return
    check_packages(params.export.formats)
    artifact = MODELS / f"{family}.keras"
    contract, facts = load_contract(artifact), load_dataset_facts()
    check_trained_on(contract, facts, describe_settings(params, family)["train"], artifact)
    configure_tensorflow(**params.runtime.arithmetic)
    from pipeline.export.exporting import export_family

    with folder_aside(EXPORTED / family) as folder:
        kept = export_family(artifact, make_export_contract(contract, artifact), facts, params, folder)
    record_costs(family, artifact, EXPORTED / family, kept, facts.image_size)


def find_reason_not_to(family: str, params: Params) -> str | None:
    """None: it is to be exported."""
    formats, families = params.export.formats, params.export.families
    if not formats:
        return "export.formats is empty"
    if isinstance(families, list):
        return None if family in families else f"export.families has {', '.join(families) or 'none'}"
    if families == "all":
        return None
    chosen = json.loads(CHOSEN.read_text())["family"]
    return None if family == chosen else f"export.families is chosen, and the report chooses {chosen}"


if __name__ == "__main__":
    run_family_verb(export, __doc__)
