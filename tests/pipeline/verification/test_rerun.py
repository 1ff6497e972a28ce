import hashlib
import json
from pathlib import Path

import pytest

from pipeline.verification.conditions import choose_conditions
from pipeline.verification.objects import Cache
from pipeline.verification.rerun import Rerun, Verdict, describe_verdict, summarize
from pipeline.verification.steps import Out, Step

SPLIT = "tr a-z A-Z <source >data/upper.csv"


class Bench:
    """A project, a copy of it and a cache, and stages that are shell commands."""

    def __init__(self, folder: Path) -> None:
        self.project, self.scratch, self.cache = folder / "project", folder / "scratch", folder / "cache"
        for place in (self.project, self.scratch):
            (place / "data").mkdir(parents=True)
            (place / "source").write_text("a,b\nc,d\n")
            (place / "params.yaml").write_text("preprocess: {num_workers: null} # cores\n")
        self.steps: list[Step] = []

    def keep(self, text: str) -> str:
        """Puts a file into the cache; returns its digest."""
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        file = self.cache / "files/md5" / digest[:2] / digest[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return digest

    def keep_folder(self, **files: str) -> str:
        """The same for a folder."""
        listing = json.dumps([{"md5": self.keep(text), "relpath": name} for name, text in sorted(files.items())])
        digest = self.keep(listing)
        file = self.cache / "files/md5" / digest[:2] / digest[2:]
        file.rename(file.with_name(f"{file.name}.dir"))
        return f"{digest}.dir"

    def add(self, name: str, command: str, *outs: Out, **deps: str) -> Step:
        """A stage that depends on files by their digests."""
        files = {path.replace("__", "/"): digest for path, digest in deps.items()}
        step = Step(name, (command,), files, outs, ())
        self.steps.append(step)
        return step

    def run(self, *names: str) -> list[Verdict]:
        rerun = Rerun(self.project, self.scratch, Cache(self.cache), choose_conditions(None))
        return list(rerun.run_all(self.steps, [step for step in self.steps if not names or step.name in names]))

    def fault(self, name: str = "split") -> str:
        (verdict,) = self.run(name)
        assert verdict.fault is not None
        return verdict.fault


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def out(path: str, digest: str | None, *, is_kept: bool = False, is_cached: bool = True) -> Out:
    return Out(path, digest, is_kept, is_cached)


SOURCE = hashlib.md5(b"a,b\nc,d\n", usedforsecurity=False).hexdigest()


class TestAgreement:
    def test_a_stage_that_writes_the_same_bytes_agrees(self, bench):
        bench.add("split", SPLIT, out("data/upper.csv", bench.keep("A,B\nC,D\n")), source=SOURCE)
        (verdict,) = bench.run()
        assert (verdict.name, verdict.fault) == ("split", None)

    def test_the_file_and_the_line_that_differ_are_named(self, bench):
        bench.add("split", SPLIT, out("data/upper.csv", bench.keep("A,B\nC,E\n")))
        assert bench.fault() == "data/upper.csv: line 2: 'C,D' instead of 'C,E'"

    @pytest.mark.parametrize(
        ("before", "said"),
        [
            ({"a": "1", "b": "2"}, "data/out/b is missing"),
            ({}, "data/out/a is new"),
            ({"a": "2"}, "data/out/a: line 1: '1' instead of '2'"),
        ],
    )
    def test_of_a_folder_the_first_file_is_named(self, bench, before, said):
        bench.add("split", "mkdir data/out; printf 1 >data/out/a", out("data/out", bench.keep_folder(**before)))
        assert bench.fault() == said

    def test_outputs_in_git_are_compared_with_the_workspace(self, bench):
        (bench.project / "metrics.json").write_text('{"a": 1}')
        digest = hashlib.md5(b'{"a": 1}', usedforsecurity=False).hexdigest()
        bench.add("same", "printf '{\"a\": 1}' >metrics.json", out("metrics.json", digest, is_cached=False))
        bench.add("other", "printf '{\"a\": 2}' >metrics.json", out("metrics.json", digest, is_cached=False))
        same, other = bench.run()
        assert same.fault is None
        assert other.fault == "metrics.json: line 1: '{\"a\": 2}' instead of '{\"a\": 1}'"

    def test_an_output_that_is_not_written_is_said(self, bench):
        bench.add("split", "true", out("data/upper.csv", bench.keep("A\n")))
        assert bench.fault() == "data/upper.csv is not written"

    def test_what_is_kept_while_a_stage_runs_is_there(self, bench):
        bench.add("split", "test -f data/kept", out("data/kept", bench.keep("A\n"), is_kept=True))
        assert bench.run()[0].fault is None

    def test_a_stage_that_fails_says_its_last_line(self, bench):
        bench.add("split", "echo first >&2; echo no such thing >&2; exit 3", out("data/x", bench.keep("A\n")))
        assert bench.fault() == "it failed (exit status 3): no such thing"


class TestConditions:
    @pytest.mark.parametrize(
        "command",
        ["pwd", "umask", 'date +%z; echo "$TZ"', 'echo "$LC_ALL"', 'echo "$PYTHONHASHSEED"', "cat params.yaml"],
    )
    def test_what_depends_on_them_is_found(self, bench, command):
        bench.add("split", f"({command}) >data/x", out("data/x", bench.keep("as it was here\n")))
        assert bench.fault().startswith("data/x: line 1: ")

    def test_the_number_of_workers_is_another(self, bench):
        bench.add("split", "cat params.yaml >data/x", out("data/x", bench.keep("")))
        bench.run()
        text = (bench.scratch / "params.yaml").read_text()
        assert text == f"preprocess: {{num_workers: {choose_conditions(None).workers}}} # cores\n"

    def test_a_stage_of_a_matrix_is_told_its_item(self, bench):
        bench.add("train@overfit", 'printf %s "$DVC_STAGE" >data/x', out("data/x", bench.keep("train@overfit")))
        assert bench.run()[0].fault is None


class TestApart:
    def test_each_stage_reads_what_the_lock_has_and_not_what_was_found_to_differ(self, bench):
        first = bench.keep("1\n")
        bench.add("split", "echo 2 >data/first", out("data/first", first))
        bench.add("train", "cat data/first >data/second", out("data/second", bench.keep("1\n")), data__first=first)
        split, train = bench.run()
        assert split.fault == "data/first: line 1: '2' instead of '1'"
        assert train.fault is None

    def test_only_those_that_are_named_run(self, bench):
        bench.add("split", "exit 1", out("data/first", bench.keep("1\n")))
        bench.add("train", "cat data/first >data/second", out("data/second", bench.keep("1\n")))
        assert [verdict.fault for verdict in bench.run("train")] == [None]

    def test_the_cache_and_the_project_stay_as_they_are(self, bench):
        bench.add("split", "rm -f data/first; echo 2 >data/first", out("data/first", bench.keep("1\n")))

        def read() -> dict[Path, tuple[bytes, int]]:
            files = [file for place in (bench.project, bench.cache) for file in place.rglob("*") if file.is_file()]
            return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}

        before = read()
        bench.run()
        assert read() == before


class TestStale:
    def test_a_stage_whose_input_has_changed_is_not_compared(self, bench):
        bench.add("split", SPLIT, out("data/upper.csv", bench.keep("A\n")), source="0" * 32)
        (verdict,) = bench.run()
        assert not verdict.is_compared
        assert verdict.fault == "source has changed since it ran: run `dvc repro` first"

    def test_nor_is_one_with_another_command_or_other_parameters(self, bench):
        step = Step("split", ("true",), {}, (out("data/x", bench.keep("A\n")),), ("params.yaml",))
        bench.steps.append(step)
        assert bench.fault() == "params.yaml has changed since it ran: run `dvc repro` first"

    def test_nor_is_one_that_never_ran(self, bench):
        bench.add("split", SPLIT, out("data/upper.csv", None))
        assert bench.fault() == "it has not run yet: run `dvc repro`"

    def test_nor_is_one_whose_input_the_cache_lacks(self, bench):
        bench.add("download", "true", out("data/raw", "0" * 32 + ".dir"))
        bench.add("prune", "true", out("data/x", bench.keep("A\n")), data__raw="0" * 32 + ".dir")
        assert bench.fault("prune") == (
            "data/raw, which it reads, is not in DVC's cache: run `dvc fetch` or `dvc repro`"
        )

    def test_after_a_change_of_code_those_that_it_does_not_concern_are_still_compared(self, bench):
        """The stage `code` says which: it runs anew where it is stale."""
        one, two = bench.keep("1\n"), bench.keep("2\n")
        folder = bench.keep_folder(one="1\n", two="2\n")
        new = "mkdir -p data/code; echo 1 >data/code/one; echo 3 >data/code/two"
        bench.add("code", new, out("data/code", folder, is_kept=True), source="0" * 32)
        bench.add("one", "echo 1 >data/x", out("data/x", bench.keep("1\n")), data__code__one=one)
        bench.add("two", "echo 1 >data/y", out("data/y", bench.keep("1\n")), data__code__two=two)
        code, first, second = bench.run()
        assert [v.is_compared for v in (code, first, second)] == [False, True, False]
        assert first.fault is None
        assert second.fault == "data/code/two has changed since it ran: run `dvc repro` first"


def test_what_is_said():
    good, bad = Verdict("split", 1.25, None), Verdict("train", 2.0, "models/a.keras: byte 3")
    skipped = Verdict("report", 0.0, "it has not run yet: run `dvc repro`", is_compared=False)
    assert [describe_verdict(verdict) for verdict in (good, bad, skipped)] == [
        "split: agrees (1.2 s)",
        "train: models/a.keras: byte 3 (2.0 s)",
        "report: not compared: it has not run yet: run `dvc repro`",
    ]
    assert summarize([good]) == "1 of 1 stage agree"
    assert summarize([good, bad, skipped]) == "1 of 3 stages agree; 1 not compared"
