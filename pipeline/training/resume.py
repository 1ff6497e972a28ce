"""The state of a fit after an epoch, taken into a checkpoint and put back, so that training goes on as if it had never ended.

Keras' own BackupAndRestore keeps weights and optimizer, but no counters of callbacks, no best weights, no history, and nothing
of dvclive's. Imports TensorFlow.
"""

import logging
import random
from typing import Any

import keras
import numpy as np
from dvclive import Live
from dvclive.keras import DVCLiveCallback

from pipeline.runtime.errors import PipelineError
from pipeline.training.checkpoints import Checkpoint, PhaseCheckpoints, Scalar

logger = logging.getLogger(__name__)

# Attributes of EarlyStopping, EpochKeeper and ReduceLROnPlateau that change from epoch to epoch. Not all of their attributes:
# Keras changes the sign of min_delta once, in the first epoch that a process trains.
_COUNTERS = (
    *("best", "best_epoch", "cooldown_counter", "kept_epoch", "restore_best_weights", "stopped_epoch", "wait"),
    "_ema_weights_in_model",  # of SwapEMAWeights
)


def list_state(model: keras.Model) -> list[keras.Variable]:
    """All that training changes in a compiled model: weights, dropout's random state, the optimizer's moments, its step and
    learning rate."""
    return [*model.variables, *model.optimizer.variables]


def log_resumed(family: str, checkpoints: PhaseCheckpoints, *, epochs: int, before: int) -> None:
    """Says so where a fit does not begin at its first epoch. epochs: of the fit. before: of earlier phases."""
    if first := checkpoints.first_epoch:
        logger.info("%s: resumes at epoch %d of %d", family, before + first + 1, before + epochs)


class Resumer(keras.callbacks.Callback):
    """Puts the checkpoint that was found into the model and the other callbacks when training begins, and writes one after an
    epoch when it is due. To be the last callback: the others set themselves back when training begins."""

    def __init__(
        self,
        checkpoints: PhaseCheckpoints,
        keeper: keras.callbacks.EarlyStopping,
        history: keras.callbacks.History,
        *,
        others: list[keras.callbacks.Callback],
        epochs: int,
    ) -> None:
        """keeper: of the best weights. others: all callbacks before this one. epochs: at most."""
        super().__init__()
        self._checkpoints, self._keeper, self._history = checkpoints, keeper, history
        self._others, self._epochs = others, epochs

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002 - Keras' names
        if self._checkpoints.found is not None:
            self._put_back(self._checkpoints.found)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002 - Keras' names
        # Not after the last epoch, nor where another callback has ended training: there is nothing to go on with.
        if epoch + 1 < self._epochs and not self.model.stop_training and self._checkpoints.is_due():
            self._checkpoints.write(self._take)

    def _take(self, seconds: float) -> Checkpoint:
        best = self._keeper.best_weights
        return Checkpoint(
            history={name: list(values) for name, values in self._history.history.items()},
            callbacks={type(callback).__name__: _read_counters(callback) for callback in self._others},
            variables=[keras.ops.convert_to_numpy(variable) for variable in list_state(self.model)],
            best=None if self._keeper.best_epoch == self._history.epoch[-1] else best,
            random=_read_random(),
            seconds=seconds,
        )

    def _put_back(self, found: Checkpoint) -> None:
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        state = list_state(self.model)
        if [variable.shape for variable in state] != [array.shape for array in found.variables]:
            raise PipelineError("a checkpoint is of another network: this is a bug, please report it")
        for variable, array in zip(state, found.variables, strict=True):
            variable.assign(array)
        for callback in self._others:
            counters = found.callbacks.get(type(callback).__name__, {})
            vars(callback).update({name: counters[name] for name in _read_counters(callback) if name in counters})
        self._keeper.best_weights = self.model.get_weights() if found.best is None else found.best
        self._history.history = {name: list(values) for name, values in found.history.items()}
        self._history.epoch = list(range(found.epochs))
        _set_random(found.random)


def _read_counters(callback: keras.callbacks.Callback) -> dict[str, Scalar]:
    """What a callback counts, and the best value that it has seen."""
    return {name: value for name, value in vars(callback).items() if name in _COUNTERS}


def _read_random() -> list[Any]:
    """The states of Python's and NumPy's generators, as JSON. Nothing within a fit draws from TensorFlow's: its operations get
    their seeds from (seed, epoch) or from variables of the model."""
    version, numbers, pending = random.getstate()
    name, keys, *rest = np.random.get_state()
    return [[version, list(numbers), pending], [name, np.asarray(keys).tolist(), *rest]]


def _set_random(states: list[Any]) -> None:
    (version, numbers, pending), (name, keys, *rest) = states
    random.setstate((version, tuple(numbers), pending))
    np.random.set_state((name, np.asarray(keys, np.uint32), *rest))


def replay(live: Live, checkpoint: Checkpoint | None) -> None:
    """Writes the rows of the epochs that a checkpoint has finished: DVC deletes a stage's outputs before it runs."""
    callback = DVCLiveCallback(live=live)
    history = checkpoint.history if checkpoint else {}
    for epoch in range(checkpoint.epochs if checkpoint else 0):
        callback.on_epoch_end(epoch, {name: values[epoch] for name, values in history.items()})
