"""From folders of labelled pictures to compared classifiers: verbs run (``python -m stages.<verb>``), nouns are imported."""

import gc
import sys

# A verb imports some hundred thousand objects that stay; to look for garbage among them takes up to a third of its start.
# While `python -m` looks for the verb, argv[0] is "-m"; whoever imports this package keeps the collector as it is.
if sys.argv[:1] == ["-m"]:
    gc.disable()  # until cli.report_errors
