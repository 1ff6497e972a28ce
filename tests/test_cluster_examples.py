"""The examples of clusters in docs/examples hold what Ray and KubeRay need, and what the pipeline asks of nodes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"


def load(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


def list_pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [manifest["spec"]["headGroupSpec"], *manifest["spec"]["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_kuberay_starts_the_pinned_ray_on_storage_that_all_pods_share():
    manifest = load("raycluster.yaml")
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayCluster")
    assert f"ray=={manifest['spec']['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    containers = [container for pod in list_pods(manifest) for container in pod["containers"]]
    assert len(containers) == 2
    for part in ("image", "env", "volumeMounts"):
        assert containers[0][part] == containers[1][part]
    for pod in list_pods(manifest):
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    for group in manifest["spec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_kuberays_parameters_are_options_of_ray_start():
    scripts = pytest.importorskip("ray.scripts.scripts")
    known = {option for parameter in scripts.start.params for option in parameter.opts}
    head = load("raycluster.yaml")["spec"]["headGroupSpec"]["rayStartParams"]
    assert {f"--{name}" for name in head} <= known


def test_ray_up_takes_the_file():
    """By the schema that is in Ray's own package."""
    ray = pytest.importorskip("ray")
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    content = load("ray-up.yaml")
    # What the provider `local` takes besides: Ray's own example has it, its schema does not.
    jsonschema.validate({name: value for name, value in content.items() if name != "min_workers"}, schema)
    assert content["min_workers"] <= content["max_workers"] == len(content["provider"]["worker_ips"])


def test_ray_up_starts_every_node_without_reports_and_by_the_projects_own_ray():
    content = load("ray-up.yaml")
    for commands in (content["head_start_ray_commands"], content["worker_start_ray_commands"]):
        *_, start = commands
        assert start.startswith("RAY_USAGE_STATS_ENABLED=0 /project/.venv/bin/ray start")
