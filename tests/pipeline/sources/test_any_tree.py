"""Any tree of class folders with any litter gives the classes that a person would name."""

import string
import unicodedata
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import readable_name
from pipeline.sources.class_folders import read_tree
from pipeline.sources.names import find_split_word, fold_name, is_litter, means_images, means_masks, means_thumbnails

# What a person calls classes and pictures: any text without a slash that is not one of the words that mean something here.
TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\"), min_size=1, max_size=12)


def is_class_name(name: str) -> bool:
    """Whether nobody could take it for something else."""
    says_more = find_split_word(name) or means_images(name) or means_masks(name) or means_thumbnails(name)
    return bool(name.strip(" .")) and name not in (".", "..") and not is_litter(name) and not says_more


CLASS = TEXT.filter(is_class_name)
CLASSES = st.lists(CLASS, min_size=2, max_size=6, unique_by=fold_name)
EXTENSION = st.sampled_from([".jpg", ".JPG", ".png", ".jpeg", ".ppm", ".jfif", ".tif", ".webp"])
FILE = st.builds(
    lambda stem, end: stem + end,
    st.text(string.ascii_letters + string.digits + " _-", min_size=1, max_size=9),
    EXTENSION,
)
WRAPPERS = st.lists(CLASS, max_size=3).map(lambda names: "".join(f"{name}/" for name in names))
LITTER = st.sampled_from(
    [
        *(
            ".DS_Store",
            "Thumbs.db",
            "desktop.ini",
            ".git/HEAD",
            "__MACOSX/._1.jpg",
            "@eaDir/1.jpg",
            ".thumbnails/2.png",
        ),
        *("$RECYCLE.BIN/3.jpg", ".ipynb_checkpoints/4.jpg", "#recycle/5.jpg", "Icon\r", "._6.jpg"),
    ]
)
OTHER = st.sampled_from(["README.md", "LICENSE", "labels.txt", "docs/index.html", "annotations.json"])
SPLITS = st.sampled_from(
    [
        (),
        ("train", "test"),
        ("Training", "Validation", "Testing"),
        ("train_data", "test_data"),
        ("imgs-train", "imgs-val"),
    ]
)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[str], Counter[str], int]:
    """Paths, pictures by class, and how many paths are litter."""
    wrapper, classes, splits = draw(WRAPPERS), draw(CLASSES), draw(SPLITS)
    paths, counts = set(), Counter[str]()
    for top in splits or ("",):
        for label in classes:
            folder = f"{wrapper}{top}/{label}" if top else f"{wrapper}{label}"
            names = draw(st.lists(FILE, min_size=1, max_size=5, unique=True))
            paths |= {f"{folder}/{name}" for name in names}
            counts[unicodedata.normalize("NFC", readable_name(label))] += len(names)
    folders = sorted({path.rpartition("/")[0] for path in paths} | {wrapper.rstrip("/")})
    litter = {f"{draw(st.sampled_from(folders))}/{draw(LITTER)}".lstrip("/") for _ in range(draw(st.integers(0, 6)))}
    others = {f"{wrapper}{draw(OTHER)}" for _ in range(draw(st.integers(0, 3)))}
    return draw(st.permutations(sorted(paths | litter | others))), counts, len(litter)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(trees())
def test_the_classes_are_those_that_a_person_would_name(tree):
    paths, counts, num_litter = tree
    reading = read_tree(paths, "here")
    assert reading.classes == dict(sorted(counts.items()))
    assert sum(count for _, count, _ in reading.left_out) == num_litter
    assert len(reading.files) + num_litter == len(paths)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(TEXT.flatmap(lambda a: FILE.map(lambda b: f"{a}/{b}")) | FILE | TEXT, max_size=12, unique=True))
def test_any_paths_are_read_or_refused_in_one_line(paths):
    paths = [path for path in paths if path.strip("./") and ".." not in path.split("/")]
    reading, refusal = None, ""
    try:
        reading = read_tree(paths, "here")
    except PipelineError as error:
        refusal = str(error)
    assert (reading is None) == refusal.startswith("here ")
    assert "\n" not in refusal
    if reading is not None:
        assert {file.name for file in reading} <= {readable_name(path) for path in paths}
        assert len(reading.files) + sum(count for _, count, _ in reading.left_out) == len(paths)
