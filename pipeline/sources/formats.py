"""Which files are taken for pictures."""

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})  # of file names


MAX_IMAGE_BYTES = 1 << 29  # one picture is read whole; half a GB is no picture
