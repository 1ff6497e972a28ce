"""The real server on 127.0.0.1, with real sockets and decoders. Its packages are extras: `make test-ci` runs these tests."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import requests

from pipeline.data.image import decode_image
from pipeline.runtime.errors import PipelineError
from tests.pipeline.data.hostile import list_bad, list_good
from tests.pipeline.serving.conftest import RED, Running, encode
from tests.pipeline.serving.exported import NAMES, SIZE, compute_expected, save_exported

pytestmark = pytest.mark.ci
for package in ("fastapi", "uvicorn", "httptools", "multipart", "onnx", "onnxruntime", "prometheus_client"):
    pytest.importorskip(package)


class TestAnswers:
    def test_they_are_those_of_the_model_from_pixels_decoded_as_in_training(self, server):
        data = encode((120, 90, 30), kind="JPEG")
        response = server.predict(("a.jpg", data), query="?top=2&coverage=0.9")
        assert response.status_code == 200
        [answer] = response.json()["answers"]
        expected = compute_expected(decode_image(data, image_size=SIZE, resize="stretch")[None])[0]
        assert (answer["path"], answer["family"]) == ("a.jpg", "underfit")
        assert [p["label"] for p in answer["predictions"]] == NAMES[:2]
        assert [p["probability"] for p in answer["predictions"]] == pytest.approx(expected[:2], abs=2e-6)
        assert answer["set"] == [name for name, p in zip(NAMES, expected, strict=True) if p >= 0.1]
        assert answer["none_of_these"] is False

    def test_many_files_are_answered_in_their_order_those_that_cannot_be_used_too(self, server):
        files = [("red", encode()), ("bad", b"no picture"), ("grey", encode((90, 90, 90))), ("red", encode())]
        answers = server.predict(*files).json()["answers"]
        assert [answer["path"] for answer in answers] == ["red", "bad", "grey", "red"]
        assert "not an image" in answers[1]["error"]
        assert [answer.get("none_of_these") for answer in answers] == [False, None, True, False]
        assert answers[0] == answers[3]

    def test_one_picture_may_be_the_body(self, server):
        response = requests.post(
            f"{server.url}/predict", data=encode(), headers={"Content-Type": "image/png"}, timeout=240
        )
        assert response.json()["answers"][0]["predictions"][0]["label"] == "red"

    def test_a_form_may_be_called_one_in_any_case(self, server):
        body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n%s\r\n--x--\r\n' % encode()
        headers = {"Content-Type": "Multipart/Form-Data; boundary=x"}
        [answer] = requests.post(f"{server.url}/predict", data=body, headers=headers, timeout=240).json()["answers"]
        assert (answer["path"], answer["predictions"][0]["label"]) == ("a.png", "red")

    def test_a_name_with_half_a_character_is_written_with_a_question_mark(self, server):
        body = (
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="\\ud800.png"\r\n\r\n%s\r\n--x--\r\n' % encode()
        )
        headers = {"Content-Type": "multipart/form-data; charset=unicode_escape; boundary=x"}
        [answer] = requests.post(f"{server.url}/predict", data=body, headers=headers, timeout=240).json()["answers"]
        assert answer["path"] == "?.png"

    def test_as_lines_they_are_those_of_predict(self, server):
        lines = server.predict(("a.png", encode()), headers={"Accept": "application/x-ndjson"}).text.splitlines()
        assert [list(json.loads(line)) for line in lines] == [["path", "family", "predictions", "none_of_these"]]

    def test_many_at_once_get_each_its_own_answer(self, server):
        colours = [(n * 2, 255 - n * 2, n) for n in range(60)]

        def ask(colour: tuple[int, int, int]) -> float:
            [answer] = server.predict(("x.png", encode(colour))).json()["answers"]
            return next(p["probability"] for p in answer["predictions"] if p["label"] == "red")

        with ThreadPoolExecutor(12) as pool:
            given = list(pool.map(ask, colours))
        expected = compute_expected(np.array(colours, np.uint8)[:, None, None])[:, 0]
        np.testing.assert_allclose(given, expected, atol=2e-6)

    @pytest.mark.parametrize("query", ["?top=0", "?top=x", "?coverage=1", "?coverage=nan", "?coverage=-1"])
    def test_what_makes_no_sense_is_refused(self, server, query):
        assert server.predict(("a.png", encode()), query=query).status_code == 422

    def test_requests_without_a_picture_are_refused(self, server):
        url = f"{server.url}/predict"
        assert requests.post(url, timeout=240).status_code == 422
        assert "no file" in requests.post(url, files={"text": (None, "x")}, timeout=240).json()["error"]
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        for body in (b"--y\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"\0" * 99):
            assert requests.post(url, data=body, headers=broken, timeout=240).status_code in (400, 422)
        assert (
            requests.post(url, data=b"x", headers={"Content-Type": "multipart/form-data"}, timeout=240).status_code
            == 400
        )
        assert requests.get(url, timeout=240).status_code == 405


class TestHostile:
    def test_every_hostile_picture_has_its_reason_and_every_odd_one_its_answer(self, server):
        cases = [(name, data, "") for name, data in list_good()] + list(list_bad())
        small = [case for case in cases if len(case[1]) < 200_000]
        assert len(small) > 150
        for start in range(0, len(small), 10):
            part = small[start : start + 10]
            response = server.predict(*((name, data or b"") for name, data, _ in part))
            for (name, _, said), answer in zip(part, response.json()["answers"], strict=True):
                assert ("error" in answer) == bool(said), (name, answer)
        assert server.predict(("a.png", encode())).status_code == 200

    def test_cut_connections_leave_nothing_behind(self, server):
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
        for number in range(30):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(head[: 20 + 3 * number] if number % 2 else head + bytes(number))
        for _ in range(500):
            if "waiting_pictures 0.0" in requests.get(f"{server.url}/metrics", timeout=240).text:
                break
        assert server.predict(("a.png", encode())).status_code == 200

    def test_what_is_no_http_is_answered_or_cut(self, server):
        for junk in (
            b"\0" * 200 + b"\r\n\r\n",
            b"GET " + b"a" * 100_000,
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" * 9,
        ):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
                connection.sendall(junk)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(100)
        assert server.predict(("a.png", encode())).status_code == 200

    def test_a_body_that_is_longer_than_it_says_or_than_allowed_is_refused(self, server):
        def flow() -> Iterator[bytes]:
            for _ in range(64):
                yield bytes(100_000)

        url = f"{server.url}/predict"
        told = http.client.HTTPConnection("127.0.0.1", server.port, timeout=240)
        told.putrequest("POST", "/predict")
        told.putheader("Content-Length", "3000001")
        told.endheaders()
        assert told.getresponse().status == 413
        told.close()
        with contextlib.suppress(requests.ConnectionError):  # cut while it was still sent: as good
            assert requests.post(url, data=flow(), timeout=240).status_code == 413
        assert server.predict(*[("x", b"x")] * 21).status_code in (400, 413)

    def test_a_slow_body_is_cut_off(self, start):
        server = start(max_seconds=0.5)
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab")
            answer = read_all(connection)
        assert b"408" in answer.splitlines()[0]
        assert b"serve.max_seconds" in answer

    @pytest.mark.parametrize(
        "sent", [b"", b"POST /predict HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n"], ids=["none", "part", "empty"]
    )
    def test_so_is_a_head_that_does_not_come(self, start, sent):
        server = start(max_seconds=0.5)
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(sent)
            assert b"408" in read_all(connection).splitlines()[0]

    def test_so_is_the_second_one_however_slowly_it_comes(self, start):
        server = start(max_seconds=0.5)
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in connection.recv(1000)
            with contextlib.suppress(OSError):  # cut
                for _ in range(600):
                    connection.sendall(b"\r\n")
                    time.sleep(0.05)
                raise AssertionError("it is still open")

    def test_promised_bytes_keep_no_place_of_others(self, start):
        server = start(max_waiting_bytes=3_000_000)
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2900000\r\n\r\nab"
        with contextlib.ExitStack() as stack:
            for _ in range(9):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                connection.sendall(head)
            assert server.predict(("a.png", encode())).status_code == 200

    def test_who_does_not_read_is_cut_off(self, start):
        server = start(max_seconds=0.5)
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(ConnectionError):  # cut
                for _ in range(600):
                    connection.sendall(b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
                    time.sleep(0.05)
                raise AssertionError("it is still open")


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1000), b""))


class TestFull:
    def test_so_are_connections_beyond_their_number(self, start):
        server = start(max_connections=3)
        address = ("127.0.0.1", server.port)
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(socket.create_connection(address))
            response = server.predict(("a.png", encode()))
            assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
            silent = stack.enter_context(socket.create_connection(address, timeout=30))
            assert b"503" in read_all(silent).splitlines()[0], "beyond the number nobody waits long"
        for _ in range(500):  # until the server has seen that they have gone
            if server.predict(("a.png", encode())).status_code == 200:
                return
        raise AssertionError("it stays full")

    def test_what_does_not_fit_is_sent_away_and_told_when_to_come_again(self, start):
        server = start(max_pictures=4)
        response = server.predict(*[(str(n), encode()) for n in range(5)])
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert "try again" in response.json()["error"]
        assert server.predict(*[(str(n), encode()) for n in range(4)]).status_code == 200

    def test_so_are_bodies_that_fill_the_memory(self, start):
        server = start(max_waiting_bytes=1_000_000)
        assert requests.post(f"{server.url}/predict", data=bytes(1_000_001), timeout=240).status_code == 503
        assert server.predict(("a.png", encode())).status_code == 200


class TestProtocol:
    def infer(self, server: Running, model: str = "underfit", **changes: Any) -> requests.Response:
        pixels = np.full((2, SIZE, SIZE, 3), RED)
        tensor = {"name": "image", "datatype": "FP32", "shape": list(pixels.shape), "data": pixels.ravel().tolist()}
        content = {"id": "7", "inputs": [tensor | changes]}
        return requests.post(f"{server.url}/v2/models/{model}/infer", json=content, timeout=240)

    def test_pixels_give_calibrated_probabilities(self, server):
        content = self.infer(server).json()
        assert (content["model_name"], content["id"]) == ("underfit", "7")
        probabilities, refused = content["outputs"]
        assert probabilities["shape"] == [2, 3]
        assert probabilities["data"][:3] == pytest.approx(compute_expected(np.full((1, 1, 1, 3), RED))[0], abs=1e-6)
        assert refused == {"name": "none_of_these", "datatype": "BOOL", "shape": [2], "data": [False, False]}

    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "x"},
            {"datatype": "INT64"},
            {"shape": [2, 8, 8, 3]},
            {"shape": [-1, SIZE, SIZE, 3]},
            {"shape": "x"},
            {"data": [1, 2]},
            {"data": None},
            {"data": [1000] * (2 * SIZE * SIZE * 3)},
            {"data": [[1], [2, 3]]},
        ],
        ids=str,
    )
    def test_another_tensor_is_refused_in_one_line(self, server, changes):
        response = self.infer(server, **changes)
        assert response.status_code == 400
        assert "\n" not in response.json()["error"]

    @pytest.mark.parametrize("body", [b"", b"{", b"[" * 5000, b'{"inputs": 3}', b"\xff\xfe", b"null"])
    def test_so_is_what_is_no_request(self, server, body):
        assert requests.post(f"{server.url}/v2/models/underfit/infer", data=body, timeout=240).status_code == 400

    def test_it_tells_of_itself(self, server):
        get = lambda path: requests.get(server.url + path, timeout=240)  # noqa: E731 - shorter where it is used
        assert get("/v2/health/ready").status_code == get("/v2/health/live").status_code == 200
        model = get("/v2/models/underfit").json()
        assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, SIZE, SIZE, 3]}]
        assert json.loads(model["parameters"]["class_names"]) == NAMES
        assert get("/v2/models/other").status_code == self.infer(server, "other").status_code == 404


class TestPages:
    def test_the_page_runs_nothing_but_its_own_script_and_fetches_nothing(self, server):
        response = requests.get(f"{server.url}/", timeout=240)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "underfit" in response.text
        assert not [word for word in ("http://", "https://", "{{") if word in response.text]

    def test_the_addresses_are_described(self, server):
        page = requests.get(f"{server.url}/docs", timeout=240).text
        schema = requests.get(f"{server.url}/openapi.json", timeout=240).json()
        assert all(path in page for path in schema["paths"])
        assert "multipart/form-data" in schema["paths"]["/predict"]["post"]["requestBody"]["content"]

    def test_what_happened_is_counted(self, server):
        server.predict(("a.png", encode()), ("grey.png", encode((90, 90, 90))), ("bad", b"x"))
        text = requests.get(f"{server.url}/metrics", timeout=240).text
        for outcome in ("classified", "none_of_these", "unusable"):
            assert f'pictures_total{{outcome="{outcome}"}}' in text
        assert 'requests_total{path="/predict",status="200"}' in text
        assert "batch_pictures_bucket" in text


class TestReload:
    def wait(self, done: Callable[[], bool]) -> None:
        for _ in range(2400):
            if done():
                return
            time.sleep(0.05)
        raise AssertionError("nothing changed")

    def test_a_new_file_takes_over_while_requests_go_on(self, start):
        server, statuses, stop = start(), [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                statuses.append(server.predict(("a.png", encode())).status_code)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        before = server.service.served.version
        try:
            save_exported(server.folder, sharpness=0.5)
            self.wait(lambda: server.service.served.version != before)
            answers = server.predict(("a.png", encode())).json()["answers"]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert answers[0]["predictions"][0]["probability"] == 1
        assert set(statuses) == {200}

    def test_a_damaged_one_does_not(self, start, caplog):
        server = start()
        before = server.service.served
        (server.folder / "model.onnx").write_bytes(b"no model")
        self.wait(lambda: "the old model stays" in caplog.text)
        assert server.service.served is before
        assert server.predict(("a.png", encode())).status_code == 200


class TestBadInput:
    def test_a_corrupt_file_is_one_line(self, params, tmp_path):
        from pipeline.serving.served import load_served

        save_exported(tmp_path)
        (tmp_path / "model.onnx").write_bytes((tmp_path / "model.onnx").read_bytes()[:80])
        with pytest.raises(PipelineError, match=r"can't be loaded|does not run") as caught:
            load_served(tmp_path, params)
        assert "\n" not in str(caught.value)

    def test_so_is_one_that_does_not_fit_its_contract(self, params, tmp_path):
        from pipeline.serving.served import load_served

        for changes in ({"class_names": ["a", "b"]}, {"image_size": 99}):
            save_exported(tmp_path)
            model = (tmp_path / "model.onnx").read_bytes()
            save_exported(tmp_path, **changes)
            (tmp_path / "model.onnx").write_bytes(model)
            with pytest.raises(PipelineError, match=r"expected 2|does not run"):
                load_served(tmp_path, params)

    def test_so_is_a_port_in_use(self):
        from pipeline.serving.running import bind

        with bind("127.0.0.1", 0) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(PipelineError, match=rf"port {port} of 127.0.0.1 can't be taken .*--port"):
                bind("127.0.0.1", port)
        for host, port in (("256.0.0.1", 0), ("127.0.0.1", 70000)):
            with pytest.raises(PipelineError, match="can't be taken"):
                bind(host, port)
