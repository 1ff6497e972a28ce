"""Archives that are named by a DOI, or as a data set of Kaggle."""

import re
from pathlib import Path

from pipeline.runtime.errors import PipelineError

_EXTENSIONS = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")


def find_doi_address(path: str, timeout: float) -> str:
    """The address of doi:PREFIX/RECORD or doi:PREFIX/RECORD/FILE at Zenodo, figshare or Dataverse, whose APIs pooch knows."""
    from pooch.downloaders import doi_to_repository

    prefix, _, rest = path.removeprefix("doi:").partition("/")
    record, _, file_name = rest.partition("/")
    try:
        repository = doi_to_repository(f"{prefix}/{record}", timeout=timeout)
        file_name = file_name or _choose_file(_list_doi_files(repository), path)
        return repository.download_url(file_name)
    except PipelineError:
        raise
    except Exception as error:  # pooch passes on what requests and its parsers raise
        raise PipelineError(
            f"{path} can't be resolved ({_in_one_line(error)}): check the DOI and the network"
        ) from error


def _list_doi_files(repository: object) -> list[str]:
    import pooch

    registry = pooch.create(path=Path(), base_url="", registry=None)
    repository.populate_registry(registry)  # type: ignore[attr-defined]
    return sorted(registry.registry)


def _choose_file(names: list[str], path: str) -> str:
    archives = [name for name in names if name.lower().endswith(_EXTENSIONS)]
    if len(archives) != 1:
        raise PipelineError(
            f"{path} has {len(archives)} archives: expected one; name it as {path}/FILE, one of {', '.join(names[:20])}"
        )
    return archives[0]


def fetch_kaggle(name: str) -> Path:
    """The folder of a Kaggle data set, which kagglehub downloads, verifies, unpacks and caches."""
    try:
        import kagglehub
    except ImportError as error:
        raise PipelineError(
            f"data.path kaggle:{name} needs kagglehub: run `.venv/bin/pip install -e '.[kaggle]'`"
        ) from error
    try:
        return Path(kagglehub.dataset_download(name))
    except Exception as error:  # kagglehub raises a dozen types, none documented
        raise PipelineError(
            f"kaggle:{name} can't be downloaded ({_in_one_line(error)}): check the name, the login and the network"
        ) from error


def _in_one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")
