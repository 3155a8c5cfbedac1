#!/usr/bin/env python3
"""Writes dashboards/*.json. Change this file, never those; `generate.py --check` fails when they are stale.

A panel has a title, a unit, a description and queries with a legend: `panel` asks for all of them. Every query is at
panels[].targets[].expr. To run one outside Grafana, put `.*` where $site, $node, $trunk or $direction stands; nothing else is
Grafana's. Queries use metrics of the nodes and series that deploy/prometheus/rules/recording.yml records. Where nothing may have
happened yet, a query answers 0 with the label `none` rather than nothing, so that an empty panel always means that something
is broken.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = {"type": "prometheus", "uid": "tandem"}
AT_SITE = 'site=~"$site"'
ON_NODE = 'site=~"$site", node=~"$node"'
OF_TRUNK = 'trunk=~"$trunk", direction=~"$direction"'
RED, ORANGE, GREEN, GREY = "red", "orange", "green", "#808080"


def or_none(expr, label):
    return f'{expr} or on () label_replace(vector(0), "{label}", "none", "", "")'


def quantile(share, metric, by="", match=ON_NODE, window="[1m]"):
    """Of a histogram; without a window over all that the processes have seen."""
    inner = f"{metric}_bucket{{{match}}}{window}"
    inner = f"rate({inner})" if window else inner
    return f"histogram_quantile({share}, sum by (le{', ' + by if by else ''}) ({inner}))"


def steps(*pairs):
    """Thresholds: the colour from each value on."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in pairs]}


def panel(kind, title, unit, description, *queries, width=8, height=8, **more):
    """A panel; a query is (legend, expr)."""
    assert title and unit and description and queries, title
    instant = kind in ("stat", "table", "gauge")
    targets = []
    for number, (legend, expr) in enumerate(queries):
        assert legend, f"{title}: no legend"
        target = {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": " ".join(expr.split()), "legendFormat": legend}
        target |= {"instant": True, "range": False} if instant else {"instant": False, "range": True}
        if kind == "table":
            target["format"] = "table"
        if kind == "heatmap":
            target["format"] = "heatmap"
        targets.append(target)
    defaults = {"unit": unit} | more.pop("defaults", {})
    made = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": more.pop("options", {}),
        "targets": targets,
        "size": (width, height),
    }
    return made | more


def lines(title, unit, description, *queries, stack=False, low=None, high=None, **more):
    custom = {"lineWidth": 1, "fillOpacity": 60 if stack else 5, "showPoints": "never", "spanNulls": False}
    if stack:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    defaults = {"custom": custom} | ({} if low is None else {"min": low}) | ({} if high is None else {"max": high})
    options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel("timeseries", title, unit, description, *queries, defaults=defaults, options=options, **more)


def number(title, unit, description, query, thresholds=None, name=False, **more):
    defaults = {"thresholds": thresholds or steps((None, GREEN))}
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "none", "colorMode": "background"}
    options["textMode"] = "name" if name else "value"
    more = {"width": 4, "height": 4} | more
    return panel("stat", title, unit, description, query, defaults=defaults, options=options, **more)


def timeline(title, description, *queries, words=("down", "up"), colours=(RED, GREEN), **more):
    """Bands of colour over time: two states."""
    mapping = {str(value): {"text": words[value], "color": colours[value], "index": value} for value in (0, 1)}
    defaults = {
        "mappings": [{"type": "value", "options": mapping}],
        "thresholds": steps((None, colours[0]), (1, colours[1])),
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 85, "lineWidth": 0},
    }
    options = {"mergeValues": True, "showValue": "auto", "rowHeight": 0.85, "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
    return panel("state-timeline", title, "bool", description, *queries, defaults=defaults, options=options, **more)


def heat(title, unit, description, expr, **more):
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64, "exponent": 0.5},
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "tooltip": {"show": True, "yHistogram": False},
    }
    return panel("heatmap", title, unit, description, ("{{le}}", expr), options=options, **more)


def variable(name, label, query, default=".*"):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": default,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


SITE = variable("site", "Site", 'label_values(up{job="tandem"}, site)')
NODE = variable("node", "Node", 'label_values(up{job="tandem", site=~"$site"}, node)')
TRUNK = variable("trunk", "Trunk", "label_values(tandem_call_attempts_total, trunk)")
DIRECTION = variable("direction", "Direction", "label_values(tandem_call_attempts_total, direction)")

# What shows the death of a site at a glance; on top of two dashboards.
NODES_ALIVE = timeline(
    "Nodes, as the others hear them",
    "A band a node: up while any other node hears it. A site that dies is a band that turns red; a band that is red for some and "
    "not for others is a cut link, see dashboard Failover.",
    ("{{peer}}", "max by (peer) (tandem_node_up)"),
    width=24,
    height=6,
)
CALLS_BY_SITE = lines(
    "Calls by site",
    "short",
    "Answered calls that are up, stacked: when a site dies its colour ends and the others grow by as much. A notch in the outline is "
    "calls that were lost, or wait to be taken over.",
    ("{{site}}", f"sum by (site) (tandem_calls_active{{direction=\"ingress\", {AT_SITE}}})"),
    stack=True,
    low=0,
    width=12,
)
TAKEOVERS = lines(
    "Calls taken over, since the nodes started",
    "short",
    "By result. kept: both parties followed. ringing: it was not answered yet. ended: the party said that the call was over. silent: it did not answer. ended_elsewhere, "
    "stale: there was nothing to take any more. refused, unreadable: it could not be taken.",
    ("{{site}} {{result}}", or_none(f"sum by (site, result) (tandem_takeover_calls_total{{{AT_SITE}}})", "result")),
    low=0,
    width=12,
)
GAPS = lines(
    "Silence that takeovers made",
    "s",
    "Quantiles of the gap on each leg, over all takeovers since the nodes started. No line: no call was taken over yet.",
    ("median", quantile(0.5, "tandem_media_gap_seconds", match=AT_SITE, window="")),
    ("95th percentile", quantile(0.95, "tandem_media_gap_seconds", match=AT_SITE, window="")),
    ("99th percentile", quantile(0.99, "tandem_media_gap_seconds", match=AT_SITE, window="")),
    low=0,
)
UNPROTECTED = lines(
    "Calls without a copy in another site",
    "short",
    "They would end if their site died now. A short peak after a death is usual, a plateau is not.",
    ("{{site}}", f"sum by (site) (tandem_calls_unprotected{{{AT_SITE}}})"),
    low=0,
)


def cluster():
    return [
        number("Nodes down", "short", "Nodes that neither Prometheus nor another node hears.",
               ("down", "count(node:tandem_down:bool) or vector(0)"), steps((None, GREEN), (1, RED))),
        number("Alerts", "short", "Alerts that fire now; Prometheus lists them under Alerts.",
               ("firing", 'count(ALERTS{alertstate="firing"}) or vector(0)'), steps((None, GREEN), (1, ORANGE), (5, RED))),
        number("Calls up", "short", "Answered calls of the whole cluster.",
               ("calls", 'sum(tandem_calls_active{direction="ingress"})')),
        number("Calls a second", "cps", "Calls that came in during the last minute.",
               ("attempts/s", 'sum(trunk_direction_site:tandem_call_attempts:rate1m{direction="ingress"})')),
        number("Unprotected", "short", "Calls without a copy in another site.",
               ("unprotected", "sum(tandem_calls_unprotected)"), steps((None, GREEN), (10, ORANGE), (100, RED))),
        number("Leader of the tables", "short", "The node that leads; red: nobody, so no change can be made.",
               ("{{node}}", '(max by (node) (tandem_raft_leader) == 1) or on () label_replace(vector(0), "node", "nobody", "", "")'),
               steps((None, RED), (1, GREEN)), name=True),
        NODES_ALIVE,
        CALLS_BY_SITE,
        lines("Calls a second by site", "cps", "Calls that came in, stacked.",
              ("{{site}}", f'sum by (site) (trunk_direction_site:tandem_call_attempts:rate1m{{direction="ingress", {AT_SITE}}})'),
              stack=True, low=0, width=12),
        lines("NER and ASR of all calls that came in", "percentunit", "By site. NER is what was delivered, ASR what was answered; the definitions are in recording.yml.",
              ("{{site}} NER", f'sum by (site) (trunk_direction_site:tandem_calls_delivered:rate5m{{direction="ingress", {AT_SITE}}}) / (sum by (site) (trunk_direction_site:tandem_call_attempts:rate5m{{direction="ingress", {AT_SITE}}}) > 0)'),
              ("{{site}} ASR", f'sum by (site) (trunk_direction_site:tandem_calls_answered:rate5m{{direction="ingress", {AT_SITE}}}) / (sum by (site) (trunk_direction_site:tandem_call_attempts:rate5m{{direction="ingress", {AT_SITE}}}) > 0)'),
              low=0, high=1),
        UNPROTECTED,
        lines("Refused before a call saw it", "cps", "SIP messages that were dropped or refused, by reason. source_rate and unknown_source are the internet's noise; overload and stalled are ours.",
              ("{{reason}}", or_none(f"sum by (reason) (rate(tandem_sip_rejected_total{{{AT_SITE}}}[1m]))", "reason")), low=0),
        lines("Registrations", "short", "Contacts that are registered, by site.",
              ("{{site}}", f"sum by (site) (tandem_registrations{{{AT_SITE}}})"), low=0),
        lines("Round trip between nodes", "s", "As each node measures it to each other one.",
              ("{{node}} to {{peer}}", f"tandem_mesh_round_trip_seconds{{{AT_SITE}}}"), low=0),
        lines("Revision of the tables", "short", "All lines together: everybody routes by the same tables.",
              ("{{node}}", f"tandem_table_revision{{{AT_SITE}}}")),
    ]


def trunks():
    both = "trunk, direction"
    table = panel(
        "table", "Trunks, last five minutes", "short",
        "A row a trunk and direction. Attempts and ratios of five minutes, call duration of fifteen; channels of the whole cluster.",
        ("attempts/s", f"sum by ({both}) (trunk_direction_site:tandem_call_attempts:rate5m{{{OF_TRUNK}}})"),
        ("ASR", f"trunk_direction:tandem_asr:ratio5m{{{OF_TRUNK}}}"),
        ("NER", f"trunk_direction:tandem_ner:ratio5m{{{OF_TRUNK}}}"),
        ("ACD", f"sum by ({both}) (trunk_direction:tandem_call_duration_seconds:avg_15m{{{OF_TRUNK}}})"),
        ("calls", f"sum by ({both}) (tandem_calls_active{{{OF_TRUNK}}})"),
        width=24, height=9,
        transformations=[
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {
                "excludeByName": {"Time": True, "__name__": True},
                "renameByName": {"Value #A": "attempts/s", "Value #B": "ASR", "Value #C": "NER", "Value #D": "ACD", "Value #E": "calls"}}},
        ],
        overrides=[
            {"matcher": {"id": "byRegexp", "options": "ASR|NER"}, "properties": [
                {"id": "unit", "value": "percentunit"}, {"id": "custom.cellOptions", "value": {"type": "color-background"}},
                {"id": "thresholds", "value": steps((None, RED), (0.4, ORANGE), (0.6, GREEN))}]},
            {"matcher": {"id": "byName", "options": "ACD"}, "properties": [{"id": "unit", "value": "s"}]},
            {"matcher": {"id": "byName", "options": "attempts/s"}, "properties": [{"id": "unit", "value": "cps"}]},
        ],
        options={"showHeader": True, "sortBy": [{"displayName": "NER", "desc": False}]},
    )
    return [
        table,
        lines("NER", "percentunit", "What the network delivered of the attempts, a minute at a time: the first line that falls names the partner.",
              ("{{trunk}} {{direction}}", f"trunk_direction:tandem_ner:ratio1m{{{OF_TRUNK}}}"), low=0, high=1, width=12),
        lines("ASR", "percentunit", "What was answered of the attempts, a minute at a time.",
              ("{{trunk}} {{direction}}", f"trunk_direction:tandem_asr:ratio1m{{{OF_TRUNK}}}"), low=0, high=1, width=12),
        lines("Failures by SIP code", "cps", "Attempts that ended without an answer. 486, 480, 487, 600, 603 and 607 are people; all others are networks. 408: the gateway said nothing.",
              ("{{trunk}} {{sip_code}}", or_none(f"sum by (trunk, sip_code) (rate(tandem_call_failures_total{{{OF_TRUNK}, {AT_SITE}}}[1m]))", "sip_code")),
              stack=True, low=0, width=12),
        lines("Attempts a second", "cps", "Calls from the trunk (ingress) and attempts to it (egress).",
              ("{{trunk}} {{direction}}", f"sum by ({both}) (trunk_direction_site:tandem_call_attempts:rate1m{{{OF_TRUNK}, {AT_SITE}}})"), low=0, width=12),
        lines("Channels in use", "percentunit", "Calls up over the whole cluster / the limit of the trunk; trunks without a limit have no line.",
              ("{{trunk}}", 'trunk:tandem_channels_used:ratio{trunk=~"$trunk"} or on () label_replace(vector(0), "trunk", "no trunk with a limit", "", "")'),
              low=0, high=1),
        timeline("Gateways by site", "Whether each gateway answers our OPTIONS, as each site sees it. Red at one site only: the way from there.",
                 ("{{trunk}} {{gateway}} from {{site}}", f'max by (trunk, gateway, site) (tandem_gateway_up{{trunk=~"$trunk", {AT_SITE}}})'), width=16),
        lines("NER by site", "percentunit", "One site below the others: the way from that site to the partner.",
              ("{{trunk}} {{direction}} {{site}}", f"trunk_direction_site:tandem_ner:ratio5m{{{OF_TRUNK}, {AT_SITE}}}"), low=0, high=1),
        lines("Post-dial delay, 95th percentile", "s", "From the INVITE to ringing.",
              ("{{trunk}}", f"trunk_direction:tandem_post_dial_delay_seconds:p95_5m{{trunk=~\"$trunk\"}}"), low=0),
        lines("Average call duration", "s", "Of the calls that ended in fifteen minutes. A sudden fall to a few seconds: false answers, or no audio.",
              ("{{trunk}} {{direction}}", f"trunk_direction:tandem_call_duration_seconds:avg_15m{{{OF_TRUNK}}}"), low=0),
    ]


def quality():
    trunk = 'trunk=~"$trunk"'
    return [
        lines("MOS, worst tenth", "none", "The 10th percentile: a tenth of the calls that ended in five minutes sounded worse. 4.4 is the best that G.711 can have; below 3.6 people complain.",
              ("{{trunk}}", f"trunk_direction:tandem_mos:p10_5m{{{trunk}}}"), low=1, high=4.5, width=12),
        lines("MOS, median by site", "none", "One site below the others: our uplink there. All sites: the partner's network.",
              ("{{trunk}} {{site}}", f"trunk_direction_site:tandem_mos:p50_5m{{{trunk}, {AT_SITE}}}"), low=1, high=4.5, width=12),
        lines("MOS, average", "none", "Of the calls that ended in five minutes.",
              ("{{trunk}}", f"trunk_direction:tandem_mos:avg_5m{{{trunk}}}"), low=1, high=4.5),
        lines("One-way audio", "cps", "Answered calls in which this trunk sent nothing while the other side spoke.",
              ("{{trunk}} {{direction}}", or_none(f"sum by (trunk, direction) (rate(tandem_media_one_way_total{{{OF_TRUNK}, {AT_SITE}}}[1m]))", "trunk")), low=0),
        lines("No audio", "cps", "Answered calls in which nobody sent anything.",
              ("{{trunk}} {{direction}}", or_none(f"sum by (trunk, direction) (rate(tandem_media_silent_total{{{OF_TRUNK}, {AT_SITE}}}[1m]))", "trunk")), low=0),
        lines("Post-dial delay", "s", "Median and 95th percentile, over five minutes.",
              ("{{trunk}} median", f"trunk_direction:tandem_post_dial_delay_seconds:p50_5m{{{trunk}}}"),
              ("{{trunk}} 95th percentile", f"trunk_direction:tandem_post_dial_delay_seconds:p95_5m{{{trunk}}}"), low=0, width=12),
        lines("RTP packets lost", "percentunit", "By their sequence numbers, of all that came or should have.",
              ("{{site}}", f"sum by (site) (rate(tandem_rtp_lost_packets_total{{{AT_SITE}}}[1m])) / (sum by (site) (rate(tandem_rtp_packets_total{{{AT_SITE}}}[1m]) + rate(tandem_rtp_lost_packets_total{{{AT_SITE}}}[1m])) > 0)"),
              low=0, width=12),
        lines("RTP packets relayed", "pps", "Fifty a second for each direction of each call, with the usual 20 ms.",
              ("{{site}}", f"sum by (site) (rate(tandem_rtp_packets_total{{{AT_SITE}}}[1m]))"), stack=True, low=0),
        lines("RTP packets dropped", "pps", "By reason. source: from an address that nobody signalled. payload: not negotiated. held: on hold. no_remote: nobody knows yet where to.",
              ("{{reason}}", or_none(f"sum by (reason) (rate(tandem_rtp_dropped_total{{{AT_SITE}}}[1m]))", "reason")), low=0),
        heat("MOS, all calls", "none", "How many calls ended with which MOS; a second band below is one partner or one site.",
             f"sum by (le) (increase(tandem_mos_bucket{{{trunk}, {AT_SITE}}}[5m]))"),
        heat("Post-dial delay, all calls", "s", "How many calls rang after how long.",
             f"sum by (le) (increase(tandem_post_dial_delay_seconds_bucket{{{trunk}, {AT_SITE}}}[5m]))", width=24),
    ]


def failover():
    return [
        NODES_ALIVE,
        CALLS_BY_SITE,
        TAKEOVERS,
        GAPS,
        UNPROTECTED,
        lines("Calls that wait to be taken over", "short", "They are ours and wait for their turn; it must fall to none within seconds.",
              ("{{node}}", f"tandem_takeover_waiting{{{AT_SITE}}}"), low=0),
        timeline("Who hears whom", "A band for each pair. Red in one direction or between two nodes only: a cut link.",
                 ("{{node}} hears {{peer}}", f"max by (node, peer) (tandem_node_up{{{AT_SITE}}})"), width=12, height=10),
        timeline("Scrapes of Prometheus", "Whether Prometheus itself reaches each node.",
                 ("{{site}} {{node}}", f'up{{job="tandem", {AT_SITE}}}'), width=12, height=10),
        timeline("Leader of the tables", "Green: this node leads. Nobody green: no change of the tables, and no takeover.",
                 ("{{node}}", f"max by (node) (tandem_raft_leader{{{AT_SITE}}})"), words=("follows", "leads"), colours=(GREY, GREEN), width=12),
        lines("Lease left", "s", "A lease lasts 1 s and is renewed every 0.2 s. At 0 the node may not act for its calls.",
              ("{{node}}", f"tandem_lease_remaining_seconds{{{AT_SITE}}}"), low=0, width=12),
        lines("Time until a call was ours", "s", "From the loss of a node until a call of it was taken over; of all takeovers since the nodes started.",
              ("median", quantile(0.5, "tandem_takeover_seconds", match=AT_SITE, window="")),
              ("95th percentile", quantile(0.95, "tandem_takeover_seconds", match=AT_SITE, window="")), low=0),
        lines("Lag of the copies, 99th percentile", "s", "Until the backup confirmed the state of a call. Above the round trip and 10 ms a call goes on without waiting.",
              ("{{site}}", quantile(0.99, "tandem_checkpoint_lag_seconds", by="site", match=AT_SITE)), low=0),
        lines("Calls that went on without waiting", "cps", "Their copy was not confirmed in time.",
              ("{{site}}", or_none(f"sum by (site) (rate(tandem_checkpoints_late_total{{{AT_SITE}}}[1m]))", "site")), low=0),
        lines("Copies kept for others", "short", "Calls of other nodes whose state is kept here.",
              ("{{node}}", f"tandem_checkpoints_kept{{{AT_SITE}}}"), low=0),
        lines("Calls given up without a word", "short", "Because another node has them, since the nodes started. Usual after a node stood still or was cut off.",
              ("{{node}}", or_none(f"sum by (node) (tandem_calls_abandoned_total{{{AT_SITE}}})", "node")), low=0),
        lines("Call records on their way", "short", "undecided: of calls that may go on elsewhere. without copy: on one disk only.",
              ("{{node}} undecided", or_none(f"sum by (node) (tandem_cdr_undecided{{{AT_SITE}}})", "node")),
              ("{{node}} without copy", f"tandem_cdr_unreplicated{{{AT_SITE}}}"), low=0),
        lines("Term of the tables", "short", "A step is an election; steps all the time are a network or a disk that is too slow.",
              ("{{node}}", f"tandem_raft_term{{{AT_SITE}}}")),
    ]


def node():
    return [
        number("Up for", "s", "Since the process started; the youngest of those chosen.",
               ("youngest", f"time() - max(process_start_time_seconds{{job=\"tandem\", {ON_NODE}}})")),
        number("Calls", "short", "Answered calls that are up.", ("calls", f'sum(tandem_calls_active{{direction="ingress", {ON_NODE}}})')),
        number("Media sessions", "short", "On the relay.", ("sessions", f"sum(tandem_relay_sessions{{{ON_NODE}}})")),
        number("Free port pairs", "short", "Of the node that has the fewest; a call with audio takes two.",
               ("fewest", f"min(tandem_relay_free_port_pairs{{{ON_NODE}}})"), steps((None, RED), (100, ORANGE), (500, GREEN))),
        number("Disk left", "percentunit", "Of the fullest disk.",
               ("least", f"min(tandem_disk_free_bytes{{{ON_NODE}}} / tandem_disk_size_bytes{{{ON_NODE}}})"), steps((None, RED), (0.05, ORANGE), (0.2, GREEN))),
        number("Overload", "percentunit", "Share of new calls that is refused.",
               ("most", f"max(tandem_overload_level{{{ON_NODE}}})"), steps((None, GREEN), (0.01, RED))),
        lines("Processor", "percentunit", "1 is one core. The packet threads are shown apart, and are part of the whole.",
              ("{{node}}", f'rate(process_cpu_seconds_total{{job="tandem", {ON_NODE}}}[1m])'),
              ("{{node}} packets", f"rate(tandem_relay_cpu_seconds_total{{{ON_NODE}}}[1m])"), low=0),
        lines("Memory", "bytes", "Resident.", ("{{node}}", f'process_resident_memory_bytes{{job="tandem", {ON_NODE}}}'), low=0),
        lines("Open files", "percentunit", "Of the limit (LimitNOFILE). A call with audio needs four.",
              ("{{node}}", f'process_open_fds{{job="tandem", {ON_NODE}}} / process_max_fds{{job="tandem", {ON_NODE}}}'), low=0, high=1),
        lines("SIP requests", "reqps", "By method and way.",
              ("{{method}} {{way}}", f'sum by (method, way) (rate(tandem_sip_messages_total{{code="", {ON_NODE}}}[1m]))'), low=0, width=12),
        lines("SIP responses", "reqps", "By code and way; many 408, 500 or 503 out are ours.",
              ("{{code}} {{way}}", f'sum by (code, way) (rate(tandem_sip_messages_total{{code!="", {ON_NODE}}}[1m]))'), low=0, width=12),
        lines("Refused", "cps", "SIP messages dropped or refused before a call saw them.",
              ("{{node}} {{reason}}", or_none(f"sum by (node, reason) (rate(tandem_sip_rejected_total{{{ON_NODE}}}[1m]))", "reason")), low=0),
        lines("Full queues", "cps", "What was dropped because a queue or a table was full.",
              ("{{node}} {{queue}}", or_none(f"sum by (node, queue) (rate(tandem_queue_full_total{{{ON_NODE}}}[1m]))", "queue")), low=0),
        lines("Actors restarted", "short", "Since the process started; every one is a defect.",
              ("{{node}} {{actor}}", or_none(f"sum by (node, actor) (tandem_actor_restarts_total{{{ON_NODE}}})", "actor")), low=0),
        lines("Media sessions and free ports", "short", "Pairs of ports.",
              ("{{node}} sessions", f"tandem_relay_sessions{{{ON_NODE}}}"), ("{{node}} free pairs", f"tandem_relay_free_port_pairs{{{ON_NODE}}}"), low=0),
        lines("Call records waiting", "short", "In the outbox, in no file yet. A saw of five seconds is usual.",
              ("{{node}}", f"tandem_cdr_pending{{{ON_NODE}}}"), low=0),
        lines("Call records written", "cps", "Rows in closed files.",
              ("{{node}}", f"rate(tandem_cdr_written_total{{{ON_NODE}}}[1m])"), low=0),
        lines("Free space", "bytes", "Where data_dir is.", ("{{node}} {{path}}", f"tandem_disk_free_bytes{{{ON_NODE}}}"), low=0),
        lines("Certificates end in", "s", "Of [cluster.tls] and [sip.tls]; no line: none is in use.",
              ("{{node}} {{file}}", f'tandem_certificate_expiry_timestamp_seconds{{{ON_NODE}}} - time() or on () label_replace(vector(0), "file", "none in use", "", "")')),
        lines("Log of the tables not applied yet", "short", "Above 0 for long: the disk is too slow.",
              ("{{node}}", f"tandem_raft_log_lag{{{ON_NODE}}}"), low=0),
    ]


def place(panels):
    """Left to right, a new row when the width of 24 is full."""
    x = y = tallest = 0
    for number, made in enumerate(panels, 1):
        width, height = made.pop("size")
        if x + width > 24:
            x, y, tallest = 0, y + tallest, 0
        made["id"], made["gridPos"] = number, {"x": x, "y": y, "w": width, "h": height}
        x, tallest = x + width, max(tallest, height)
    return panels


def dashboard(uid, title, panels, variables):
    return {
        "uid": uid,
        "title": title,
        "tags": ["tandem"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "title": "Tandem", "tags": ["tandem"], "asDropdown": True, "keepTime": True, "includeVars": True}],
        "annotations": {"list": []},
        "templating": {"list": variables},
        "panels": place(panels),
    }


def main():
    copy = lambda panels: json.loads(json.dumps(panels))
    boards = {
        "cluster": dashboard("tandem-cluster", "Cluster", copy(cluster()), [SITE]),
        "trunks": dashboard("tandem-trunks", "Trunks and partners", copy(trunks()), [SITE, TRUNK, DIRECTION]),
        "quality": dashboard("tandem-quality", "Quality", copy(quality()), [SITE, TRUNK, DIRECTION]),
        "failover": dashboard("tandem-failover", "Failover", copy(failover()), [SITE]),
        "node": dashboard("tandem-node", "Node", copy(node()), [SITE, NODE]),
    }
    stale = []
    for name, board in boards.items():
        path, text = HERE / "dashboards" / f"{name}.json", json.dumps(board, indent=1, ensure_ascii=False) + "\n"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run deploy/grafana/generate.py")


if __name__ == "__main__":
    main()
