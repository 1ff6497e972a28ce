import hashlib
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipeline.data.guarded import map_guarded
from pipeline.data.inspection import Limits, _divide, _name, inspect_files, open_inspected
from pipeline.data.kept_parts import Parts
from pipeline.data.manifest import MANIFEST_COLUMNS, QUARANTINE_COLUMNS
from pipeline.data.raw import load_index, read_bytes, save_raw
from pipeline.runtime.paths import CODE
from pipeline.sources.raw_image import RawImage

pytestmark = pytest.mark.usefixtures("one_core")

LIMITS = Limits(8, 1, 30)
Inspect = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]


@pytest.fixture
def inspect(tmp_path, monkeypatch) -> Inspect:
    """Writes files to data/raw and inspects them: manifest, quarantine."""
    monkeypatch.chdir(tmp_path)

    def run(
        files: dict[str, bytes], *, min_side: int = 8, max_megapixels: float = 128, num_workers: int = 1
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        save_raw([RawImage(name, name.partition("/")[0], "", data) for name, data in files.items()], {"source": "x"})
        return inspect_files(load_index(), Limits(min_side, max_megapixels, 30), num_workers=num_workers)

    return run


def huge_png() -> bytes:
    """20,000 × 20,000 pixels according to its header, and no pixel data, which nobody should try to read."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, pixels)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class TestManifest:
    def test_has_one_row_per_usable_image_sorted_by_name(self, inspect, make_image_bytes):
        manifest, quarantine = inspect({f"{name}.png": make_image_bytes(seed=i) for i, name in enumerate("cab")})
        assert list(manifest.columns) == MANIFEST_COLUMNS
        assert manifest["name"].tolist() == ["a.png", "b.png", "c.png"]
        assert list(quarantine.columns) == QUARANTINE_COLUMNS
        assert quarantine.empty

    def test_describes_each_image_and_says_where_its_bytes_are(self, inspect, make_image_bytes):
        data = make_image_bytes((1, 2, 3, 4), size=(30, 20), mode="RGBA")
        manifest, _ = inspect({"cat/x.png": data})
        row = manifest.iloc[0]
        assert row["image_id"] == hashlib.sha256(data).hexdigest()
        assert row[["name", "label", "source_split"]].tolist() == ["cat/x.png", "cat", ""]
        assert row[["width", "height", "mode"]].tolist() == [30, 20, "RGBA"]
        assert read_bytes(row["shard"], row["offset"], row["size"]) == data

    def test_does_not_depend_on_the_number_of_workers(self, inspect, make_image_bytes):
        files = {f"cat/{i}.png": make_image_bytes(size=(12, 10), seed=i) for i in range(600)} | {"cat/bad.png": b"bad"}
        for ours, theirs in zip(inspect(files), inspect(files, num_workers=2), strict=True):
            pd.testing.assert_frame_equal(ours, theirs)


class TestQuarantine:
    def test_has_every_unusable_file_with_its_reason_sorted_by_name(self, inspect, make_image_bytes):
        jpeg = make_image_bytes(kind="JPEG", seed=1, size=(200, 200))
        files = {
            "dog/tiny.png": make_image_bytes(size=(1, 1)),
            "cat/empty.png": b"",
            "cat/half.jpg": jpeg[: len(jpeg) // 2],
            "cat/huge.png": huge_png(),
            "cat/text.jpg": b"Dear cat,",
            "cat/good.png": make_image_bytes(),
        }
        manifest, quarantine = inspect(files)
        assert manifest["name"].tolist() == ["cat/good.png"]
        assert quarantine["name"].tolist() == sorted(set(files) - {"cat/good.png"})
        assert quarantine["label"].tolist() == ["cat"] * 4 + ["dog"]
        expected = [
            "^empty: 0 bytes$",
            "can't be decoded: .*truncated",
            "^too large: 20000x20000",
            "^not an image",
            "^too small: 1x1",
        ]
        for reason, pattern in zip(quarantine["reason"], expected, strict=True):
            assert re.search(pattern, reason)

    def test_has_files_without_data_with_the_reason_of_the_source(self, tmp_path, monkeypatch, make_image_bytes):
        monkeypatch.chdir(tmp_path)
        good = RawImage("cat/1.png", "cat", "", make_image_bytes())
        save_raw([good, RawImage("stray.png", "", "", None, "lies in no class folder")], {"source": "folder"})
        _, quarantine = inspect_files(load_index(), Limits(8, 1, 30), num_workers=1)
        assert quarantine.to_numpy().tolist() == [["stray.png", "", "lies in no class folder"]]

    @pytest.mark.parametrize(("kind", "options"), [("PNG", {"exif": b"garbage"}), ("GIF", {})])
    def test_does_not_have_damaged_exif_blocks_or_gifs(self, inspect, make_image_bytes, kind, options):
        _, quarantine = inspect({"cat/1": make_image_bytes(kind=kind, seed=1, **options)})
        assert quarantine.empty

    def test_limits_are_arguments(self, inspect, make_image_bytes):
        files = {"tiny.png": make_image_bytes(size=(3, 3)), "large.png": make_image_bytes(size=(2000, 1000))}
        assert inspect(files, min_side=2, max_megapixels=1)[1]["name"].tolist() == ["large.png"]
        assert inspect(files, min_side=4, max_megapixels=2)[1]["name"].tolist() == ["tiny.png"]


class TestKilled:
    @pytest.fixture
    def index(self, tmp_path, monkeypatch, make_image_bytes) -> pd.DataFrame:
        """Of twelve files, every fifth of which is no picture, in data/raw; parts of four files are kept together."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("pipeline.data.inspection._PART", 4)
        monkeypatch.setenv("DVC_STAGE", "prune")
        CODE.mkdir(parents=True)
        (CODE / "prune.json").write_text("{}")
        pictures = [make_image_bytes(seed=i) if i % 5 else b"Dear cat," + bytes([i]) for i in range(12)]
        images = [RawImage(f"cat/猫{i}.png", "cat", "", data, group=f"g{i // 3}") for i, data in enumerate(pictures)]
        save_raw(images, {"source": "folder"})
        return load_index()

    def inspect(self, index: pd.DataFrame, limits: Limits = LIMITS) -> tuple[pd.DataFrame, pd.DataFrame]:
        return inspect_files(index, limits, num_workers=1, parts=open_inspected(index, limits))

    def kill(self, index: pd.DataFrame, monkeypatch) -> None:
        """After two parts."""
        save = Parts.save

        def die(parts: Parts, name: str, *rest: object) -> None:
            if name.endswith("2"):
                raise KeyboardInterrupt
            save(parts, name, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(Parts, "save", die)
            with pytest.raises(KeyboardInterrupt):
                self.inspect(index)

    def list_sent(self, monkeypatch) -> list[str]:
        """Names of the files that workers are given from now on."""
        sent: list[str] = []

        def guard(function: object, chunks: Iterator[list], **options: object) -> Iterator[list]:
            yield from map_guarded(function, (sent.extend(map(_name, chunk)) or chunk for chunk in chunks), **options)

        monkeypatch.setattr("pipeline.data.inspection.map_guarded", guard)
        return sent

    def test_finished_files_are_not_decoded_again_and_the_tables_are_the_same(self, index, monkeypatch):
        expected = inspect_files(index, LIMITS, num_workers=1)
        self.kill(index, monkeypatch)
        sent = self.list_sent(monkeypatch)
        again = self.inspect(index)
        assert sent == index["name"].tolist()[8:]
        for ours, theirs in zip(again, expected, strict=True):
            pd.testing.assert_frame_equal(ours, theirs)

    def test_of_other_pictures_limits_or_rows_nothing_is_taken_over(self, index, monkeypatch):
        self.kill(index, monkeypatch)
        sent = self.list_sent(monkeypatch)
        self.inspect(index, replace(LIMITS, min_side=9))
        assert len(sent) == 12
        self.kill(index, monkeypatch)
        sent.clear()
        tar = Path("data/raw/images-00000.tar")
        os.utime(tar, ns=(1, 1))  # as one that was written anew
        self.inspect(index)
        assert len(sent) == 12
        sent.clear()
        self.inspect(index.assign(label="dog"))
        assert len(sent) == 12

    def test_parts_are_cut_by_the_bytes_of_their_files_too(self):
        assert list(map(list, _divide([1, 64 << 20, 1, 1]))) == [[0], [1], [2, 3]]
        assert list(_divide([])) == []
