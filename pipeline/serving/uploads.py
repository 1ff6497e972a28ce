"""The pictures in the body of a request."""

from collections.abc import AsyncGenerator

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pipeline.serving.admission import RefusedError
from pipeline.serving.decoding import Named

_SINGLE = "picture"  # name of one that comes alone


async def parse_upload(headers: Headers, body: bytes, max_files: int) -> list[Named]:
    """Each file of a form, or the body itself. Raises RefusedError where there is none, or no form."""
    if not headers.get("content-type", "").startswith("multipart/form-data"):
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
        return [(file.filename or _SINGLE, await file.read()) for file in files]
    finally:
        await form.close()
