import os
import re
from pathlib import Path

import pytest

from pipeline.data.raw import load_index, read_bytes, read_many, save_raw
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import RAW
from pipeline.sources.raw_image import RawImage

FILES = {"cat/1.png": b"first", "cat/a, b/ü 2.png": b"second" * 100, "dog/empty.png": b""}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside the project, which data/raw refers to."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    for name, content in FILES.items():
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / name).write_bytes(content)
    images = [RawImage(f"name of {path}", "cat", "", data, path=path) for path, data in FILES.items()]
    images.append(RawImage("bad", "", "", None, "lies in no class folder"))
    assert save_raw(images, {"source": "folder"}, root="../pictures") == len(FILES)
    return tmp_path / "pictures"


def locate() -> list[tuple[str, int, int]]:
    index = load_index().query("reason == ''")
    return [(row.shard, row.offset, row.size) for row in index.itertuples()]


def read(number: int) -> bytes:
    return read_bytes(*locate()[number])


@pytest.mark.usefixtures("pictures")
def test_there_is_no_copy_and_the_bytes_are_those_of_the_files() -> None:
    assert sorted(file.name for file in RAW.iterdir()) == ["index.csv", "root.txt", "source.json"]
    assert list(read_many(locate())) == [*FILES.values()]
    assert load_index()["reason"].tolist()[-1] == "lies in no class folder"


@pytest.mark.usefixtures("pictures")
def test_the_listing_is_the_same_wherever_the_folder_is() -> None:
    assert "pictures" not in (RAW / "index.csv").read_text()
    assert (RAW / "root.txt").read_text() == "../pictures"


@pytest.mark.usefixtures("pictures")
def test_in_a_temporary_copy_of_the_project_the_path_means_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = locate()
    copy = Path(".dvc/tmp/exps/abc")
    (copy / "data").mkdir(parents=True)
    (copy / RAW).symlink_to(RAW.resolve())
    monkeypatch.chdir(copy)
    assert read_bytes(*listed[0]) == b"first"


@pytest.mark.parametrize(
    ("content", "said"), [(b"FIRST", "now has other bytes"), (b"", "now has 0 bytes"), (b"first!", "now has 6 bytes")]
)
def test_a_picture_that_has_changed_is_an_error(pictures: Path, content: bytes, said: str) -> None:
    (pictures / "cat/1.png").write_bytes(content)
    expected = re.escape(
        f"'cat/1.png' in data.path '../pictures' is not the file that was listed ({said}): data.keep is "
    )
    with pytest.raises(PipelineError, match=expected):
        read(0)
    assert read(1) == FILES["cat/a, b/ü 2.png"], "the others are as they were"


def test_so_is_one_that_is_gone(pictures: Path) -> None:
    (pictures / "cat/1.png").unlink()
    with pytest.raises(
        PipelineError, match=r"'cat/1\.png' in .* can't be read \(No such file or directory\): .* put it"
    ):
        read(0)


def test_a_pipe_in_its_place_is_not_read(pictures: Path) -> None:
    (pictures / "cat/1.png").unlink()
    os.mkfifo(pictures / "cat/1.png")
    with pytest.raises(PipelineError, match=r"is not the file that was listed \(a named pipe\)"):
        read(0)


def test_without_the_folder_one_line_says_what_to_do(pictures: Path) -> None:
    pictures.rename(pictures.with_name("away"))
    with pytest.raises(
        PipelineError, match=r"^data\.path '\.\./pictures' is not on this machine: data\.keep is ref.*copy$"
    ):
        read(0)


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("path", ["../project/data/raw/root.txt", "/etc/passwd", "cat/../../x"])
def test_no_path_in_a_listing_leads_out_of_the_folder(path: str) -> None:
    with pytest.raises(PipelineError, match=r"^data/raw names .* which is not in data\.path"):
        read_bytes(f"sha256:{'0' * 64}/{path}", 0, 11)
