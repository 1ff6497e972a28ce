"""What an architecture asks of its images, said before it fails."""

from stages.errors import PipelineError


def check_pools(family: str, image_size: int, *, pools: int, strides: int = 1) -> None:
    """Raises PipelineError where an image is too small for `pools` halvings after a convolution of stride `strides`."""
    smallest = strides * (2**pools - 1) + 1 if strides > 1 else 2**pools
    if image_size < smallest:
        raise PipelineError(
            f"{family} halves its images {pools} times: expected images of {smallest} px or more, received {image_size} px; "
            "raise preprocess.image_size or leave the family out"
        )


def scale_filters(filters: int, width: float) -> int:
    """The number of filters at a width factor; at least one."""
    return max(1, round(filters * width))
