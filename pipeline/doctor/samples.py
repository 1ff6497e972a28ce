"""A few of a source's pictures, spread evenly over all of them, as files or as bytes."""

import io
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config.sections import Params
from pipeline.config.sources import Cifar10Settings, ScenesSettings
from pipeline.data.file_kinds import is_picture_name
from pipeline.doctor.subject import Subject
from pipeline.sources.archive_format import open_archive
from pipeline.sources.member import Bounds
from pipeline.sources.raw_image import RawImage
from pipeline.sources.reading import TreeFile
from pipeline.sources.scenes.drawing import CLASS_NAMES, draw_scene
from pipeline.sources.zip_archive import ZipReader

MAX_SAMPLES = 200
_NUM_DRAWN = 24


@dataclass(frozen=True)
class Sample:
    """One picture. path: of a local file; or data: its bytes; or reason: why the source can't give them. drawn: seconds that
    drawing it took; 0 for one that was there."""

    name: str
    label: str
    path: str = ""
    data: bytes | None = None
    drawn: float = 0.0
    reason: str = ""

    @property
    def is_counted(self) -> bool:
        """Whether `prune` counts it: a file without bytes is a picture by its name only, and of a class or no loss of any."""
        return not self.reason or (self.label != "" and is_picture_name(self.name))


def take_samples(subject: Subject, params: Params) -> Iterator[Sample]:
    """At most MAX_SAMPLES pictures that the reading takes for such; drawn ones for a source that is not on this machine."""
    target, reading = subject.target, subject.reading
    if target is not None and target.is_dir() and reading is not None:
        return (Sample(file.name, file.label, str(target / file.path)) for file in _spread(reading.files))
    if subject.images is not None and reading is not None:
        return _keep_some(subject.images, sum(reading.classes.values()))
    if target is not None and reading is not None:
        return _read_zip(target, params, _spread(reading.files))
    if target is not None:
        return iter(())
    return _draw(params)


def _keep_some(images: Iterator[RawImage], count: int) -> Iterator[Sample]:
    samples = (Sample(image.name, image.label, data=image.data, reason=image.reason) for image in images)
    counted = (sample for sample in samples if sample.is_counted)
    yield from islice(counted, 0, None, max(1, math.ceil(count / MAX_SAMPLES)))


def _spread(files: tuple[TreeFile, ...]) -> list[TreeFile]:
    usable = [file for file in files if not file.reason]
    count = min(len(usable), MAX_SAMPLES)
    return [usable[number * len(usable) // count] for number in range(count)]


def _read_zip(archive: Path, params: Params, files: list[TreeFile]) -> Iterator[Sample]:
    bounds = Bounds(
        what=f"archive {archive.name!r}",
        packed_bytes=archive.stat().st_size,
        max_unpacked_gb=math.inf,
        max_ratio=math.inf,
    )
    with closing(open_archive(archive, bounds=bounds, encoding=params.data.encoding)) as reader:
        assert isinstance(reader, ZipReader)
        members = reader.list_members()
        indices = {member.name: index for index, member in enumerate(members)}
        for file in files:
            index = indices[file.path]
            data, reason = None, members[index].reason
            if not reason:
                _, data, reason = next(reader.read_members([index]))
            sample = Sample(file.name, file.label, data=data, reason=reason)
            if sample.is_counted:
                yield sample


def _draw(params: Params) -> Iterator[Sample]:
    """Scenes as their source draws them; noise as CIFAR-10 has it; else scenes of the size that models get."""
    settings = params.source_settings
    for index in range(_NUM_DRAWN):
        start, label = time.perf_counter(), CLASS_NAMES[index % len(CLASS_NAMES)]
        if isinstance(settings, Cifar10Settings):
            pixels, kind = np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8), "BMP"
        else:
            seed = settings.seed if isinstance(settings, ScenesSettings) else 0
            pixels, kind = draw_scene(label, image_size=params.image_size, seed=seed, index=index), "JPEG"
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, quality=92)
        yield Sample(f"drawn-{index}", label, data=buffer.getvalue(), drawn=time.perf_counter() - start)
