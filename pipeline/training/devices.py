"""Training on several devices of one machine, each with its share of every batch. Imports TensorFlow.

By TensorFlow's MirroredStrategy: each device has a copy of the network and computes the gradients of its share; all take the
step of their sum. The result is that of one device but for the order of sums: a batch is the recipe's, whatever the number of
devices; each image counts the same, also in a batch that can't be divided evenly; and layers that look at a whole batch still
do (pipeline.training.whole_batch).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import tensorflow as tf

from pipeline.models.layers import finalize_normalization
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.tensorflow import get_training_mode
from pipeline.training.whole_batch import WHOLE, find_rows, share


@cache
def _get_strategy() -> tf.distribute.Strategy:
    """Of the devices that `configure_tensorflow` was told; several."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    names = [f"{kind}:{number}" for number in range(get_training_mode().devices)]
    # Adds in the order of the devices, so that sums are the same bits each time.
    return tf.distribute.MirroredStrategy(names, cross_device_ops=tf.distribute.ReductionToOneDevice())


def on_devices() -> AbstractContextManager[Any]:
    """In which optimizers are made and models compiled that train on all devices."""
    return nullcontext() if get_training_mode().devices == 1 else _get_strategy().scope()


def mirror(model: keras.Model, batch_size: int) -> keras.Model:
    """The same network with its variables on all devices, uncompiled, to train in its stead; itself for one device. Raises
    PipelineError where a batch has fewer images than there are devices."""
    devices = get_training_mode().devices
    if devices == 1:
        return model
    if batch_size < devices:
        raise PipelineError(
            f"runtime.devices: {devices} devices share each batch: expected a batch_size of {devices} or more, received "
            f"{batch_size}; raise it, or lower runtime.devices"
        )
    with on_devices():
        copy = keras.models.clone_model(model, clone_function=_clone, recursive=True)
    for old, new in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        if isinstance(old, keras.Model):
            new._call_context_args = old._call_context_args  # see build_backbone
    copy_state(model, copy)
    return copy


def _clone(layer: keras.layers.Layer) -> keras.layers.Layer:
    return WHOLE.get(type(layer), type(layer)).from_config(layer.get_config())


def copy_state(source: keras.Model, target: keras.Model) -> None:
    """All variables of a network to those of the same one elsewhere: weights, and the random state of dropout."""
    for old, new in zip(source.variables, target.variables, strict=True):
        new.assign(keras.ops.convert_to_numpy(old))
    finalize_normalization(target)


def share_fit(
    copy: keras.Model,
    batches: tf.data.Dataset,
    validation: tf.data.Dataset,
    class_weight: dict[int, float] | None,
) -> dict[str, Any]:
    """Arguments of `fit` for a compiled copy. batches: endless, images or features, and labels. validation: once. class_weight:
    by class number."""
    validation_steps = int(validation.cardinality())
    weighed = batches if class_weight is None else batches.map(_weigh(class_weight))
    training = _split(weighed)
    copy.train_step, copy.test_step = _make_train_step(copy), _make_test_step(copy)
    with on_devices():  # before the first step, in which each device would make metrics of its own
        copy._symbolic_build(data_batch=tuple(weighed.element_spec))
    copy._maybe_symbolic_build = lambda **_: None  # would add the shares of a batch, which may differ in size
    return {
        "x": training,
        # Keras would go on after the last batch of one that it does not know the length of.
        "validation_data": _split(validation.repeat()),
        "validation_steps": validation_steps,
    }


def _weigh(class_weight: dict[int, float]) -> Callable[..., tuple[Any, tf.Tensor, tf.Tensor]]:
    """Adds the weight of each image, float32 (batch,), as Keras does for `class_weight`."""
    weights = tf.constant([class_weight[number] for number in range(len(class_weight))], tf.float32)

    def add(*batch: Any) -> tuple[Any, tf.Tensor, tf.Tensor]:
        x, labels = batch if len(batch) == 2 else batch[0]  # a named tuple comes as one argument
        return x, labels, tf.gather(weights, tf.argmax(labels, axis=1) if labels.shape.rank > 1 else labels)

    return add


def _split(batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Each batch as a share for each device, beside the number of its images, int32 (). Not by TensorFlow, whose shares of a
    small last batch differ by more than one image. A share without images, of a batch smaller than the number of devices, has
    one nevertheless, which does not count: oneDNN's kernels give results of wrong shapes for none."""
    strategy = _get_strategy()
    devices = strategy.num_replicas_in_sync

    def split(*batch: Any) -> tf.data.Dataset:
        parts = tuple(batch[0]) if len(batch) == 1 else batch
        total = tf.shape(parts[1])[0]

        def take(device: tf.Tensor) -> tuple[Any, tf.Tensor]:
            first, end = find_rows(total, device, devices)
            end = tf.maximum(end, first + 1)
            return tf.nest.map_structure(lambda rows: rows[first:end], parts), total

        return tf.data.Dataset.range(devices, output_type=tf.int32).map(take)

    shares = batches.flat_map(split).prefetch(2 * devices)
    return strategy.distribute_datasets_from_function(lambda _: shares)


def _make_train_step(copy: keras.Model) -> Callable[[Any], dict[str, Any]]:
    """Keras' own step, in which each image of the whole batch counts the same, and not each device."""
    tracker = _find_loss(copy)

    def train_step(data: Any) -> dict[str, Any]:
        batch, total = data
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        devices, rows = _count(total)
        own = tf.fill(tf.shape(y)[:1], tf.cast(rows * devices, tf.float32) / tf.cast(total, tf.float32))
        with tf.GradientTape() as tape:
            with share(total, rows):
                probabilities = copy(x, training=True)
            weights = own if weight is None else own * weight
            loss = copy.compute_loss(x=x, y=y, y_pred=probabilities, sample_weight=weights, training=True)
        # Keras divides a device's loss by the number of devices, so that their sum is the batch's.
        tracker.update_state(loss * devices, sample_weight=tf.cast(total, tf.float32) / devices)
        gradients = tape.gradient(loss, copy.trainable_weights)
        copy.optimizer.apply_gradients(zip(gradients, copy.trainable_weights, strict=True))
        return copy.compute_metrics(x, y[:rows], probabilities[:rows])

    return train_step


def _make_test_step(copy: keras.Model) -> Callable[[Any], dict[str, Any]]:
    """Keras' own step, without images that do not count."""
    tracker = _find_loss(copy)

    def test_step(data: Any) -> dict[str, Any]:
        (x, y), total = data
        devices, rows = _count(total)
        probabilities = copy(x, training=False)
        loss = copy.compute_loss(x=x, y=y, y_pred=probabilities, training=False)
        tracker.update_state(loss * devices, sample_weight=tf.cast(rows, tf.float32))
        return copy.compute_metrics(x, y[:rows], probabilities[:rows])

    return test_step


def _count(total: tf.Tensor) -> tuple[int, tf.Tensor]:
    """How many devices there are, and how many images of a batch of `total` are this one's, int32 ()."""
    context = tf.distribute.get_replica_context()
    first, end = find_rows(total, context.replica_id_in_sync_group, context.num_replicas_in_sync)
    return context.num_replicas_in_sync, end - first


def _find_loss(copy: keras.Model) -> keras.metrics.Metric:
    return next(metric for metric in copy.metrics if metric.name == "loss")
