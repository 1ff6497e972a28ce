"""The server's addresses: pictures in, the answers of predict out; a page, and the Open Inference Protocol for programs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response
from starlette.requests import ClientDisconnect

from pipeline.data.image_files import Picture
from pipeline.evaluation.ranking import Answer, describe_answer
from pipeline.serving.admission import Admission, Bodies, Limits, RefusedError
from pipeline.serving.connections import refuse
from pipeline.serving.decoding import Named
from pipeline.serving.meters import Meters
from pipeline.serving.page import make_docs, make_page, make_policy
from pipeline.serving.protocol import describe_model, describe_server, parse_tensor, write_tensors
from pipeline.serving.service import Service
from pipeline.serving.uploads import has_urls, parse_upload, parse_urls

if TYPE_CHECKING:
    from pipeline.serving.fetching import Fetcher  # whose client only those need who allow it

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_LINES = "application/x-ndjson"
_NO_URLS = (
    "this server fetches nothing: expected pictures, as multipart/form-data or as the body; to allow URLs, list their hosts in "
    "serve.url_hosts of its params.yaml"
)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["urls"],
                    "additionalProperties": False,
                    "properties": {
                        "urls": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "uri"}}
                    },
                }
            },
        },
    }
}


def make_app(service: Service, limits: Limits, meters: Meters, fetcher: "Fetcher | None" = None) -> FastAPI:
    """The ASGI application; it closes the service and the fetcher when it ends. fetcher: None: no URL is fetched."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()
        if fetcher is not None:
            await fetcher.close()

    app = FastAPI(title="Image classification", version="1", docs_url=None, redoc_url=None, lifespan=lifespan)
    admission = Admission(limits, meters)
    app.add_middleware(Watch, meters=meters, seconds=limits.max_seconds)
    _add_answers(app, service, admission, meters, fetcher)
    _add_protocol(app, service, admission)
    _add_pages(app, service, meters, limits)
    return app


class Watch:
    """Counts requests, bounds their time, and turns refusals into answers."""

    def __init__(self, app: Any, *, meters: Meters, seconds: float) -> None:
        self._app, self._meters, self._seconds = app, meters, seconds

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, path = time.perf_counter(), 0, ""

        async def note(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            async with asyncio.timeout(self._seconds):
                await self._app(scope, receive, note)
        except TimeoutError:
            if not status:
                await refuse(408, f"took more than {self._seconds:g} s (serve.max_seconds)")(scope, receive, note)
        except ClientDisconnect:
            status = 499  # as others write it: the client has gone
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            self._meters.requests.labels(path, str(status or 500)).inc()
            self._meters.seconds.labels(path).observe(time.perf_counter() - start)


def _add_answers(
    app: FastAPI, service: Service, admission: Admission, meters: Meters, fetcher: "Fetcher | None"
) -> None:
    @app.exception_handler(RefusedError)
    async def answer_refused(_: Request, error: RefusedError) -> Response:
        return refuse(error.status, error.reason)

    @app.post("/predict", openapi_extra=_BODY, summary="Classifies one or many pictures")
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, description="classes per picture")] = 3,
        coverage: Annotated[float | None, Query(gt=0, lt=1, description="adds the set of classes")] = None,
    ) -> Response:
        """Files as multipart/form-data, one picture as the body, or as JSON the URLs of pictures on hosts that serve.url_hosts
        lists, by default none: then 403. The answers are those of `python -m stages.predict --json`; with
        `Accept: application/x-ndjson` they are its lines. 422 if no picture can be used."""
        if fetcher is None and has_urls(request.headers):
            raise RefusedError(403, _NO_URLS)
        with admission.hold_bodies() as bodies:
            pictures = await _read_pictures(request, bodies, admission, fetcher)
            with admission.hold_pictures(len(pictures)):
                answers, family = await service.answer(pictures, top, coverage)
        for answer in answers:
            meters.pictures.labels(_name_outcome(answer)).inc()
        contents = [describe_answer(answer, family) for answer in answers]
        status = 200 if any(not answer.reason for answer in answers) else 422
        if request.headers.get("accept") == _LINES:
            lines = "".join(json.dumps(content, ensure_ascii=False) + "\n" for content in contents)
            return Response(lines, status, media_type=_LINES)
        return Response(json.dumps({"answers": contents}, ensure_ascii=False), status, media_type="application/json")


async def _read_pictures(
    request: Request, bodies: Bodies, admission: Admission, fetcher: "Fetcher | None"
) -> list[Named | Picture]:
    body = await bodies.read(request.stream(), request.headers.get("content-length"))
    if fetcher is None or not has_urls(request.headers):
        return list(await parse_upload(request.headers, body, admission.limits.max_files))
    urls = await asyncio.to_thread(parse_urls, body)
    with admission.hold_urls(len(urls)):
        return await fetcher.fetch(urls, bodies.read)


def _name_outcome(answer: Answer) -> str:
    return "unusable" if answer.reason else "none_of_these" if answer.is_none else "classified"


def _add_protocol(app: FastAPI, service: Service, admission: Admission) -> None:
    @app.get("/v2", summary="Open Inference Protocol: the server")
    async def server() -> Any:
        return describe_server()

    @app.get("/v2/health/live", summary="The server runs")
    @app.get("/v2/health/ready", summary="The model is loaded")
    async def health() -> Any:
        return {"live": True, "ready": True}

    @app.get("/v2/models/{name}", summary="The model's inputs and outputs")
    async def model(name: str) -> Any:
        _check_name(name, service)
        return describe_model(service.served)

    @app.get("/v2/models/{name}/ready", summary="The model is loaded")
    async def model_ready(name: str) -> Any:
        _check_name(name, service)
        return {"name": name, "ready": True}

    @app.post("/v2/models/{name}/infer", summary="Probabilities for pixels")
    async def infer(name: str, request: Request) -> Any:
        """One input `image`, FP32 or UINT8, (images, size, size, 3), RGB, 0 to 255. The probabilities are calibrated."""
        _check_name(name, service)
        with admission.hold_bodies() as bodies:
            body = await bodies.read(request.stream(), request.headers.get("content-length"))
            served = service.served
            images, identifier = await asyncio.to_thread(parse_tensor, body, served.contract.image_size)
            with admission.hold_pictures(len(images)):
                rows = await service.batcher.classify(served, list(images))
        return write_tensors(served, np.stack(rows), identifier)


def _check_name(name: str, service: Service) -> None:
    family = service.served.contract.family
    if name != family:
        raise RefusedError(404, f"no model {name[:100]!r}: expected {family}")


def _add_pages(app: FastAPI, service: Service, meters: Meters, limits: Limits) -> None:
    @app.get("/metrics", summary="Counters, for Prometheus")
    async def metrics() -> Response:
        return Response(meters.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def show(page: str) -> HTMLResponse:
        headers = {"Content-Security-Policy": make_policy(page), "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(page, headers=headers)

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return show(make_page(service.served, service.coverage, limits))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return show(make_docs(app.openapi()))
