"""From folders of labelled images to compared classifiers: verbs run (``python -m stages.<verb>``), nouns are imported."""
