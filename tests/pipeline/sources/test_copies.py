"""Copies inside a source. What is made of them: test_layout.py and test_class_folders.py."""

from collections import Counter

import pytest

from pipeline.sources.copies import Contents, find_copied_classes, find_nested_copy
from pipeline.sources.tree import build_tree


def find(paths: list[str], size: int = 900) -> tuple[str, list[str], bool] | None:
    found = find_nested_copy(build_tree(sorted(paths)), Contents(dict.fromkeys(paths, size), lambda _: size))
    return found and (found[0].path, [folder.path for folder in found[1]], found[2])


TREE = [f"{label}/{number}.jpg" for label in ("cat", "dog") for number in range(3)]


class TestNestedCopy:
    def test_the_whole_set_once_more(self):
        assert find([*TREE, *(f"data/{path}" for path in TREE)]) == ("data", ["cat", "dog"], True)

    def test_one_that_has_other_pictures_is_none(self):
        others = [f"data/{label}/x{number}.jpg" for label in ("cat", "dog") for number in range(3)]
        assert find([*TREE, *others]) == ("data", ["cat", "dog"], False)

    def test_one_folder_of_classes_like_another(self):
        found = find([f"{top}/{path}" for top in ("old", "new", "third") for path in TREE[: 6 - 3 * (top == "third")]])
        assert found == ("new", ["old"], True)

    def test_parts_that_look_alike_are_none(self):
        assert (
            find([f"fold{fold}/{label}/{fold}{n}.jpg" for fold in (1, 2) for label in "ab" for n in range(3)]) is None
        )


def make_classes(count: int) -> dict[str, list[str]]:
    return {f"c{label}": [f"c{label}/{label}_{number}.bmp" for number in range(40)] for label in range(count)}


class TestCopiedClasses:
    @pytest.mark.parametrize("name", ["{0}", "copy_{0}"])
    def test_a_class_of_copies_names_one_of_the_others(self, name):
        pictures = make_classes(3)
        digests = {path: path.rpartition("/")[2] for paths in pictures.values() for path in paths}
        pictures["all"] = [f"all/{name.format(digests[path])}" for path in pictures["c1"]]
        digests |= {twin: digests[path] for twin, path in zip(pictures["all"], pictures["c1"], strict=True)}
        sizes = {path: 2000 + int(digest.partition("_")[2][:-4]) for path, digest in digests.items()}
        assert find_copied_classes(pictures, Contents(sizes, digests.__getitem__)) == {"all": "c1", "c1": "all"}

    def test_pictures_of_one_size_are_read_once_and_only_some(self):
        pictures, reads = make_classes(50), Counter[str]()
        sizes = {path: 5000 for paths in pictures.values() for path in paths}

        def read(path: str) -> str:
            reads[path] += 1
            return path

        assert find_copied_classes(pictures, Contents(sizes, read)) == {}
        assert max(reads.values()) == 1
        assert len(reads) < 300
