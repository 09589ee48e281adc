"""Which charts the rows of a report ask for, as plotly figures. The shape of the rows decides:

weekday and hour of the day: a map of them; a day, week, month or hour: lines and bars over time, one for each of the
largest keys; a moment: how many rows there were on each day; none of these: bars, the largest on top.
"""

import html
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import ceil

from rich.cells import cell_len

from llm_db.report.query import Column, View
from llm_db.report.values import as_number
from llm_db.report.words import Words

Row = Sequence[object]
Number = int | float
Figure = dict[str, object]

CHARTS = 12
SERIES = 8
RANKED = 20
LABEL_LENGTH = 40
HEIGHT = 340
# Wide enough for 100,000,000.
MARGIN = {"l": 85, "r": 20, "t": 10, "b": 40}
# More hours than these are added up to days: their bars would be thinner than a pixel.
BARS = 200
# Okabe and Ito's, which people with any kind of colour vision can tell apart; grey is for the others.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#B8A800", "#000000")
GREY = "#BBBBBB"

RATIO = re.compile(r"(.*_)?(share|rate|ratio|percent|change|stickiness)")
# A sum of these over departments, say, is nothing that was ever measured.
NO_SUM = re.compile(
    RATIO.pattern + r"|(.*_)?(mean|median|p\d+|max|min|per|latency)_.*|(daily|weekly|monthly)_active_.*"
)
# The period before, and how complete the other numbers are: left to the table.
UNDRAWN = re.compile(r".*_(before|change)|answered_requests|requests_without_tokens")


@dataclass(frozen=True)
class Chart:
    columns: list[Column]
    figure: Figure
    note: str = ""


def draw(view: View, rows: list[Row]) -> list[Chart]:
    if view.time:
        # A time that Python does not know is a text: it is in the table, and on no axis.
        rows = [row for row, time in zip(rows, values(view, rows, view.time), strict=True) if not isinstance(time, str)]
    if not rows:
        return []
    if view.time and view.time.name.endswith("_time"):
        return [rows_by_day(view, rows)]
    measures = [column for column in view.columns if column.is_measure and not UNDRAWN.fullmatch(column.name)]
    # The main one first, the others as the view has them.
    measures.sort(key=lambda column: column != view.main)
    if {"weekday", "hour_of_day"} <= {column.name for column in view.columns}:
        return [hours_of_the_week(view, rows, column) for column in measures if summable(column)]
    keys = labels(view, rows)
    if view.time:
        panels = grouped(measures, unit if len(set(keys)) == 1 else name)
        return [over_time(view, rows, keys, panel) for panel in panels[:CHARTS]]
    return [ranking(view, rows, keys, panel) for panel in grouped(measures, stem)[:CHARTS]]


def grouped(measures: list[Column], by: Callable[[Column], str]) -> list[list[Column]]:
    groups: dict[str, list[Column]] = {}
    for column in measures:
        groups.setdefault(by(column), []).append(column)
    return list(groups.values())


def name(column: Column) -> str:
    return column.name


def unit(column: Column) -> str:
    """What can share an axis: requests, users, ms."""
    if RATIO.fullmatch(column.name):
        return "ratio"
    of, per, _ = column.name.partition("_per_")
    return of + per if per else column.name.rpartition("_")[2]


def stem(column: Column) -> str:
    """The same for the percentiles of one thing."""
    return re.sub(r"_p\d+(?=_|$)", "_p", column.name)


def summable(column: Column) -> bool:
    return not NO_SUM.fullmatch(column.name)


def values(view: View, rows: list[Row], column: Column) -> list[object]:
    at = view.columns.index(column)
    return [row[at] for row in rows]


def labels(view: View, rows: list[Row]) -> list[str]:
    """What each row is about, in as few words as tell it from the others: names are not unique."""
    columns = view.columns[: view.columns.index(view.main)] if view.main else view.columns
    about = [column for column in columns if says_what(column)]
    # What a row is, such as idle, comes before every label, and keys after them.
    about.sort(key=lambda column: (column.name.endswith("_id"), column.type != "boolean"))
    keys = list(zip(*(values(view, rows, column) for column in about), strict=True)) or [()] * len(rows)
    words: dict[tuple, list[str]] = {key: [] for key in keys}
    for at, column in enumerate(about):
        told = Counter(map(tuple, words.values()))
        for key, said in words.items():
            if column.type == "boolean":
                said.extend([column.term] if key[at] else [])
            elif not said or told[tuple(said)] > 1:
                said.append(shortened(key[at], view.words))
    return [" · ".join(words[key]) or view.words.all for key in keys]


def says_what(column: Column) -> bool:
    if column.is_number:
        return column.name.endswith("_id")
    return not (column.is_time or column.name.startswith(("weekday", "description")))


def shortened(value: object, words: Words) -> str:
    text = words.none if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def number(value: object) -> Number | None:
    """As JavaScript has them, and no longer than a reader needs."""
    if isinstance(value, Decimal):
        value = as_number(value)
    return round(value, 4) if isinstance(value, float) else value


def as_words(text: str) -> str:
    """plotly reads tags and entities in what it writes."""
    return html.escape(text, quote=False)


def instant(value: date | datetime) -> str:
    """Without an offset: plotly then draws what the clock showed."""
    return (value.replace(tzinfo=None) if isinstance(value, datetime) else value).isoformat()


def over_time(view: View, rows: list[Row], keys: list[str], panel: list[Column]) -> Chart:
    times = [value and instant(value) for value in values(view, rows, view.time)]
    sums = all(map(summable, panel))
    stacked = sums and len(panel) == 1
    by_day = stacked and len(set(times)) > BARS
    if by_day:
        times = [time and time[: len("2026-01-31")] for time in times]
    words = view.words
    shown = largest(keys, values(view, rows, view.main), summable(view.main))
    traces: list[Figure] = []
    for at, column in enumerate(panel):
        # None is the key of the others.
        points: dict[str | None, list[tuple[str, Number]]] = defaultdict(list)
        for key, time, value in zip(keys, times, values(view, rows, column), strict=True):
            if time is not None and value is not None:
                points[key if key in shown else None].append((time, number(value)))
        for key in [*shown, None] if sums else shown:
            if found := sorted(added(points[key]) if sums else points[key]):
                label = column.term if len(panel) > 1 else key or words.others
                # The same for a key in every chart.
                colour = COLOURS[(shown.index(key) + at) % len(COLOURS)] if key else GREY
                trace = {"name": as_words(label), "x": [x for x, _ in found], "y": [y for _, y in found]}
                traces.append(trace | style(colour, stacked, several=len(dict(found)) < len(found)))
    notes = [words.by_day] if by_day and view.time.type != "date" else []
    if left_out := len(set(keys)) - len(shown):
        notes.append((words.sum_of_others if sums else words.without_others).format(len(shown), left_out))
    layout = {
        "barmode": "stack",
        "hovermode": "x unified",
        "xaxis": {"type": "date", **dates(view.time, by_day)},
        "yaxis": {**scale(panel[0]), "rangemode": "tozero"},
        **legend(traces),
    }
    return Chart(panel, {"data": traces, "layout": layout}, ", ".join(notes))


def largest(keys: list[str], weights: list[object], add: bool) -> list[str]:
    totals: dict[str, Number] = {}
    for key, weight in zip(keys, weights, strict=True):
        before, now = totals.get(key, 0), number(weight) or 0
        totals[key] = before + now if add else max(before, now)
    return sorted(totals, key=lambda key: totals[key], reverse=True)[:SERIES]


def added(points: list[tuple[str, Number]]) -> list[tuple[str, Number]]:
    totals: Counter[str] = Counter()
    for time, value in points:
        totals[time] += value
    return list(totals.items())


def style(colour: str, stacked: bool, several: bool) -> Figure:
    if stacked:
        return {"type": "bar", "marker": {"color": colour}}
    # A line through several values of one moment would only go up and down.
    mode = "markers" if several else "lines+markers"
    return {"type": "scatter", "mode": mode, "line": {"color": colour, "width": 1.5}, "marker": {"size": 3}}


def legend(traces: list[Figure]) -> Figure:
    """Below the chart, which gets as much higher. All is measured here: plotly's own margins may never agree."""
    if len(traces) < 2:
        return {"showlegend": False}
    in_line = max(1, 450 // (50 + 7 * max(cell_len(str(trace["name"])) for trace in traces)))
    height = 20 * ceil(len(traces) / in_line)
    return {
        "showlegend": True,
        "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "traceorder": "normal"},
        "margin": {**MARGIN, "b": MARGIN["b"] + height, "autoexpand": False},
        "height": HEIGHT + height,
    }


def dates(time: Column, by_day: bool) -> Figure:
    # As numbers: the names of months would be English.
    if time.name.endswith("month"):
        shapes = ("%Y-%m", "%Y-%m")
    elif by_day or time.type == "date":
        shapes = ("%Y-%m-%d", "%Y-%m-%d")
    else:
        shapes = ("%m-%d %H:%M", "%Y-%m-%d %H:%M")
    return {"tickformat": shapes[0], "hoverformat": shapes[1], "tickangle": 0, "nticks": 8}


def scale(column: Column) -> Figure:
    return {"tickformat": ".1%" if RATIO.fullmatch(column.name) else ","}


def ranking(view: View, rows: list[Row], keys: list[str], panel: list[Column]) -> Chart:
    by = values(view, rows, panel[0])
    order = sorted((at for at, value in enumerate(by) if value is not None), key=lambda at: by[at], reverse=True)
    shown = order[:RANKED]
    names = [as_words(keys[at]) for at in shown]
    traces = []
    for colour, column in zip(COLOURS, panel, strict=False):
        cells = values(view, rows, column)
        trace = {"type": "bar", "orientation": "h", "name": as_words(column.term), "marker": {"color": colour}}
        trace |= {"x": [number(cells[at]) for at in shown], "y": list(range(len(shown))), "hovertext": names}
        traces.append(trace | {"hovertemplate": f"%{{hovertext}}<br>%{{x:{scale(column)['tickformat']}}}"})
    layout = {
        "height": 120 + 22 * len(shown) * len(panel),
        "xaxis": {**scale(panel[0]), "rangemode": "tozero"},
        # Positions, not names: plotly would take some names for dates or numbers.
        "yaxis": {"tickvals": list(range(len(shown))), "ticktext": names, "autorange": "reversed", "automargin": True},
        "showlegend": len(traces) > 1,
    }
    note = view.words.ranked.format(len(shown), len(order)) if len(order) > len(shown) else ""
    return Chart(panel, {"data": traces, "layout": layout}, note)


def hours_of_the_week(view: View, rows: list[Row], column: Column) -> Chart:
    columns, words = {column.name: column for column in view.columns}, view.words
    weekdays, hours = (values(view, rows, columns[at]) for at in ("weekday", "hour_of_day"))
    days = values(view, rows, view.time) if view.time else weekdays
    # A row is an hour of one day: a cell is the mean of the days that there are.
    counted = Counter(weekday for weekday, _ in set(zip(weekdays, days, strict=True)))
    cells = [[0.0] * 24 for _ in words.weekdays]
    for weekday, hour, value in zip(weekdays, hours, values(view, rows, column), strict=True):
        cells[weekday - 1][hour] += float(value or 0) / counted[weekday]
    trace = {
        "type": "heatmap",
        "x": list(range(24)),
        "y": list(words.weekdays),
        "z": [[round(cell, 1) for cell in line] for line in cells],
        "colorscale": [[0, "#f7fbff"], [1, "#08519c"]],
        "hovertemplate": f"%{{y}} %{{x}}{words.hour}: %{{z:,}}<extra></extra>",
    }
    layout = {"xaxis": {"dtick": 3, "ticksuffix": words.hour}, "yaxis": {"autorange": "reversed"}}
    return Chart([column], {"data": [trace], "layout": layout}, words.mean_day)


def rows_by_day(view: View, rows: list[Row]) -> Chart:
    days = sorted(Counter(value.date().isoformat() for value in values(view, rows, view.time) if value).items())
    trace = {"type": "bar", "x": [day for day, _ in days], "y": [count for _, count in days]}
    layout = {"xaxis": {"type": "date", "tickformat": "%Y-%m-%d"}, "yaxis": {"tickformat": ",", "rangemode": "tozero"}}
    return Chart(
        [view.time], {"data": [trace | {"marker": {"color": COLOURS[0]}}], "layout": layout}, view.words.rows_of_day
    )
