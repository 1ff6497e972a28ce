"""Which files count as images."""

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MAX_IMAGE_BYTES = 1 << 29  # half a GB: an image is read into memory at once, and none is larger
