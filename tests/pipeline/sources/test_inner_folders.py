import pytest

from pipeline.sources.inner_folders import describe_inner_folders, find_inner_folders


@pytest.mark.parametrize(
    ("names", "labels", "folders"),
    [
        (["walk/v0/1.jpg", "run/v0/1.jpg", "run/v1/1.jpg"], ["walk", "run", "run"], ["v0", "v0", "v1"]),
        (["p1/0/a.png", "p1/1/b.png", "p2/0/c.png"], ["0", "1", "0"], ["p1", "p1", "p2"]),
        (["set/train/cat/d1/1.jpg", "set/test/cat/d1/1.jpg"], ["cat", "cat"], ["d1", "d1"]),
        (["Cat/v0/1.jpg", "dog/v 0/1.jpg"], ["cat", "dog"], ["v0", "v 0"]),
        (["b/SOB/p1/40X/1.png", "m/SOB/p2/40X/1.png"], ["b", "m"], ["SOB/p1", "SOB/p2"]),
        (
            ["b/p1/40X/1.png", "b/p1/99X/1.png", "m/p2/40X/1.png", "m/p2/99X/1.png"],
            ["b", "b", "m", "m"],
            ["p1", "p1", "p2", "p2"],
        ),
        (
            ["a/p1/d1/1.png", "a/p1/d2/1.png", "a/p1/d3/1.png", "a/p2/d4/1.png"],
            ["a"] * 4,
            ["p1/d1", "p1/d2", "p1/d3", "p2/d4"],
        ),
        (
            [f"a/site{s}/p{p}/1.png" for s in (1, 2) for p in (1, 2, 3)],
            ["a"] * 6,
            [f"site{s}/p{p}" for s in (1, 2) for p in (1, 2, 3)],
        ),
        (["0/1/a.png", "0/7/b.png", "1/1/c.png", "2/3/d.png"], list("0012"), ["1", "7", "1", "3"]),
        (["7/0/a.png", "7/1/b.png", "1/0/c.png", "12/1/d.png"], list("0101"), ["7", "7", "1", "12"]),
        (["0/1/a.png", "0/2/b.png", "1/1/c.png", "1/0/d.png"], list("0011"), ["1", "2", "1", "0"]),
        (["0/0/a.png", "0/4/b.png", "1/1/c.png", "2/2/d.png"], list("0412"), ["0", "0", "1", "2"]),
        ([f"{patient}/a.png" for patient in range(6)], list("310420"), list("012345")),
        (
            ["cat/img_01/1.jpg", "cat/img_02/1.jpg", "dog/img_01/1.jpg"],
            ["cat", "cat", "dog"],
            ["img_01", "img_02", "img_01"],
        ),
        (["cat/1.jpg", "dog/1.jpg"], ["cat", "dog"], ["", ""]),
        (["COVID/images/1.png", "Normal/images/1.png"], ["COVID", "Normal"], ["", ""]),
        (["data/all/cat/1.jpg", "data/all/dog/1.jpg"], ["cat", "dog"], ["", ""]),
        (["1.jpg", "v0/2.jpg"], ["", ""], ["", "v0"]),
        ([], [], []),
    ],
)
def test_folders_beside_the_class(names, labels, folders):
    assert find_inner_folders(names, labels) == folders


def test_classes_that_were_merged_or_relabelled_are_still_classes():
    names = [f"{label}/p{patient}/1.png" for label in ("cat", "lynx", "dog") for patient in (1, 2)]
    labels = ["pet", "pet", "pet", "pet", "dog", "pet"]  # the last one was relabelled
    assert find_inner_folders(names, labels, ["cat", "lynx", "dog"]) == ["p1", "p2"] * 3


def fill(videos: int, pictures: int, loose: int = 0) -> list[str]:
    names = [f"{label}/v{v}/{i}.jpg" for label in ("a", "b") for v in range(videos) for i in range(pictures)]
    return [*names, *(f"a/{i}.jpg" for i in range(loose))]


def label(names: list[str]) -> tuple[list[str], list[str]]:
    return names, [name.partition("/")[0] for name in names]


class TestWord:
    def test_there_is_none_of_numbered_parts_of_a_download(self):
        names = [f"images_{part:03d}/{i}.png" for part in range(12) for i in range(9)]
        assert describe_inner_folders(names, ["0", "1"] * 54) == ""

    def test_it_counts_and_says_what_helps(self):
        line = describe_inner_folders(*label(fill(3, 5, loose=4)))
        assert line.startswith("30 of 34 pictures lie in 3 folders beside their class, such as 'v0'")
        assert line.endswith("split.group=folder divides none")

    @pytest.mark.parametrize(
        "names",
        [fill(2, 9), fill(9, 1)[:9], fill(3, 5, loose=30), fill(0, 0, loose=9), []],
        ids=["two folders", "one picture each", "most are in none", "none", "nothing"],
    )
    def test_there_is_none_where_folders_say_little(self, names):
        assert describe_inner_folders(*label(names)) == ""
