import hashlib
import re
import struct
import zlib

import pandas as pd
import pytest

from pipeline.data.manifest import load_manifest, load_quarantine
from pipeline.data.raw import RawImage, load_index, read_bytes, save_raw
from pipeline.runtime.errors import PipelineError
from stages.prune import prune, split_good_from_bad

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def raw(project, make_image_bytes):
    """data/raw with so many pictures of each class, and files with given bytes."""
    project.set(data__source="folder", preprocess__num_workers=1)

    def write(files: dict[str, bytes] | None = None, **counts: int) -> None:
        images = [
            RawImage(f"{label}/{i:03d}.png", label, "", make_image_bytes(size=(12, 10), seed=seed * 1000 + i))
            for seed, (label, count) in enumerate(counts.items())
            for i in range(count)
        ]
        odd = [RawImage(name, name.partition("/")[0], "", data) for name, data in (files or {}).items()]
        save_raw(images + odd, {"source": "folder"})

    return write


def classes() -> dict[str, int]:
    return load_manifest()["label"].value_counts().to_dict()


def refusal(project) -> str:
    with pytest.raises(PipelineError) as caught:
        prune()
    assert "\n" not in str(caught.value)
    assert not (project.folder / "data/manifest.csv").exists()
    assert not (project.folder / "data/quarantine.csv").exists()
    return str(caught.value)


def huge_png() -> bytes:
    """20,000 x 20,000 pixels, by its header; nobody should get as far as the pixels, of which there are none."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, pixels)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class TestManifest:
    def test_has_a_row_an_image_sorted_by_name(self, raw):
        raw(dog=3, cat=5)
        prune()
        manifest = load_manifest()
        assert len(manifest) == 8
        assert manifest["name"].is_monotonic_increasing
        assert classes() == {"cat": 5, "dog": 3}
        assert load_quarantine().empty

    def test_says_what_each_image_is_and_where_its_bytes_lie(self, raw, make_image_bytes):
        data = make_image_bytes((1, 2, 3, 4), size=(30, 20), mode="RGBA")
        raw({"cat/x.png": data}, dog=2)
        prune()
        row = load_manifest().iloc[0]
        assert row["image_id"] == hashlib.sha256(data).hexdigest()
        assert row[["name", "label", "source_split"]].tolist() == ["cat/x.png", "cat", ""]
        assert row[["width", "height", "mode"]].tolist() == [30, 20, "RGBA"]
        assert read_bytes(row["shard"], row["offset"], row["size"]) == data

    def test_keeps_the_splits_of_the_source(self, project, make_image_bytes):
        project.set(data__source="folder")
        images = [
            RawImage(f"{split}/{label}/1.png", label, split, make_image_bytes(seed=seed))
            for seed, (split, label) in enumerate(
                [("train", "cat"), ("test", "cat"), ("train", "dog"), ("test", "dog")]
            )
        ]
        save_raw(images, {"source": "folder"})
        prune()
        assert load_manifest()["source_split"].tolist() == ["test", "test", "train", "train"]

    @pytest.mark.parametrize("label", ["polar bear", "v1.0", "猫", "bear, brown", "NA", "007", 'so "called"'])
    def test_takes_class_names_of_any_kind(self, raw, label):
        raw(**{label: 2}, dog=2)
        prune()
        assert classes() == {label: 2, "dog": 2}

    def test_is_the_same_for_any_number_of_workers(self, raw):
        raw({"cat/bad.png": b"bad"}, cat=300, dog=300)
        one, two = (split_good_from_bad(load_index(), min_side=8, max_megapixels=1, num_workers=n) for n in (1, 2))
        for ours, theirs in zip(one, two, strict=True):
            pd.testing.assert_frame_equal(ours, theirs)


class TestQuarantine:
    def test_holds_every_file_that_can_not_be_used_with_its_reason(self, raw, make_image_bytes):
        jpeg = make_image_bytes(kind="JPEG", seed=1, size=(200, 200))
        raw(
            {
                "cat/empty.png": b"",
                "cat/half.jpg": jpeg[: len(jpeg) // 2],
                "cat/huge.png": huge_png(),
                "cat/text.jpg": b"Dear cat,",
                "dog/tiny.png": make_image_bytes(size=(1, 1)),
            },
            cat=2,
            dog=2,
        )
        prune()
        quarantine = load_quarantine()
        assert quarantine["name"].is_monotonic_increasing
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
        assert classes() == {"cat": 2, "dog": 2}

    def test_holds_what_the_source_could_not_give(self, project, make_image_bytes):
        project.set(data__source="folder")
        good = [RawImage(f"{n}/1.png", n, "", make_image_bytes(seed=len(n))) for n in ("cat", "horse")]
        save_raw([*good, RawImage("stray.png", "", "", None, "lies in no class folder")], {"source": "folder"})
        prune()
        assert load_quarantine().values.tolist() == [["stray.png", "", "lies in no class folder"]]

    def test_a_picture_with_a_damaged_exif_block_is_none_of_them(self, raw, make_image_bytes):
        raw({"cat/exif.png": make_image_bytes(exif=b"garbage")}, cat=1, dog=1)
        prune()
        assert load_quarantine().empty

    def test_an_animated_gif_is_none_of_them(self, raw, make_image_bytes):
        raw({"cat/1.gif": make_image_bytes(kind="GIF", seed=1)}, cat=1, dog=1)
        prune()
        assert classes() == {"cat": 2, "dog": 1}

    def test_the_bounds_are_parameters(self, raw, project, make_image_bytes):
        raw(
            {"cat/tiny.png": make_image_bytes(size=(3, 3)), "cat/large.png": make_image_bytes(size=(2000, 1000))},
            cat=1,
            dog=1,
        )
        project.set(prune__min_side=2, prune__max_megapixels=1.0)
        prune()
        assert load_quarantine()["name"].tolist() == ["cat/large.png"]

    def test_a_dropped_class_is_not_looked_at(self, raw, project):
        raw({"eel/bad.png": b"bad"}, cat=1, dog=1)
        project.set(prune__drop_classes=["eel"])
        prune()
        assert load_quarantine().empty


class TestClasses:
    def test_are_dropped_merged_and_capped(self, raw, project):
        raw(cat=9, dog=9, eel=9, fox=9)
        project.set(
            prune__drop_classes=["eel"], prune__merge_classes={"pet": ["cat", "dog"]}, prune__max_images_per_class=7
        )
        prune()
        assert classes() == {"pet": 7, "fox": 7}

    def test_are_left_out_where_they_are_too_small_which_is_said(self, raw, project, capsys):
        raw(cat=9, dog=9, eel=3)
        project.set(prune__min_images_per_class=4)
        prune()
        assert classes() == {"cat": 9, "dog": 9}
        assert "class 'eel' is left out: 3 images, prune.min_images_per_class is 4" in capsys.readouterr().out

    def test_count_only_the_images_that_can_be_used(self, raw, project):
        raw({f"eel/{i}.png": b"bad" for i in range(9)}, cat=5, dog=5, eel=3)
        project.set(prune__min_images_per_class=4)
        prune()
        assert classes() == {"cat": 5, "dog": 5}

    def test_null_takes_what_the_source_brings_along(self, raw, project):
        raw(cat=3, dog=3, eel=3)
        project.set(sources__folder__drop_classes=["eel"], sources__folder__max_images_per_class=2)
        prune()
        assert classes() == {"cat": 2, "dog": 2}

    def test_an_empty_list_overrides_the_source(self, raw, project):
        raw(cat=3, dog=3, eel=3)
        project.set(sources__folder__drop_classes=["eel"], prune__drop_classes=[])
        prune()
        assert set(classes()) == {"cat", "dog", "eel"}

    def test_by_default_street_is_dropped_from_scenes(self, raw, project):
        raw(sea=2, forest=2, street=2)
        project.set(data__source="scenes")
        prune()
        assert set(classes()) == {"sea", "forest"}

    def test_that_do_not_exist_are_refused_with_those_that_do(self, raw, project):
        raw(cat=2, dog=2)
        project.set(prune__drop_classes=["lion"])
        assert refusal(project) == "prune.drop_classes: there is no class 'lion': expected one of 'cat', 'dog'"

    def test_without_a_usable_image_are_left_out_which_is_said(self, raw, capsys):
        raw({"eel/1.png": b"bad", "eel/2.png": b""}, cat=2, dog=2)
        prune()
        assert set(classes()) == {"cat", "dog"}
        assert (
            "class 'eel' is left out: none of its files can be used, the first because: not an image"
            in capsys.readouterr().out
        )

    @pytest.mark.parametrize(
        ("counts", "files", "change"),
        [
            ({"cat": 5}, {}, {}),
            ({"cat": 5}, {"dog/1.png": b"bad"}, {}),
            ({"cat": 5, "dog": 5}, {}, {"prune__drop_classes": ["dog"]}),
            ({"cat": 5, "dog": 5}, {}, {"prune__merge_classes": {"cat": ["cat", "dog"]}}),
            ({"cat": 5, "dog": 3}, {}, {"prune__min_images_per_class": 4}),
        ],
    )
    def test_that_are_only_one_are_refused(self, raw, project, counts, files, change):
        raw(files, **counts)
        project.set(**change)
        assert "two classes or more: received 'cat' after pruning" in refusal(project)

    @pytest.mark.parametrize("change", [{"prune__drop_classes": ["cat", "dog"]}, {"prune__min_images_per_class": 99}])
    def test_that_are_none_are_refused(self, raw, project, change):
        raw(cat=2, dog=2)
        project.set(**change)
        assert "received none after pruning" in refusal(project)

    def test_that_are_all_bad_are_refused(self, raw, project):
        raw({"cat/1.png": b"bad", "dog/1.png": b"bad"})
        assert "received none after pruning, with 2 file(s) that can't be used" in refusal(project)


def test_twice_the_same_gives_the_same_bytes(raw, project):
    raw({"cat/bad.png": b"bad"}, cat=20, dog=20)
    written = []
    for _ in range(2):
        prune()
        written.append([(project.folder / f"data/{name}.csv").read_bytes() for name in ("manifest", "quarantine")])
    assert written[0] == written[1]
