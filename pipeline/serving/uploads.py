"""The pictures in the body of a request, or the URLs where they are."""

import json
from collections.abc import AsyncGenerator

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pipeline.serving.admission import RefusedError
from pipeline.serving.decoding import Named

_SINGLE = "picture"  # name of one that comes alone


def has_urls(headers: Headers) -> bool:
    """Whether the body is JSON, which is no picture."""
    return _find_type(headers) == "application/json"


def _find_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_urls(body: bytes) -> list[str]:
    """The URLs that a request names, {"urls": [...]}. Raises RefusedError for all else."""
    try:
        content = json.loads(body)
        urls = content["urls"]
        if len(content) != 1 or not isinstance(urls, list) or not urls:
            raise ValueError("no list of URLs alone")
        for url in urls:
            url.encode()  # half a character can't be written back
        return urls
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(400, 'the body can\'t be read: expected JSON, {"urls": ["https://…", …]}') from error


def _make_name(said: str | None) -> str:
    """Half a character, as a charset of the header can make it, could not be written back."""
    return (said or _SINGLE).encode("utf-8", "replace").decode()


async def parse_upload(headers: Headers, body: bytes, max_files: int) -> list[Named]:
    """Each file of a form, or the body itself. Raises RefusedError where there is none, or no form."""
    if _find_type(headers) != "multipart/form-data":
        if not body:
            raise RefusedError(422, "no picture: expected files as multipart/form-data, or one picture as the body")
        return [(_SINGLE, body)]

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = MultiPartParser(headers, stream(), max_files=max_files, max_fields=max_files)
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, AssertionError) as error:
        said = getattr(error, "message", None) or type(error).__name__
        raise RefusedError(400, f"the form can't be read ({said}): expected multipart/form-data") from error
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not files:
            raise RefusedError(422, "the form has no file: expected pictures, each with a file name")
        return [(_make_name(file.filename), await file.read()) for file in files]
    finally:
        await form.close()
