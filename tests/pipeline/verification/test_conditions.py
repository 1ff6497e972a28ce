import os
import subprocess
import sys
import time

import pytest

from pipeline.verification.conditions import choose_conditions, on_one_core


def ask(code: str) -> str:
    """What Python prints under the chosen conditions."""
    conditions = choose_conditions(None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=conditions.make_environment(),
        umask=conditions.umask,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_processes_see_another_time_zone_mask_and_seed(monkeypatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    zone, mask, seed = ask(
        "import os, time; print(time.strftime('%z'), os.umask(0), os.environ['PYTHONHASHSEED'])"
    ).split()
    here = os.umask(0)
    os.umask(here)
    assert zone != time.strftime("%z")
    assert int(mask) != here
    assert seed == "4711"


@pytest.mark.parametrize("locale", ["C", "tr_TR.UTF-8", "de_DE.utf8", "POSIX"])
def test_the_locale_is_never_the_one_that_is_set(monkeypatch, locale):
    monkeypatch.setenv("LC_ALL", locale)
    assert choose_conditions(None).locale.lower() != locale.lower().replace("-", "")


@pytest.mark.parametrize(("workers", "others"), [(1, 2), (2, 1), (8, 1)])
def test_the_number_of_workers_is_another(workers, others):
    assert choose_conditions(workers).workers == others


def test_a_seed_that_is_set_is_not_used_again(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "4711")
    assert choose_conditions(None).hash_seed == "1"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no such call")
def test_there_is_one_core_within_and_all_afterwards():
    before = os.sched_getaffinity(0)
    with on_one_core():
        assert ask("import os; print(len(os.sched_getaffinity(0)))") == "1"
    assert os.sched_getaffinity(0) == before
