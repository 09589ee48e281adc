"""A report as one page with charts and a table, to be mailed, kept or printed: it asks nothing of any network."""

from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

import psycopg

from llm_db.database import scalar
from llm_db.errors import FULL, Problem
from llm_db.report import charts
from llm_db.report.bill import Bill, bills
from llm_db.report.query import Column, Question, View, for_people, select
from llm_db.report.values import as_text

# The charts are drawn from this many rows at most, the newest or the largest; the table shows fewer.
READ_ROWS = 100_000
TABLE_ROWS = 1_000

# The browser itself refuses every request, whatever is on the page.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 1280px; padding: 0 1rem; color: #222; background: #fff;
    font: 15px/1.5 "Noto Sans KR", "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0; }
h3 { font-size: 0.95rem; margin: 0.8rem 0 0.2rem; }
.bill { border-top: 2px solid #888; margin: 1.5rem 0; padding-top: 0.8rem; }
code { color: #666; font-weight: normal; font-size: 0.85em; }
.asked, .note { color: #555; font-size: 0.9rem; margin: 0.2rem 0; }
.asked::first-letter { text-transform: uppercase; }
/* auto-fill, not auto-fit: each chart is drawn when it is read, and must have its width by then. */
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr));
    gap: 1.5rem; margin: 1.5rem 0; }
.single { display: block; }
section { break-inside: avoid; min-width: 0; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; }
th code { display: block; }
.number, .time { white-space: nowrap; font-variant-numeric: tabular-nums; }
.number { text-align: right; }
@page { size: A4 landscape; margin: 10mm; }
@media print {
    body { margin: 0; max-width: none; }
    .modebar-container { display: none; }
    .table { overflow: visible; }
    table { font-size: 0.65rem; }
}
"""
LAYOUT = {
    "font": {"family": '"Noto Sans KR", "Noto Sans CJK KR", "Malgun Gothic", sans-serif', "size": 12},
    "margin": charts.MARGIN,
    "height": charts.HEIGHT,
    "hoverlabel": {"namelength": -1},
}
# plotly's button to share a chart would send it to plotly.
CONFIG = {"displaylogo": False, "responsive": True, "showSendToCloud": False}


def write(connection: psycopg.Connection, asked: Question, file: str, where: Sequence[str] = ()) -> None:
    try:
        from plotly import io, offline
    except ImportError:
        raise Problem("--html needs plotly.", "pip install 'llm-platform-db[html]'") from None
    asked = for_people(asked)
    language, words = asked.view.language, asked.view.words
    config = CONFIG | {"locale": language, "locales": {language: {"dictionary": words.plotly}}}
    found = connection.execute(select(asked, READ_ROWS + 1)).fetchall()
    rows = found[:READ_ROWS]
    sections = []
    for chart in charts.draw(asked.view, rows):
        drawn = io.to_html(
            {"data": chart.figure["data"], "layout": LAYOUT | chart.figure["layout"]},
            config=config,
            include_plotlyjs=False,
            full_html=False,
            validate=False,
        )
        sections.append(section(chart, drawn))
    library = f"<script>{offline.get_plotlyjs()}</script>" if sections else ""
    # The server's clock, and its knowledge of time zones.
    made = scalar(
        connection, "SELECT to_char(now(), 'YYYY-MM-DD HH24:MI') || format(' (%s)', current_setting('TimeZone'))"
    )
    billed = [billing(bill) for bill in bills(connection, asked, rows, where)]
    text = page(asked, made, sections, library, billed, rows, cut=len(found) > READ_ROWS)
    try:
        write_whole(Path(file), text)
    except OSError as error:
        hint = "make room" if error.errno in FULL else "name a file in a folder that is there"
        raise Problem(f"Cannot write {file}: {error.strerror}.", hint) from None
    print(f"{file}: {len(sections)} charts of {len(rows):,} rows")


def write_whole(path: Path, text: str) -> None:
    """A page that was there is taken over by a whole one, or stays. A device or a pipe is written to as it is."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    partly = path.with_name(path.name + ".part")
    try:
        partly.write_text(text, encoding="utf-8")
        partly.replace(path)
    except OSError:
        with suppress(OSError):
            partly.unlink()
        raise


def section(chart: charts.Chart, drawn: str) -> str:
    [first, *others] = chart.columns
    title = " · ".join(escape(column.term) for column in chart.columns) if others else named(first)
    meaning = escape("\n".join(column.comment for column in chart.columns))
    note = f'<p class="note">{escape(chart.note)}</p>' if chart.note else ""
    return f'<section><h2 title="{meaning}">{title}</h2>{note}{drawn}</section>'


def billing(bill: Bill) -> str:
    parts = "".join(
        f"<h3>{escape(part.title)}</h3>{table(part.view, part.rows)}"
        + (f'<p class="note">{escape(part.note)}</p>' if part.note else "")
        for part in bill.parts
    )
    return f'<section class="bill"><h2>{escape(bill.title)}</h2><p>{escape(bill.figures)}</p>{parts}</section>'


def named(item: Column | View) -> str:
    """What people call it, where that is known, and its name."""
    return f"{escape(item.term)} <code>{escape(item.name)}</code>" if item.term != item.name else escape(item.name)


def page(
    asked: Question, made: str, sections: list[str], library: str, billed: list[str], rows: list[tuple], cut: bool
) -> str:
    view = asked.view
    words = view.words
    told = [words.as_of.format(made), *asked.told]
    if asked.top:
        told.append(words.top.format(asked.top))
    told.append((words.only_read if cut else words.rows).format(len(rows)))
    return f"""<!DOCTYPE html>
<html lang="{view.language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(f"{view.term} ({view.name})")}</title>
<style>{STYLE}</style>
{library}
</head>
<body>
<h1>{named(view)}</h1>
<p class="asked">{escape(view.meaning)}</p>
<p class="asked">{escape(" · ".join(told))}</p>
{"".join(billed)}
<div class="charts{" single" if len(sections) == 1 else ""}">{"".join(sections)}</div>
{table(view, rows)}
</body>
</html>
"""


def table(view: View, rows: list[tuple]) -> str:
    columns, words = view.columns, view.words
    kinds = [' class="number"' if column.is_number else ' class="time"' if column.is_time else "" for column in columns]
    head = "".join(
        f'<th{kind} title="{escape(column.comment)}">{named(column)}</th>'
        for kind, column in zip(kinds, columns, strict=True)
    )
    lines = []
    for row in rows[:TABLE_ROWS]:
        cells = (f"<td{kind}>{escape(as_text(value, words))}</td>" for kind, value in zip(kinds, row, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    note = f'<p class="note">{words.first_rows.format(TABLE_ROWS)}</p>'
    return f'<div class="table">{whole}</div>{note if len(rows) > TABLE_ROWS else ""}'
