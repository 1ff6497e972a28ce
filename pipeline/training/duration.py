"""How long scikit-learn's SVC takes. Pure."""

# Seconds for one image and value, and how they grow: measured on 625 to 10,000 images of CIFAR-10, 3,072 values each, unscaled,
# and on 770 images of 12,288 values. C, and how well classes separate, count too: it is an order of magnitude.
_COST, _GROWTH = 8e-12, 2.5


def estimate_svc_seconds(num_images: int, num_values: int) -> float:
    """Of a linear machine with one against one."""
    return _COST * float(num_images) ** _GROWTH * num_values
