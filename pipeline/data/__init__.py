"""Many pictures: as they came (raw), as a table (manifest, splits), as models read them (TFRecords, batches)."""
