"""What answers requests: the model that is served now, its decoders and its batches. A new file takes its place unnoticed."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.sections import Params
from pipeline.data.image_files import Picture
from pipeline.evaluation.conformal import SetRule, load_rule
from pipeline.evaluation.ranking import Answer, make_answers
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.processes import num_cores
from pipeline.serving.admission import RefusedError
from pipeline.serving.batching import Batcher
from pipeline.serving.decoding import Decoders, Named
from pipeline.serving.meters import Meters
from pipeline.serving.served import Served, load_served, read_fingerprint

logger = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between looks at the files


class Service:
    """Made before the event loop runs; `start` and `close` belong to it."""

    batcher: Batcher

    def __init__(self, folder: Path, params: Params, meters: Meters) -> None:
        """Raises PipelineError where nothing can be served."""
        self._folder, self._params, self._meters = folder, params, meters
        self._seen = read_fingerprint(folder)
        self.served = load_served(folder, params)
        self.coverage = params.evaluate.coverage
        self._tell("loaded")

    def start(self) -> None:
        prune = self._params.prune
        self._decoders = Decoders(num_cores(), max_seconds=prune.max_seconds, max_megapixels=prune.max_megapixels)
        self.batcher = Batcher(self._params.serve.max_batch, self._meters)
        self._watch = asyncio.create_task(self._reload())

    async def close(self) -> None:
        """When what was asked is answered."""
        self._watch.cancel()
        await self.batcher.close()
        await asyncio.to_thread(self._decoders.close)

    async def answer(
        self, pictures: Sequence[Named | Picture], top: int, coverage: float | None
    ) -> tuple[list[Answer], str]:
        """The answers, and the family that gives them. The model that is served at the beginning answers all."""
        served = self.served
        rule = self._make_rule(served, coverage)
        decoded = await self._decoders.decode(pictures, served.decoding)
        usable = [picture.pixels for picture in decoded if picture.pixels is not None]
        rows = await self.batcher.classify(served, usable)
        answers = make_answers(decoded, rows, served.contract.class_names, top, rule=rule, refusal=served.refusal)
        return answers, served.contract.family

    def _make_rule(self, served: Served, coverage: float | None) -> SetRule | None:
        try:
            return None if coverage is None else load_rule(served.contract, coverage, self._folder)
        except PipelineError as error:
            raise RefusedError(422, str(error)) from error

    async def _reload(self) -> None:
        """Looks for new files, for ever; what can't be loaded is told, and the old model stays."""
        before = self._seen
        while True:
            await asyncio.sleep(_LOOK)
            now = await asyncio.to_thread(read_fingerprint, self._folder)
            # Not while it is still written: only what two looks have seen alike.
            if now is not None and now == before and now != self._seen:
                self._seen = now
                try:
                    self.served = await asyncio.to_thread(load_served, self._folder, self._params)
                    self._tell("loaded")
                except PipelineError as error:
                    self._meters.reloads.labels("failed").inc()
                    logger.error("the old model stays: %s", error)
            before = now

    def _tell(self, outcome: str) -> None:
        contract = self.served.contract
        self._meters.reloads.labels(outcome).inc()
        self._meters.model.info({"family": contract.family, "version": self.served.version})
        logger.info("serving %s, model %s", contract.family, self.served.version)
