"""Which files count as pictures."""

# What cameras, scanners, microscopes, the web and published data sets use. .jfif, .jpe and .jif are JPEG, .dib is BMP; GTSRB is
# .ppm, the AT&T faces are .pgm. Some are pictures that can't always be decoded: `prune` says which, and why.
IMAGE_EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".heic", ".heif", ".hif", ".avif", ".jp2", ".jxl"),
    }
)
MAX_IMAGE_BYTES = 1 << 29  # half a GB: an image is read into memory at once, and none is larger
