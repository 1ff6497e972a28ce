"""Whether stages, run again under other conditions, give the bytes that dvc.lock has."""
