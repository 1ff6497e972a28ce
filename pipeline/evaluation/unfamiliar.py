"""Pictures of no class, made here, on which "none of these" is chosen (from training images) and measured. Pure."""

import numpy as np

MADE = 128  # images of each kind, at most
_PARTS = 4  # of each side


def make_noise(images: np.ndarray, seed: int) -> np.ndarray:
    """uint8, as many and as large as `images`, (n, size, size, 3): each pixel any colour."""
    return np.random.default_rng(seed).integers(0, 256, images.shape, np.uint8)


def scramble(images: np.ndarray, seed: int) -> np.ndarray:
    """uint8, of the same shape: each image cut into 4 × 4 pieces that have changed places; a rest at the lower and right border
    stays. images: uint8 (n, size, size, 3)."""
    made, rng = images.copy(), np.random.default_rng(seed)
    side = images.shape[1] // _PARTS
    for number, image in enumerate(images):
        for target, source in enumerate(rng.permutation(_PARTS * _PARTS)):
            (row, column), (from_row, from_column) = divmod(target, _PARTS), divmod(int(source), _PARTS)
            piece = image[from_row * side : (from_row + 1) * side, from_column * side : (from_column + 1) * side]
            made[number, row * side : (row + 1) * side, column * side : (column + 1) * side] = piece
    return made


MAKERS = {"noise": make_noise, "scrambled": scramble}
