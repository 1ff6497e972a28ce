"""Where everything lies, relative to the project's folder: each path once, in the order of the flow."""

from pathlib import Path

PARAMS = Path("params.yaml")
CODE = Path("data/code")
SETTINGS = Path("data/settings")
WATCH = Path("data/watch")  # what DVC notices changes of; see pipeline.sources.watching
WATCH_SEEN = WATCH / "seen"
WATCH_LIST = WATCH / "params.yaml"
WATCH_HERE = WATCH / "here"  # links, on this machine only
LOCATED = Path("data/located")
OUTSIDE = Path("data/outside")  # copies of the pictures that are in no split
CORRECTION_COPIES = Path("data/corrections")  # copies of the files that prune.exclude and prune.relabel name
RAW = Path("data/raw")
INSPECTED = Path("data/inspected")  # what prune keeps aside until it is done, so that it can go on after a kill
MANIFEST = Path("data/manifest.csv")
QUARANTINE = Path("data/quarantine.csv")
CORRECTIONS = Path("data/corrections.csv")  # what these files changed
SPLITS = Path("data/splits.csv")
DUPLICATES = Path("data/duplicates.csv")
LEAKS = Path("data/leaks.csv")
TFRECORDS = Path("data/tfrecords")
MEASURED = Path("data/measured")  # the same of examine
EXAMINATION = Path("data/examination")
EMBEDDINGS = Path("data/embeddings")
EVALUATIONS = Path("data/evaluations")
CHOSEN = Path("data/chosen.json")  # the family that the report recommends
CROSSVAL = Path("data/crossval")
MODELS = Path("models")
EXPORTED = MODELS / "exported"
METRICS = Path("metrics")
PLAN = METRICS / "plan.json"  # what `dvc exp run` does within budget.minutes
TRY_PAGE = METRICS / "try.html"
CROSSVAL_METRICS = METRICS / "crossval"
SEARCH_METRICS = METRICS / "search"
PLOTS_PAGE = Path(".cache/plots.html")  # in which `dvc plots` draws; .dvc/config names it
SEARCH_WORKSPACE = Path(".cache/search")  # where trials train; no output, and nothing in it outlives a search
