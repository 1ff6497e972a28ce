"""All that the doctor says: what would be read, what the machine has, what a run needs and takes, what to change."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.reader import load_params
from pipeline.config.sections import Params
from pipeline.config.teachers import list_trained
from pipeline.doctor.commands import parse_setting, write_command
from pipeline.doctor.findings import Finding, collect_warnings, find_refusal
from pipeline.doctor.minutes import estimate_run
from pipeline.doctor.needs import estimate_disk, estimate_memory
from pipeline.doctor.pictures import Trials, describe_trials, try_pictures
from pipeline.doctor.place import describe_place
from pipeline.doctor.resources import describe_cores, describe_disk, describe_memory
from pipeline.doctor.samples import take_samples
from pipeline.doctor.speed import Request, Speed, measure_speeds
from pipeline.doctor.subject import Subject, choose_source, describe_inherited, look_at_source
from pipeline.doctor.times import describe_minutes
from pipeline.doctor.weights import find_missing_weights
from pipeline.runtime.dvc_facts import DvcFacts, describe_dvc
from pipeline.runtime.machine import count_cores, measure_load, measure_memory

logger = logging.getLogger(__name__)

_UNKNOWN = {"train": 640, "val": 160, "test": 200}  # of each 1,000 pictures, with the fractions of params.yaml
_UNKNOWN_CLASSES = 10


@dataclass
class Diagnosis:
    """sections: lines by heading, in the order of the screen. command: how to run on what was looked at, or empty."""

    sections: dict[str, list[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    command: str = ""

    @property
    def stops(self) -> bool:
        """Whether a run would end before its report."""
        return any(finding.stops for finding in self.findings)

    def add(self, heading: str, found: tuple[list[str], list[Finding]]) -> None:
        lines, findings = found
        if lines:
            self.sections[heading] = lines
        self.findings += findings


def diagnose(path: str | None, settings: list[str], seconds: float, project: Path) -> Diagnosis:
    """path: a folder, an archive or an address in the place of data.path; None: what params.yaml says. settings: other values
    of parameters, as of `parse_setting`. seconds: to measure how fast families train; 0: not at all. project: the folder of
    params.yaml, absolute, in which the process is. Raises PipelineError for a setting that can't be read."""
    diagnosis = Diagnosis()
    place = choose_source(path) if path is not None else {}
    overrides = place | dict(map(parse_setting, settings))
    found: list[Params] = []
    diagnosis.findings += find_refusal(lambda: found.append(load_params(overrides=overrides)))
    dvc: list[DvcFacts | None] = []
    diagnosis.findings += find_refusal(lambda: dvc.append(describe_dvc(project)))
    facts = dvc[0] if dvc else None
    if found:
        if path is not None:
            diagnosis.findings += [Finding(line) for line in describe_inherited(found[0], overrides)]
        _examine(diagnosis, found[0], overrides, seconds, facts, project)
    else:
        diagnosis.add("cores", describe_cores(count_cores(), measure_load()))
    if overrides:
        diagnosis.command = write_command(place, settings)
    where = describe_place(project, facts)
    diagnosis.sections |= where.sections
    diagnosis.findings += where.findings
    return diagnosis


def _examine(
    diagnosis: Diagnosis,
    params: Params,
    overrides: Mapping[str, Any],
    seconds: float,
    dvc: DvcFacts | None,
    project: Path,
) -> None:
    """What depends on the data and on the parameters."""
    logger.info("looking at the pictures")
    with collect_warnings("pipeline.sources") as warnings:
        subject = look_at_source(params)
        diagnosis.add("data", (subject.lines, subject.findings))
        trials = _try(diagnosis, params, subject)
    diagnosis.findings += warnings
    diagnosis.findings += find_missing_weights(params)
    if diagnosis.stops and not subject.is_known:
        diagnosis.add("cores", describe_cores(count_cores(), measure_load()))
        return
    load = measure_load()  # before the measurement adds to it
    splits, num_classes = subject.splits or _UNKNOWN, len(subject.classes) or _UNKNOWN_CLASSES
    speeds = _measure(diagnosis, Request(list_trained(params), dict(overrides), seconds, num_classes))
    cores = count_cores()
    workers = params.preprocess.num_workers or cores.usable
    disk = estimate_disk(params, splits, _count_found(subject, splits), trials, speeds)
    memory = estimate_memory(params, splits, trials, speeds, workers)
    diagnosis.add("disk", describe_disk(disk, dvc, project, is_known=subject.is_known))
    diagnosis.add("memory", describe_memory(memory, measure_memory(), workers, params))
    diagnosis.add("cores", describe_cores(cores, load))
    if seconds and not speeds:
        diagnosis.add("minutes", ([f"nothing was measured in {seconds:g} s: --seconds {3 * seconds + 3:g} may do"], []))
    if speeds:
        estimate = estimate_run(params, splits, num_classes, trials, speeds, cores.quota or cores.usable)
        diagnosis.add("minutes", describe_minutes(estimate, seconds, is_known=subject.is_known))


def _try(diagnosis: Diagnosis, params: Params, subject: Subject) -> Trials:
    """The sample; an empty one where the source can't be read, or is not here."""
    tried: list[Trials] = []
    if subject.reading is not None or not any(finding.stops for finding in subject.findings):
        diagnosis.findings += find_refusal(lambda: tried.append(try_pictures(take_samples(subject, params), params)))
    trials = tried[0] if tried else Trials(())
    diagnosis.add("pictures", describe_trials(trials, _count_found(subject, subject.splits), params.prune.max_loss))
    return trials


def _count_found(subject: Subject, splits: Mapping[str, int]) -> int:
    """Pictures of the source, before prune leaves any out; 0 if only a download can tell."""
    return sum(subject.reading.classes.values()) if subject.reading else sum(splits.values()) * subject.is_known


def _measure(diagnosis: Diagnosis, request: Request) -> dict[str, Speed]:
    if not request.seconds:
        return {}
    logger.info("measuring how fast families train, for about %g s; --seconds 0 leaves it out", request.seconds)
    speeds, trouble = measure_speeds(request)
    if trouble:
        text = f"the measurement failed, as training would ({trouble}): mend that, or leave it out by --seconds 0"
        diagnosis.findings.append(Finding(text, stops=True))
    return speeds
