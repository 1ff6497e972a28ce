"""Decoders, in real processes of their own."""

import asyncio
import os

import psutil

from pipeline.data.image_files import Decoding
from pipeline.serving.decoding import Decoders
from tests.pipeline.data.hostile import draw, encode

DECODING = Decoding(16, "stretch", 8, 1.0)
GOOD, BAD = ("good", encode(draw(1), "PNG")), ("bad", b"no picture")


def list_processes() -> set[int]:
    return {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}


def test_a_process_that_has_seen_many_bad_pictures_is_replaced_and_nobody_notices(monkeypatch):
    monkeypatch.setattr("pipeline.serving.decoding._FAILURES", 3)
    decoders = Decoders(1, max_seconds=30, max_megapixels=1.0)
    try:
        decode = lambda *named: asyncio.run(decoders.decode(list(named), DECODING))  # noqa: E731 - shorter where it is used
        decode(GOOD, BAD, BAD)
        before = list_processes()
        given = decode(GOOD, BAD, GOOD, BAD)
        assert [picture.path for picture in given if picture.pixels is not None] == ["good", "good"]
        assert len(before - list_processes()) == 1
        assert decode(GOOD)[0].pixels is not None
    finally:
        decoders.close()
