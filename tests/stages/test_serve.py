import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from pipeline.runtime import errors
from pipeline.serving import running
from stages.serve import main
from tests.conftest import ROOT


def allow_urls(project: Path, host: str) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert "url_hosts: []" in text, "by default, nothing is fetched"
    (project / "params.yaml").write_text(text.replace("url_hosts: []", f'url_hosts: ["{host}"]'), encoding="utf-8")


@pytest.fixture
def refusal(project, capsys, monkeypatch):  # noqa: ARG001 - its folder
    """What the verb says, in one line on stderr, of a server that does not start."""
    monkeypatch.setattr(running, "_PACKAGES", ())

    def refuse(*words: str) -> str:
        assert main(list(words)) == 1
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()[-1]

    return refuse


class TestBadInput:
    def test_without_a_chosen_family_one_has_to_be_named(self, refusal):
        assert "data/chosen.json is not here" in refusal()

    def test_without_an_export_the_parameters_to_set_are_named(self, refusal):
        line = refusal("--family", "underfit")
        assert "models/exported/underfit has no model.onnx" in line
        assert "dvc exp run -S 'export.formats=[onnx]' -S 'export.families=[underfit]'" in line

    def test_the_chosen_family_is_the_one_in_its_file(self, refusal):
        Path("data").mkdir()
        Path("data/chosen.json").write_text(json.dumps({"family": "overfit"}))
        assert "models/exported/overfit has no model.onnx" in refusal()

    def test_a_family_that_does_not_exist_is_one_line(self, refusal):
        assert "--family" in refusal("--family", "underfitt")

    def test_a_missing_extra_is_named(self, refusal, monkeypatch):
        monkeypatch.setattr(running, "_PACKAGES", ("fastapi_of_another_world",))
        assert "pip install -c constraints.txt -e '.[serve]'" in refusal()

    def test_the_client_for_urls_is_needed_only_where_they_are_allowed(self, refusal, monkeypatch):
        monkeypatch.setattr(running, "_CLIENT", ("httpx_of_another_world",))
        assert "data/chosen.json is not here" in refusal()
        allow_urls(Path(), "images.example.com")
        assert "httpx_of_another_world can't be imported: expected the extra `serve`" in refusal()

    def test_an_export_of_another_model_is_refused(self, refusal):
        pytest.importorskip("onnx")
        from tests.pipeline.serving.exported import save_exported

        save_exported(Path("models/exported/underfit"))
        Path("models/underfit.keras").write_bytes(b"another model")
        assert "was made of another model than models/underfit.keras" in refusal("--family", "underfit")

    def test_a_port_in_use_is_named(self, refusal):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert f"port {port} of 127.0.0.1 can't be taken" in refusal("--folder", ".", "--port", str(port))


def test_what_it_says_is_an_error_of_ours():
    with pytest.raises(errors.PipelineError):
        running.bind("no such host.", 0)


@pytest.mark.ci
def test_the_command_serves_until_it_is_told_to_end(tmp_path):
    for package in ("fastapi", "uvicorn", "httptools", "httpx2", "onnx", "onnxruntime", "prometheus_client"):
        pytest.importorskip(package)
    from tests.pipeline.serving.exported import save_exported

    save_exported(tmp_path)
    allow_urls(tmp_path, "no-such-host.invalid")
    code = (
        "import sys; from stages.serve import main; status = main(['--folder', sys.argv[1], '--port', '0']); "
        "sys.exit(status or bool({'tensorflow', 'keras', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert requests.get(f"{url}/v2/health/ready", timeout=60).json() == {"live": True, "ready": True}
        content = {"urls": ["http://no-such-host.invalid/a.png", "http://another.invalid/a.png"]}
        [listed, other] = requests.post(f"{url}/predict", json=content, timeout=60).json()["answers"]
        assert listed["error"] == "can't be fetched: its host is not known"
        assert other["error"] == "can't be fetched: another.invalid is not in serve.url_hosts"
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
