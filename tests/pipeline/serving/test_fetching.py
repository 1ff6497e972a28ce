"""Pictures that the server fetches, from real hosts on 127.0.0.1, good and hostile ones. `make test-ci` runs these tests."""

import gzip
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.pipeline.serving.conftest import Running, encode, make_fetcher

pytestmark = pytest.mark.ci
for package in ("fastapi", "uvicorn", "httptools", "httpx2", "multipart", "onnx", "onnxruntime", "prometheus_client"):
    pytest.importorskip(package)

MOST = 3_000_000  # bytes of a request, as the fixture `start` has it
FILES = {
    "/red.png": encode(),
    "/grey.jpg": encode((90, 90, 90), kind="JPEG"),
    "/a%20b.webp": encode((30, 200, 30), kind="WEBP"),
    "/text": b"no picture",
    "/empty": b"",
    "/large": bytes(MOST * 2 // 5),
}


class Remote(ThreadingHTTPServer):
    """A host with good pictures and bad manners. seen: path and headers of each request."""

    daemon_threads, request_queue_size = True, 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.ended = threading.Event()
        self.place = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


class Answer(BaseHTTPRequestHandler):
    server: Remote
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        path, _, query = self.path.partition("?")
        with suppress(OSError):  # cut off
            if path == "/to":
                self.head(302, Location=query, Set_Cookie="a=b", Content_Length="0")
            elif path in FILES:
                self.head(200, Content_Length=str(len(FILES[path])))
                self.wfile.write(FILES[path])
            else:
                getattr(self, "do_" + path.strip("/"), self.do_missing)()

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def do_missing(self) -> None:
        self.head(404, Content_Length="0")

    def do_loop(self) -> None:
        self.head(301, Location="/loop", Content_Length="0")

    def do_far(self) -> None:
        self.head(301, Location="/" + "a" * 3000, Content_Length="0")

    def do_nowhere(self) -> None:
        self.head(302, Content_Length="0")

    def do_part(self) -> None:
        self.head(206, Content_Length="2")
        self.wfile.write(b"ab")

    def do_endless(self) -> None:
        self.head(200)
        while not self.server.ended.is_set():
            self.wfile.write(bytes(50_000))

    def do_promise(self) -> None:
        self.head(200, Content_Length=str(MOST + 1))
        self.wait()

    def do_short(self) -> None:
        self.head(200, Content_Length="1000")
        self.wfile.write(FILES["/red.png"])
        self.close_connection = True

    def do_crumbs(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        while not self.server.ended.is_set():
            self.wfile.write(b"1\r\nx\r\n" * 10_000)

    def do_bomb(self) -> None:
        body = gzip.compress(bytes(100_000_000), 1)
        self.head(200, Content_Encoding="gzip", Content_Length=str(len(body)))
        self.wfile.write(body)

    def do_packed(self) -> None:
        body = gzip.compress(FILES["/red.png"])
        self.head(200, Content_Encoding="gzip", Content_Length=str(len(body)))
        self.wfile.write(body)

    def do_junk(self) -> None:
        self.wfile.write(b"SSH-2.0-x\r\n")
        self.close_connection = True

    def do_slow(self) -> None:
        self.head(200, Content_Length="100000")
        while not self.server.ended.wait(0.05):
            self.wfile.write(b"x")

    def do_drip(self) -> None:
        for number in itertools.count():
            if self.server.ended.wait(0.05):
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" if not number else b"X-A: b\r\n")

    def do_silent(self) -> None:
        self.wait()

    def wait(self) -> None:
        self.server.ended.wait(120)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def make_remote() -> Iterator[Callable[[], Remote]]:
    made: list[Remote] = []

    def make() -> Remote:
        made.append(Remote())
        return made[-1]

    yield make
    for remote in made:
        remote.ended.set()
        remote.shutdown()
        remote.server_close()


@pytest.fixture(scope="module")
def remote(make_remote) -> Remote:
    return make_remote()


@pytest.fixture(scope="module")
def server(start, remote) -> Running:
    return start(url_hosts=[remote.place])


def ask(server: Running, *urls: str, query: str = "", **more: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False  # a test has a proxy there
        return session.post(f"{server.url}/predict{query}", json={"urls": urls}, timeout=240, **more)


def find_error(server: Running, url: str) -> str:
    """Why the only URL of a request has no answer."""
    response = ask(server, url)
    assert response.status_code == 422
    [answer] = response.json()["answers"]
    assert (answer["path"], answer["family"]) == (url, "underfit")
    assert "\n" not in answer["error"]
    return answer["error"]


class TestAnswers:
    def test_they_are_those_of_the_same_files_uploaded(self, server, remote):
        paths = [path for path in FILES if path != "/large"] + ["/red.png"]
        query = "?top=2&coverage=0.9"
        fetched = ask(server, *map(remote.url, paths), query=query).json()["answers"]
        uploaded = server.predict(*((path, FILES[path]) for path in paths), query=query).json()["answers"]
        assert [answer.pop("path") for answer in fetched] == [remote.url(path) for path in paths]
        assert [answer.pop("path") for answer in uploaded] == paths
        assert fetched == uploaded
        assert sum("error" in answer for answer in fetched) == 2

    def test_in_the_order_of_the_urls_those_that_fail_too(self, server, remote):
        urls = [remote.url(path) for path in ("/red.png", "/missing", "/text", "/grey.jpg")]
        response = ask(server, *urls)
        assert response.status_code == 200
        answers = response.json()["answers"]
        assert [answer["path"] for answer in answers] == urls
        assert [answer.get("error", "") for answer in answers] == [
            "",
            "can't be fetched: answered 404",
            answers[2]["error"],
            "",
        ]
        assert "not an image" in answers[2]["error"]

    def test_as_lines_too(self, server, remote):
        response = ask(server, remote.url("/red.png"), headers={"Accept": "application/x-ndjson"})
        assert [list(json.loads(line)) for line in response.text.splitlines()] == [
            ["path", "family", "predictions", "none_of_these"]
        ]

    def test_redirects_within_the_list_are_followed(self, server, remote):
        for target in (remote.url("/red.png"), "/red.png", f"//{remote.place}/red.png", "/to?/to?red.png"):
            assert ask(server, remote.url(f"/to?{target}")).json()["answers"][0]["predictions"], target

    def test_many_at_once_get_each_its_own(self, server, remote):
        paths = ["/red.png", "/grey.jpg", "/a%20b.webp", "/text"]
        expected = {path: server.predict((path, FILES[path])).json()["answers"][0] for path in paths}

        def compare(number: int) -> bool:
            mine = [paths[(number + n) % 4] for n in range(3)]
            answers = ask(server, *map(remote.url, mine)).json()["answers"]
            return [answer | {"path": path} for answer, path in zip(answers, mine, strict=True)] == [
                expected[path] for path in mine
            ]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(compare, range(40)))

    def test_nothing_of_the_environment_is_sent(self, server, remote, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        ask(server, remote.url(f"/to?{remote.url('/red.png')}"))
        assert ask(server, remote.url("/red.png?a=b#c"), headers={"Authorization": "x"}, cookies={"c": "d"}).ok
        for path, headers in remote.seen[-3:]:
            assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}, path
            assert (headers["Host"], headers["Accept-Encoding"]) == (remote.place, "identity")
        assert remote.seen[-1][0] == "/red.png?a=b"


class TestOff:
    def test_by_default_nothing_is_fetched_and_the_answer_says_how_to_allow_it(self, start, remote):
        server, seen = start(), len(remote.seen)
        for body in (b'{"urls": ["' + remote.url("/red.png").encode() + b'"]}', b"{", b""):
            headers = {"Content-Type": "Application/JSON; charset=utf-8"}
            response = requests.post(f"{server.url}/predict", data=body, headers=headers, timeout=240)
            assert response.status_code == 403
            assert "list their hosts in serve.url_hosts" in response.json()["error"]
        assert len(remote.seen) == seen


class TestRefused:
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("http://example.com/red.png", "example.com is not in serve.url_hosts"),
            ("http://127.0.0.1/red.png", "127.0.0.1 is not in serve.url_hosts"),
            ("http://127.0.0.1:1/red.png", "127.0.0.1:1 is not in serve.url_hosts"),
            ("http://localhost:{port}/red.png", "is not in serve.url_hosts"),
            ("http://2130706433:{port}/red.png", "is not in serve.url_hosts"),
            ("http://127.1:{port}/red.png", "is not in serve.url_hosts"),
            ("http://[::ffff:127.0.0.1]:{port}/red.png", "is not in serve.url_hosts"),
            ("http://127.0.0.1.:{port}/red.png", "is not in serve.url_hosts"),
            ("http://{place}@example.com/", "expected no user and password"),
            ("http://example.com\\@{place}/red.png", "expected no user and password"),
            ("http://a:b@{place}/red.png", "expected no user and password"),
            ("http://example.com#@{place}/red.png", "example.com is not in serve.url_hosts"),
            ("file:///etc/hostname", "expected http:// or https:// and a host"),
            ("ftp://{place}/red.png", "expected http:// or https:// and a host"),
            ("gopher://{place}/_x", "expected http:// or https:// and a host"),
            ("data:image/png;base64,AAAA", "expected http:// or https:// and a host"),
            ("/red.png", "expected http:// or https:// and a host"),
            ("//{place}/red.png", "expected http:// or https:// and a host"),
            (" http://{place}/red.png", "expected http:// or https:// and a host"),
            ("http:///red.png", "expected http:// or https:// and a host"),
            ("", "expected http:// or https:// and a host"),
            ("http://{place}/red.png\r\nX: y", "no URL"),
            ("http://{place}x/red.png", "no URL"),
            ("http://[::1/red.png", "no URL"),
            ("http://{place}/" + "a" * 3000, "longer than 2,048 characters"),
        ],
    )
    def test_a_url_that_is_not_allowed_is_asked_of_nobody(self, server, remote, url, reason):
        seen = len(remote.seen)
        url = url.replace("{place}", remote.place).replace("{port}", str(remote.server_port))
        assert find_error(server, url).endswith(reason)
        assert len(remote.seen) == seen

    @pytest.mark.parametrize(
        "target",
        ["http://example.com/x", "http://localhost:{port}/red.png", "//127.0.0.2:{port}/red.png", "https://127.0.0.1/"],
    )
    def test_so_is_one_that_it_redirects_to(self, server, remote, target):
        error = find_error(server, remote.url("/to?" + target.replace("{port}", str(remote.server_port))))
        assert error.endswith("is not in serve.url_hosts")
        assert remote.seen[-1][0].startswith("/to?")

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            ("file:///etc/hostname", "expected http:// or https://"),
            ("http://u:p@{place}/red.png", "expected no user"),
            ("http://{place}x/red.png", "redirected: no URL"),
        ],
    )
    def test_so_is_what_is_no_address(self, server, remote, target, reason):
        assert reason in find_error(server, remote.url("/to?" + target.replace("{place}", remote.place)))

    def test_a_name_that_leads_into_this_network_is_not_followed(self, start, remote):
        server = start(url_hosts=[f"localhost:{remote.server_port}"])
        seen = len(remote.seen)
        assert "private address" in find_error(server, remote.url("/red.png", "localhost"))
        assert len(remote.seen) == seen

    def test_unless_the_address_or_its_network_is_listed_too(self, start, remote, monkeypatch):
        server = start(url_hosts=[f"localhost:{remote.server_port}", "127.0.0.0/8"])
        asked: list[Any] = []
        look_up = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *words, **more: asked.append(words[0]) or look_up(*words, **more)
        )
        assert ask(server, remote.url("/red.png", "localhost")).ok
        assert remote.seen[-1][1]["Host"] == f"localhost:{remote.server_port}"
        assert asked.count("localhost") - asked.count(f"localhost:{server.port}") <= 1, (
            "looked up twice, it may be another"
        )

    def test_a_host_that_is_not_known_or_not_there_has_its_reason(self, start):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        server = start(url_hosts=["no-such-host.invalid", f"127.0.0.1:{port}"])
        assert find_error(server, "http://no-such-host.invalid/a.png").endswith("its host is not known")
        assert find_error(server, f"http://127.0.0.1:{port}/a.png").endswith("its host can't be reached")

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"{", b"[" * 99_999, b"\xff", b"null", b"[]", b"{}", b'{"urls": []}', b'{"urls": "http://a"}'),
            *(b'{"urls": [3]}', b'{"urls": {"a": 1}}', b'{"urls": ["http://a"], "more": 1}', b'{"urls": ["\\ud800"]}'),
        ],
        ids=range(13),
    )
    def test_a_body_that_names_no_urls_is_refused(self, server, body):
        headers = {"Content-Type": "application/json"}
        response = requests.post(f"{server.url}/predict", data=body, headers=headers, timeout=240)
        assert response.status_code == 400
        assert '{"urls": [' in response.json()["error"]

    def test_so_are_too_many(self, server, remote):
        seen = len(remote.seen)
        response = ask(server, *[remote.url("/red.png")] * 21)
        assert response.status_code == 413
        assert "21 URLs: expected 20 at most (serve.max_files)" in response.json()["error"]
        assert len(remote.seen) == seen

    def test_so_are_more_than_may_wait_of_all_requests(self, start, remote):
        server = start(url_hosts=[remote.place], max_pictures=3)
        response = ask(server, *[remote.url("/red.png")] * 4)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert ask(server, *[remote.url("/red.png")] * 3).ok


class TestHostile:
    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/missing", "answered 404"),
            ("/part", "answered 206"),
            ("/nowhere", "answered 302"),
            ("/loop", "redirected more than 5 times"),
            ("/far", "redirected: longer than 2,048 characters"),
            ("/endless", "expected 3,000,000 bytes at most (serve.max_mb)"),
            ("/promise", "3,000,001 bytes: expected 3,000,000 at most (serve.max_mb)"),
            ("/short", "the connection failed (RemoteProtocolError)"),
            ("/junk", "the connection failed (RemoteProtocolError)"),
            ("/crumbs", "comes in pieces of a few bytes"),
            ("/bomb", "answered with Content-Encoding 'gzip': expected the file's own bytes"),
            ("/packed", "answered with Content-Encoding 'gzip': expected the file's own bytes"),
        ],
    )
    def test_a_bad_answer_costs_only_its_own_url(self, server, remote, path, reason):
        urls = [remote.url(each) for each in ("/red.png", path, "/grey.jpg")]
        response = ask(server, *urls)
        assert response.status_code == 200
        first, bad, last = response.json()["answers"]
        assert bad["error"] == f"can't be fetched: {reason}"
        assert first["predictions"][0]["label"] == "red"
        assert last["none_of_these"] is True

    def test_pictures_that_are_too_large_together_are_refused_as_in_one_upload(self, server, remote):
        assert ask(server, *[remote.url("/large")] * 2).status_code == 422
        response = ask(server, *[remote.url("/large")] * 3)
        assert response.status_code == 413
        assert "serve.max_mb" in response.json()["error"]

    def test_what_was_given_up_keeps_no_memory_and_no_connection(self, start, make_remote):
        remote = make_remote()
        server = start(url_hosts=[remote.place], max_waiting_bytes=MOST + 10_000)
        for path in ("/endless", "/crumbs", "/short", "/missing"):
            find_error(server, remote.url(path))
        ask(server, *[remote.url("/large")] * 3)
        assert requests.post(f"{server.url}/predict", data=bytes(MOST), timeout=240).status_code == 422, "and no 503"
        for _ in range(600):  # those that were closed may take a moment
            mine = [
                c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == remote.server_port
            ]
            if not [c for c in mine if c.status == psutil.CONN_ESTABLISHED]:
                return
            time.sleep(0.05)
        raise AssertionError(f"open: {mine}")

    def test_slow_hosts_have_half_of_the_requests_time_and_the_others_are_answered(self, start, remote):
        server = start(url_hosts=[remote.place], max_seconds=6.0)
        paths = ["/slow", "/red.png", "/silent", "/drip"]
        response = ask(server, *map(remote.url, paths))
        assert response.status_code == 200
        errors = [answer.get("error", "") for answer in response.json()["answers"]]
        late = "can't be fetched: took more than 3 s, half of serve.max_seconds"
        assert errors == [late, "", late, late]

    def test_and_keep_no_place_of_other_hosts_and_of_uploads(self, start, make_remote):
        slow, good = make_remote(), make_remote()
        server = start(url_hosts=[slow.place, good.place], max_pictures=200)
        with ThreadPoolExecutor(12) as pool:
            work = [pool.submit(ask, server, *[slow.url("/silent")] * 10) for _ in range(12)]
            while len(slow.seen) < 8:
                time.sleep(0.01)
            assert ask(server, good.url("/red.png")).ok
            assert server.predict(("a.png", encode())).ok
            assert requests.get(f"{server.url}/v2/health/ready", timeout=240).ok
            assert len(slow.seen) == 8, "as many connections as a host gets"
            slow.ended.set()
            assert {future.result().status_code for future in work} == {422}


class TestCertificates:
    @pytest.fixture
    def start_secure(self, make_remote, tmp_path) -> Callable[[str], Remote]:
        """A host that speaks TLS, with a certificate for this name."""
        pytest.importorskip("cryptography")

        def start(name: str) -> Remote:
            remote = make_remote()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(write_certificate(tmp_path / f"{name}.pem", name))
            remote.socket = context.wrap_socket(remote.socket, server_side=True)
            return remote

        return start

    @pytest.mark.parametrize(("name", "reason"), [("localhost", ""), ("other.example", "has no valid certificate")])
    def test_it_is_that_of_the_name_though_the_connection_goes_to_an_address(
        self, start, start_secure, monkeypatch, tmp_path, name, reason
    ):
        remote = start_secure(name)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / f"{name}.pem"))
        server = start(url_hosts=[f"localhost:{remote.server_port}", "127.0.0.1"])
        [answer] = ask(server, f"https://localhost:{remote.server_port}/red.png").json()["answers"]
        assert answer.get("error", "").endswith(reason)
        assert ("predictions" in answer) == (not reason)

    def test_one_that_nobody_vouches_for_is_not_trusted(self, start, start_secure, monkeypatch):
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        remote = start_secure("localhost")
        server = start(url_hosts=[f"localhost:{remote.server_port}", "127.0.0.1"])
        assert "has no valid certificate" in find_error(server, f"https://localhost:{remote.server_port}/red.png")


def write_certificate(file: Path, name: str) -> Path:
    """A key, and a certificate that it signed itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def test_a_fetcher_can_be_made_before_an_event_loop_runs():
    assert make_fetcher(["a.com"], 1.0)
