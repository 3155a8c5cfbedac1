#!/usr/bin/env python3
"""What no tool of others checks in deploy/: that alerts, dashboards and runbooks name only what is there.

Run by scripts/check-deploy. Prints one line a mistake and exits with 1 if there is any.
"""

import json
import pathlib
import re
import sys
import tomllib

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# Prometheus makes these itself.
OF_PROMETHEUS = {"up", "ALERTS"}
mistakes = []


def wrong(text):
    mistakes.append(text)


def metrics_of_the_code():
    found = set()
    for path in ROOT.glob("crates/*/src/**/*.rs"):
        if path.name == "tests.rs" or "tests" in path.parts:
            continue
        found |= set(re.findall(r'"((?:tandem|process)_[a-z0-9_]+)"', path.read_text()))
    return found


def names_in(expr):
    """The metrics of a query."""
    text = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', '""', expr))
    recorded = set(re.findall(r"\b[a-z_]+:tandem_[a-z0-9_]+:[a-z0-9_]+\b", text))
    for name in recorded:
        text = text.replace(name, "")
    plain = set(re.findall(r"\b(?:tandem|process)_[a-z0-9_]+\b", text))
    return recorded | plain | {name for name in OF_PROMETHEUS if re.search(rf"\b{name}\b", text)}


def check_query(expr, where, known):
    for name in names_in(expr):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if name not in known and base not in known:
            wrong(f"{where}: no such metric: {name}")


def rules():
    for path in sorted((HERE / "prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield path.name, rule


def anchors(path):
    """The anchors of the headings of a page, as web pages make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_alert(where, rule):
    notes = rule.get("annotations", {})
    if rule.get("labels", {}).get("severity") not in ("page", "ticket"):
        wrong(f"{where}: severity is neither page nor ticket")
    for note in ("summary", "description", "runbook_url"):
        if not notes.get(note):
            wrong(f"{where}: no {note}")
    said = notes.get("summary", "")
    if not re.search(r"\$labels\.(trunk|site)", said) and rule["alert"] != "RaftNoLeader":
        wrong(f"{where}: the summary names neither the trunk nor the site")
    path, _, anchor = notes.get("runbook_url", "").partition("#")
    page = ROOT / path
    if not page.is_file():
        wrong(f"{where}: no such runbook: {path}")
    elif anchor and anchor not in anchors(page):
        wrong(f"{where}: {path} has no heading #{anchor}")


def check_rules(known):
    tests = "".join(path.read_text() for path in (HERE / "prometheus/tests").glob("*.yml"))
    alerts = set()
    for name, rule in rules():
        where = f"{name}: {rule.get('alert') or rule.get('record')}"
        check_query(rule["expr"], where, known)
        if "alert" in rule:
            alerts.add(rule["alert"])
            check_alert(where, rule)
            if f'ALERTS{{alertname="{rule["alert"]}"' not in tests:
                wrong(f"{where}: fires in no test")
    manager = yaml.safe_load((HERE / "prometheus/alertmanager.yml").read_text())
    for inhibit in manager["inhibit_rules"]:
        for matcher in inhibit["source_matchers"] + inhibit["target_matchers"]:
            for alert in re.findall(r'"([^"]+)"', matcher)[0].split("|"):
                if alert not in alerts:
                    wrong(f"alertmanager.yml: no such alert: {alert}")


def check_dashboards(known):
    uids = set()
    for path in sorted((HERE / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        if board["uid"] in uids:
            wrong(f"{path.name}: uid is taken: {board['uid']}")
        uids.add(board["uid"])
        variables = {variable["name"] for variable in board["templating"]["list"]}
        titles = [panel["title"] for panel in board["panels"]]
        for panel in board["panels"]:
            where = f"{path.name}: {panel['title']}"
            if titles.count(panel["title"]) > 1:
                wrong(f"{where}: the title is there twice")
            if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
                wrong(f"{where}: no description or no unit")
            for target in panel["targets"]:
                if not target.get("legendFormat"):
                    wrong(f"{where}: a query without a legend")
                check_query(target["expr"], where, known)
                for used in re.findall(r"\$([a-z_]+)", target["expr"]):
                    if used not in variables:
                        wrong(f"{where}: no such variable: ${used}")


def check_links():
    """Every link from one page of deploy/ to another leads somewhere."""
    for page in HERE.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
            if not (page.parent / target).exists():
                wrong(f"{page.relative_to(ROOT)}: leads nowhere: {target}")


def check_nodes_of_compose():
    """The nodes of compose.yaml are those of cluster/three-sites, but for data_dir."""
    for path in sorted((HERE / "container/nodes").glob("*.toml")):
        here = tomllib.loads(path.read_text())
        there = tomllib.loads((ROOT / "cluster/three-sites/nodes" / path.name).read_text())
        there["node"]["data_dir"] = "/var/lib/tandem"
        if here != there:
            wrong(f"container/nodes/{path.name}: is another node than in cluster/three-sites")


def check_yaml():
    for path in HERE.rglob("*.y*ml"):
        if "templates" in path.parts:
            continue
        try:
            list(yaml.safe_load_all(path.read_text()))
        except yaml.YAMLError as error:
            wrong(f"{path.relative_to(ROOT)}: {' '.join(str(error).split())}")


def main():
    check_yaml()
    code = metrics_of_the_code()
    recorded = {rule["record"] for _, rule in rules() if "record" in rule}
    known = code | recorded | OF_PROMETHEUS
    check_rules(known)
    check_dashboards(known)
    check_links()
    check_nodes_of_compose()
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    main()
