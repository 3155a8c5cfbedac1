#!/usr/bin/env python3
"""Checks the chart: values against their schema, templates rendered by Go's own templates, and what must hold of the result.

The node.toml of a pod is made by the chart's own start script and read as TOML. What this cannot see: what helm itself refuses,
and what Kubernetes does with it.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import jsonschema
import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE / "tandem"


def merged(into, over):
    for key, value in over.items():
        into[key] = merged(into[key], value) if isinstance(value, dict) and isinstance(into.get(key), dict) else value
    return into


def render(*more):
    command = ["go", "run", "render.go", "tandem", str(CHART), str(HERE / "values-example.yaml"), *more]
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
    return subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)


def check_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    check = jsonschema.Draft7Validator(schema)
    plain = yaml.safe_load((CHART / "values.yaml").read_text())
    example = yaml.safe_load((HERE / "values-example.yaml").read_text())
    for values in (plain, merged(plain, example)):
        for error in check.iter_errors(values):
            raise AssertionError(f"values: {error.message}")
    # What it must refuse.
    for key, value in (("join", ["fra-1.example:7060"]), ("drainSeconds", 0), ("sites", [{"name": "Fra!", "nodes": 1}]), ("sties", [])):
        assert not check.is_valid(merged(json.loads(json.dumps(plain)), {key: value})), f"the schema takes {key} = {value}"


def check_sets(sets):
    assert [one["metadata"]["name"] for one in sets] == ["tandem-fra", "tandem-lon", "tandem-ams"]
    for one in sets:
        assert one["spec"]["updateStrategy"]["type"] == "OnDelete"
        pod = one["spec"]["template"]["spec"]
        assert pod["hostNetwork"] is True
        assert pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        node = pod["containers"][0]
        assert "lifecycle" not in node, "the node drains by itself"
        assert node["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["terminationGracePeriodSeconds"] > 300, "the drain needs its time"
        names = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"] for claim in one["spec"]["volumeClaimTemplates"]}
        assert {mount["name"] for mount in node["volumeMounts"]} == names
        wanted = one["spec"]["selector"]["matchLabels"].items()
        assert wanted <= one["spec"]["template"]["metadata"]["labels"].items()


def node_toml(scripts, name, site, address):
    """What the start script of a pod writes."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "node.toml.in").write_text(scripts["node.toml"])
        start = scripts["start"].replace("/etc/tandem/template/node.toml", str(folder / "node.toml.in"))
        start = start.replace("/run/tandem", str(folder)).replace("exec tandem", "true tandem")
        environment = {"PATH": os.environ["PATH"], "NAME": name, "SITE": site, "ADDRESS": address,
                       "TANDEM_TOKEN": "an-admin-token-for-the-check", "METRICS_TOKEN": "a-metrics-token-for-the-check"}
        subprocess.run(["sh", "-c", start], env=environment, check=True)
        text = (folder / "node.toml").read_text()
    keep = os.environ.get("KEEP_NODE_TOML")
    if keep:
        pathlib.Path(keep, f"{name}.toml").write_text(text)
    return tomllib.loads(text)


def check_scripts(scripts):
    founder = node_toml(scripts, "tandem-fra-0", "fra", "192.0.2.11")
    other = node_toml(scripts, "tandem-lon-0", "lon", "198.51.100.11")
    assert founder["cluster"]["join"] == [], "the founder joins nobody"
    assert other["cluster"]["join"][0] == "192.0.2.11:7060" and len(other["cluster"]["join"]) == 3
    assert other["node"] == {"name": "tandem-lon-0", "site": "lon", "data_dir": "/var/lib/tandem", "drain_seconds": 300}
    assert other["media"] == {"address": "198.51.100.11", "ports": [20000, 29999]}
    assert other["cluster"]["tls"]["cert"] == "/etc/tandem/tls/tandem-lon-0.pem"
    assert [token["scopes"] for token in other["http"]["tokens"]] == [["admin"], ["metrics"]]
    for name in ("start",):
        result = subprocess.run(["shellcheck", "-s", "sh", "-"], input=scripts[name], capture_output=True, text=True)
        assert result.returncode == 0, f"{name}: {result.stdout}"


def main():
    check_schema()
    result = render()
    assert result.returncode == 0, result.stderr
    assert "{{" not in result.stdout
    documents = [document for document in yaml.safe_load_all(result.stdout) if document]
    kinds = [document["kind"] for document in documents]
    assert sorted(kinds) == ["ConfigMap", "PodDisruptionBudget", "PodMonitor", "Service"] + 3 * ["StatefulSet"], kinds
    of_kind = {document["kind"]: document for document in documents}
    check_sets([document for document in documents if document["kind"] == "StatefulSet"])
    assert of_kind["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    check_scripts(of_kind["ConfigMap"]["data"])
    # Without what must be named it says so.
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
        values.write("tokenSecret: \"\"\n")
        values.flush()
        refused = render(values.name)
    assert refused.returncode != 0 and "name a secret" in refused.stderr, refused.stderr


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"chart: {error}")
