"""What the studies state of their models, at their own image sizes and numbers of classes."""

from typing import NamedTuple


class Published(NamedTuple):
    """image_size: pixels, each side. parameters: all weights, a backbone's and normalization's too. trainable: those that
    training changes while a backbone is frozen."""

    image_size: int
    num_classes: int
    parameters: int
    trainable: int


PUBLISHED = {
    # system A
    "underfit": Published(150, 5, 1_973, 1_973),
    "overfit": Published(150, 5, 3_667_269, 3_667_269),
    "optimized": Published(150, 5, 10_466_449, 10_466_443),
    # system B
    "linear_svm": Published(128, 2, (128 * 128 * 3 + 1) * 2, (128 * 128 * 3 + 1) * 2),
    "vgg_blocks": Published(128, 2, 4_498_217, 4_498_210),
    # system C
    "deep_cnn": Published(150, 6, 1_306_918, 1_306_918),
    "mobilenet": Published(150, 6, 3_228_864 + 6_150, 6_150),
    "vgg16": Published(150, 6, 14_714_688 + 3_078, 3_078),
    "resnet50v2": Published(150, 6, 23_564_800 + 12_294, 12_294),
    # system D
    "cifar_small": Published(32, 10, 122_570, 122_570),
    "cifar_dropout": Published(32, 10, 167_818, 167_818),
    "cifar_elu": Published(32, 10, 309_290, 308_394),
    # system E
    "dense_ann": Published(299, 10, 8_401_930, 8_401_930),
    "animals_cnn": Published(299, 10, 5_631_722, 5_631_722),
    "animals_cnn_augmented": Published(299, 10, 5_631_722, 5_631_722),
    "animals_cnn_wide": Published(299, 10, 5_407_274, 5_407_274),
    "inceptionv3": Published(299, 10, 21_802_784 + 2_108_426, 2_108_426),
    "inceptionv3_fine_tuned": Published(299, 10, 21_802_784 + 2_108_426, 2_108_426),  # frozen while it is built
}
