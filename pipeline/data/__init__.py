"""Images: as the source has them (raw), as tables (manifest, splits), as models read them (TFRecords, batches)."""
