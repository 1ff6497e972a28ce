"""Files and folders by the digests that dvc.lock has: MD5, of a folder that of its listing."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.files import remove

FOLDER_SUFFIX = ".dir"  # of a folder's digest
_IGNORED = (".pyc", ".partial")  # as in .dvcignore


@dataclass(frozen=True)
class Cache:
    """DVC's cache, from which is read only."""

    folder: Path

    def find(self, digest: str) -> Path | None:
        """The file with this digest; of a folder, its listing; None if it is not here."""
        file = self.folder / "files" / "md5" / digest[:2] / digest[2:]
        return file if file.is_file() else None

    def list_files(self, digest: str) -> dict[str, str] | None:
        """Name, relative to the folder with this digest, to digest; of a file, {"": digest}. None if the listing is missing."""
        if not digest.endswith(FOLDER_SUFFIX):
            return {"": digest}
        listing = self.find(digest)
        if listing is None:
            return None
        return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}

    def place(self, digest: str, target: Path) -> bool:
        """Makes a file or folder with this digest, of links where the file system has them: no stage writes in place. False if
        anything of it is not here."""
        remove(target)
        files = self.list_files(digest)
        found = {name: self.find(md5) for name, md5 in files.items()} if files is not None else {}
        if files is None or None in found.values():
            return False
        (target if digest.endswith(FOLDER_SUFFIX) else target.parent).mkdir(parents=True, exist_ok=True)
        for name, source in found.items():
            assert source is not None
            file = target / name if name else target
            file.parent.mkdir(parents=True, exist_ok=True)
            link(source, file)
        return True


def link(source: Path, target: Path) -> None:
    """A hard link; a copy where there is none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def compute_digests(path: Path) -> dict[str, str]:
    """Name, relative to a folder, to digest; of a file, {"": digest}; empty if there is neither."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file() and not file.name.endswith(_IGNORED))
        return {file.relative_to(path).as_posix(): _compute_md5(file) for file in files}
    return {"": _compute_md5(path)} if path.is_file() else {}


def join_digests(files: dict[str, str], *, is_folder: bool) -> str:
    """The digest of a file or folder from those of its files, as DVC has it."""
    if not is_folder:
        return files.get("", "")
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + FOLDER_SUFFIX


def _compute_md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
