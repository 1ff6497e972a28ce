"""Notes which family the report recommends, in data/chosen.json: by it, and not by all evaluations, `export` is run again."""

import json
import logging

from pipeline.config.reader import load_params
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.evaluation.results import remove_leftovers
from pipeline.report.choice import find_chosen
from pipeline.runtime.cli import run_verb
from pipeline.runtime.files import write_aside
from pipeline.runtime.paths import CHOSEN

logger = logging.getLogger(__name__)


def choose() -> None:
    params = load_params()
    remove_leftovers(params.families)  # as report does: whichever runs first, the folder is the same for both
    chosen = find_chosen(params.families, load_dataset_facts().counts["train"], params.evaluate)
    with write_aside(CHOSEN) as partial:
        partial.write_text(json.dumps({"family": chosen}) + "\n")
    logger.info("the best on validation is %s; whether to use it, the report says", chosen)


if __name__ == "__main__":
    run_verb(choose, __doc__)
