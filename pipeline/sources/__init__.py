"""Where images come from: one module per source, each with `locate` and `read_images` (see loader.py)."""
