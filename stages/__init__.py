"""From folders of labelled pictures to compared classifiers: verbs run (``python -m stages.<verb>``), nouns are imported."""
