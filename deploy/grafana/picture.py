#!/usr/bin/env python3
"""Draws the dashboards as pages without Grafana: the same panels, in the same places, by the same queries of a Prometheus.

    picture.py http://127.0.0.1:9090 --minutes 10 --to DIR     writes DIR/<dashboard>.html, one drawing (SVG) in each

For a look at what a dashboard would have shown, of a test or of an incident, where there is no Grafana. It is no Grafana: no colours by
choice, no tooltips, and all that may be chosen above a dashboard is chosen. Exit 1 with what and where if Prometheus refuses a query.
"""

import argparse
import html
import json
import math
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
# A unit of Grafana's grid, in pixels; a picture is 24 columns wide.
COLUMN, ROW = 60, 32
MARGIN = 10
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#37872d", "#fade2a", "#1f60c4", "#fa6400", "#c4162a", "#8f3bb8")
GREEN, RED, GREY, INK, PAPER, PANEL = "#56a64b", "#e02f44", "#8e8e8e", "#d8d9da", "#111217", "#181b1f"
# Points of a line, at most.
STEPS = 300
LEGEND = 9


class Refused(Exception):
    """Prometheus did not answer a query."""


class Prometheus:
    """Asks one Prometheus for a span of time."""

    def __init__(self, url, start, end, step):
        self.url, self.start, self.end, self.step = url.rstrip("/"), start, end, step

    def _ask(self, path, form):
        body = urllib.parse.urlencode(form).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", body, timeout=30) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise Refused(f"{form['query']}: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise Refused(f"{self.url}: {error}") from error

    def lines(self, query):
        """[(labels, [(time, value)])] over the span."""
        asked = self._ask("query_range", {"query": query, "start": self.start, "end": self.end, "step": self.step})
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in asked]

    def now(self, query):
        """[(labels, value)] at the end of the span."""
        asked = self._ask("query", {"query": query, "time": self.end})
        return [(one["metric"], float(one["value"][1])) for one in asked]


def filled(query, step):
    """A query with everything chosen, and Grafana's own variables replaced."""
    query = query.replace("$__rate_interval", f"{max(60, step * 4)}s").replace("$__interval", f"{step}s")
    return re.sub(r"\$(site|direction|trunk|node)\b", ".*", query)


def name_of(target, labels):
    legend = target.get("legendFormat") or ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip() or "value"


def short(value, unit):
    """A value as people read it."""
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.1f} %".replace(".0 %", " %")
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB"):
            if abs(value) < 1024 or name == "GiB":
                return f"{value:.0f} {name}" if name == "B" else f"{value:.1f} {name}"
            value /= 1024
    if unit == "s" and value:
        if abs(value) < 1:
            return f"{value * 1000:.3g} ms"
        if abs(value) >= 7200:
            return f"{value / 3600:.1f} h" if abs(value) < 172800 else f"{value / 86400:.1f} d"
    suffix = {"s": " s", "cps": "/s", "reqps": "/s", "pps": "/s"}.get(unit, "")
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g} k{suffix}"
    return f"{value:.4g}{suffix}" if abs(value) >= 1000 else f"{value:.3g}{suffix}"


def text(x, y, words, size=11, colour=INK, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(words)}</text>'


class Box:
    """Where a panel draws: pixels, and the span of time from left to right."""

    def __init__(self, x, y, width, height, start, end):
        self.x, self.y, self.width, self.height, self.start, self.end = x, y, width, height, start, end

    def at(self, moment):
        return self.x + (moment - self.start) / max(self.end - self.start, 1) * self.width

    def axis(self):
        out = []
        for part in range(5):
            moment = self.start + (self.end - self.start) * part / 4
            anchor = "start" if part == 0 else "end" if part == 4 else "middle"
            out.append(text(self.at(moment), self.y + self.height + 13, time.strftime("%H:%M:%S", time.gmtime(moment)), 9, GREY, anchor))
        return out


def ticks(low, high):
    """About four round values from low to high."""
    raw = (high - low) / 4
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_lines(box, panel, lines, step):
    defaults = panel["fieldConfig"]["defaults"]
    unit, custom = defaults.get("unit", "short"), defaults.get("custom", {})
    if custom.get("stacking", {}).get("mode") == "normal":
        total, stacked = {}, []
        for name, points in lines:
            for at, value in points:
                total[at] = total.get(at, 0) + (0 if math.isnan(value) else value)
            stacked.append((name, [(at, total[at]) for at, _ in points]))
        drawn = stacked
    else:
        drawn = lines
    values = [value for _, points in drawn for _, value in points if math.isfinite(value)]
    if not values:
        return [text(box.x + box.width / 2, box.y + box.height / 2, "no data", 13, RED, "middle")]
    low, high = defaults.get("min", min(values)), defaults.get("max", max(values))
    low, high = min(low, *values), max(high, *values)
    if high - low < 1e-12:
        high = low + (abs(low) or 1)
    rows = min(len(lines), LEGEND)
    left, legend = 58, 14 * ((rows + 2) // 3) + 4
    inner = Box(box.x + left, box.y, box.width - left, box.height - legend - 16, box.start, box.end)
    height = lambda value: inner.y + inner.height * (1 - (value - low) / (high - low))
    out = inner.axis()
    for tick in ticks(low, high):
        out.append(f'<line x1="{inner.x}" x2="{inner.x + inner.width}" y1="{height(tick):.1f}" y2="{height(tick):.1f}" stroke="#2c3235"/>')
        out.append(text(inner.x - 5, height(tick) + 3, short(tick, unit), 9, GREY, "end"))
    for number, (name, points) in enumerate(drawn):
        path, before = "", None
        for at, value in points:
            if not math.isfinite(value):
                before = None
                continue
            # What was not scraped is a gap.
            path += f"{'L' if before is not None and at - before <= step * 2.5 else 'M'}{inner.at(at):.1f} {height(value):.1f} "
            before = at
        colour = COLOURS[number % len(COLOURS)]
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linecap="round"/>')
    for number, (name, points) in enumerate(lines[:LEGEND]):
        x, y = box.x + 4 + (number % 3) * box.width / 3, box.y + box.height - legend + 14 + 14 * (number // 3)
        last = next((value for _, value in reversed(points) if math.isfinite(value)), math.nan)
        more = f" … {len(lines) - LEGEND} more" if number == LEGEND - 1 and len(lines) > LEGEND else ""
        out.append(f'<rect x="{x:.1f}" y="{y - 7:.1f}" width="10" height="4" fill="{COLOURS[number % len(COLOURS)]}"/>')
        room = int((box.width / 3 - 18) / 5.7) - len(more) - len(short(last, unit)) - 2
        out.append(text(x + 14, y - 2, f"{name if len(name) <= room else name[: max(room - 1, 1)] + '…'}: {short(last, unit)}{more}", 10))
    return out


def draw_bands(box, panel, lines, step):
    """A state-timeline: each value in the colour of its threshold, nothing where nobody knows."""
    lines, defaults = sorted(lines), panel["fieldConfig"]["defaults"]
    if not lines:
        return [text(box.x + box.width / 2, box.y + box.height / 2, "no data", 13, RED, "middle")]
    left, pitch = (260 if box.width > 600 else 170), min(26, (box.height - 18) / len(lines))
    inner = Box(box.x + left, box.y, box.width - left, pitch * len(lines), box.start, box.end)
    out = inner.axis()
    for number, (name, points) in enumerate(lines):
        y = inner.y + pitch * number
        out.append(text(inner.x - 6, y + pitch * 0.65, name if len(name) <= left // 7 else name[: left // 7 - 1] + "…", min(11, pitch * 0.8), INK, "end"))
        for (at, value), after in zip(points, [at for at, _ in points[1:]] + [box.end]):
            until = min(after, at + step * 2.5)
            colour = colour_of(defaults, value)
            out.append(f'<rect x="{inner.at(at):.1f}" y="{y + 1:.1f}" width="{max(inner.at(until) - inner.at(at) + 0.3, 0.5):.1f}" height="{pitch - 2:.1f}" fill="{colour}"/>')
    return out


def colour_of(defaults, value):
    colour = "green"
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step.get("value") is None or value >= step["value"]:
            colour = step["color"]
    return {"green": GREEN, "red": RED, "yellow": "#f2cc0c", "orange": "#ff9830"}.get(colour, colour if colour.startswith("#") else INK)


def draw_number(box, panel, answers):
    defaults = panel["fieldConfig"]["defaults"]
    named = panel.get("options", {}).get("textMode") == "name"
    words = [(name if named else short(value, defaults.get("unit", "short")), colour_of(defaults, value)) for name, value in answers]
    if not words:
        words = [("no data", RED)]
    return [text(box.x + box.width / 2, box.y + box.height / 2 + 8 + 24 * number, word, 26, colour, "middle", "bold") for number, (word, colour) in enumerate(words[:2])]


def draw_table(box, panel, columns):
    """Rows by trunk and direction, a column a query."""
    rows = sorted({key for _, cells in columns for key in cells})
    overrides = [(one["matcher"]["options"], one["properties"]) for one in panel["fieldConfig"].get("overrides", [])]
    out, wide = [], box.width / (len(columns) + 1)
    out += [text(box.x + wide * (number + 1), box.y + 12, name, 11, GREY) for number, (name, _) in enumerate(columns)]
    for number, key in enumerate(rows[: int((box.height - 20) // 17)]):
        y = box.y + 30 + 17 * number
        out.append(text(box.x + 6, y, " ".join(key), 11))
        for column, (name, cells) in enumerate(columns):
            properties = {one["id"]: one["value"] for names, all in overrides if re.fullmatch(names, name) for one in all}
            value = cells.get(key, math.nan)
            colour = INK if math.isnan(value) or "thresholds" not in properties else colour_of(properties, value)
            out.append(text(box.x + wide * (column + 1), y, short(value, properties.get("unit", "short")), 11, colour))
    return out


def draw_heat(box, panel, lines):
    """Cumulative buckets, one row each; the darker the fewer."""
    def bound(name):
        try:
            return float(name.replace("+Inf", "inf"))
        except ValueError:
            return math.inf
    lines = sorted(lines, key=lambda line: bound(line[0]))
    cells, below = [], {}
    for name, points in lines:
        cells.append((name, [(at, max(value - below.get(at, 0), 0)) for at, value in points]))
        below = dict(points)
    most = max((value for _, points in cells for _, value in points if math.isfinite(value)), default=0)
    if not most:
        return [text(box.x + box.width / 2, box.y + box.height / 2, "no data" if not cells else "all 0", 13, RED if not cells else GREY, "middle")]
    inner = Box(box.x + 58, box.y, box.width - 58, box.height - 16, box.start, box.end)
    pitch, out = inner.height / len(cells), inner.axis()
    for number, (name, points) in enumerate(cells):
        y = inner.y + inner.height - pitch * (number + 1)
        out.append(text(inner.x - 5, y + pitch * 0.7, name, min(9, pitch), GREY, "end"))
        for (at, value), after in zip(points, [at for at, _ in points[1:]] + [box.end]):
            if value > 0:
                out.append(f'<rect x="{inner.at(at):.1f}" y="{y:.1f}" width="{inner.at(after) - inner.at(at) + 0.3:.1f}" height="{pitch:.1f}" fill="#ff9830" fill-opacity="{0.15 + 0.85 * value / most:.2f}"/>')
    return out


def draw_panel(prometheus, panel):
    place = panel["gridPos"]
    x, y = place["x"] * COLUMN + MARGIN, place["y"] * ROW
    width, height = place["w"] * COLUMN - MARGIN, place["h"] * ROW - MARGIN
    out = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="{PANEL}" stroke="#2c3235"/>', text(x + 8, y + 17, panel["title"], 13, weight="bold")]
    box = Box(x + 8, y + 28, width - 16, height - 34, prometheus.start, prometheus.end)
    targets = [(target, filled(target["expr"], prometheus.step)) for target in panel.get("targets", [])]
    kind = panel["type"]
    if kind == "stat":
        answers = [(name_of(target, labels), value) for target, query in targets for labels, value in prometheus.now(query)]
        return out + draw_number(box, panel, answers)
    if kind == "table":
        key = lambda labels: tuple(value for name, value in sorted(labels.items(), reverse=True) if name in ("trunk", "direction"))
        columns = [(target["legendFormat"], {key(labels): value for labels, value in prometheus.now(query)}) for target, query in targets]
        return out + draw_table(box, panel, columns)
    lines = [(name_of(target, labels), points) for target, query in targets for labels, points in prometheus.lines(query)]
    if kind == "state-timeline":
        return out + draw_bands(box, panel, lines, prometheus.step)
    if kind == "heatmap":
        return out + draw_heat(box, panel, lines)
    return out + draw_lines(box, panel, lines, prometheus.step)


def page(prometheus, dashboard):
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW + MARGIN
    width = 24 * COLUMN + MARGIN
    drawn = "\n".join(part for panel in panels for part in draw_panel(prometheus, panel))
    span = " to ".join(time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) for at in (prometheus.start, prometheus.end))
    title = f"{dashboard['title']}, {span} UTC"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="DejaVu Sans, Arial, sans-serif">\n<rect width="{width}" height="{height}" fill="{PAPER}"/>\n{drawn}\n</svg>\n'
    return svg, f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title><body style="background:{PAPER};color:{INK};font-family:sans-serif"><h2>{html.escape(title)}</h2>\n{svg}</body>\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prometheus", help="its address, such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=60, help="how far back (60)")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("."), help="the folder to write to")
    asked = parser.parse_args()
    end = int(time.time())
    start = end - max(int(asked.minutes * 60), 60)
    step = max((end - start) // STEPS, 5)
    prometheus = Prometheus(asked.prometheus, start, end, step)
    asked.to.mkdir(parents=True, exist_ok=True)
    for file in sorted((HERE / "dashboards").glob("*.json")):
        svg, whole = page(prometheus, json.loads(file.read_text()))
        (asked.to / f"{file.stem}.html").write_text(whole)
        (asked.to / f"{file.stem}.svg").write_text(svg)
        print(asked.to / f"{file.stem}.html")


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        print(f"picture.py: {error}", file=sys.stderr)
        sys.exit(1)
