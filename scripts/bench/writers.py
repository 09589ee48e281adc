"""What keeping usage_count costs the writers: single-row inserts by 1 to 48 clients, every one on the same template,
the worst case, and by 16 clients on 100 templates, of which few are used most (Zipf); and one COPY.

The databases differ only in how uses are counted. They are driven in turn, round after round, so that a change in the
machine's speed meets all of them alike.
"""

import statistics
import time
from contextlib import ExitStack

from common import arguments, cell, connect, copies, migrated, percentile, pgbench, print_table, ratio_of, say, server

NO_COUNT = """
DROP TRIGGER session_logs_uses_are_counted ON llm.session_logs;
DROP TRIGGER session_logs_corrections_are_counted ON llm.session_logs;
"""

# What most schemas do: one row per template, updated by every use.
HOT_ROW = f"""
{NO_COUNT}
ALTER TABLE llm.prompt_templates_base ADD COLUMN hot_count bigint NOT NULL DEFAULT 0;
CREATE FUNCTION llm.count_hot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE llm.prompt_templates_base SET hot_count = hot_count + 1 WHERE template_id = NEW.template_id;
    RETURN NULL;
END $$;
CREATE TRIGGER count_hot AFTER INSERT ON llm.session_logs
FOR EACH ROW WHEN (NEW.template_id IS NOT NULL) EXECUTE FUNCTION llm.count_hot();
"""

# The same slots as ours, row by row instead of once per statement.
ROW_SLOTS = f"""
{NO_COUNT}
CREATE FUNCTION llm.count_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM llm.add_template_uses(NEW.template_id, 1);
    RETURN NULL;
END $$;
CREATE TRIGGER count_row AFTER INSERT ON llm.session_logs
FOR EACH ROW WHEN (NEW.template_id IS NOT NULL) EXECUTE FUNCTION llm.count_row();
"""

SETUP = """
SELECT llm.create_month(now()::date);
CREATE TABLE bench_sessions AS
WITH made AS (
    INSERT INTO llm.sessions (user_id, session_type) SELECT 1, 'test' FROM generate_series(0, 63) RETURNING session_id
)
SELECT row_number() OVER () - 1 AS client, session_id FROM made;
CREATE SEQUENCE bench_sequence CACHE 1000;
"""
NOT_COUNTED, OURS = "not counted", "**slots, statement trigger (this schema)**"
VARIANTS = {
    NOT_COUNTED: NO_COUNT,
    OURS: "",
    "slots, row trigger": ROW_SLOTS,
    "one counter in the template's row": HOT_ROW,
}

INSERT_ONE = """
\\set template {template}
INSERT INTO llm.session_logs (session_id, log_sequence, deployment_id, template_id, token_used)
SELECT session_id, nextval('bench_sequence'), 1, :template, 100 FROM bench_sessions WHERE client = :client_id;
"""
HOT, ZIPF = INSERT_ONE.format(template=1), INSERT_ONE.format(template="random_zipfian(1, 100, 1.1)")
WAYS = {
    "1 writer": (HOT, 1),
    "4 writers": (HOT, 4),
    "16 writers": (HOT, 16),
    "48 writers": (HOT, 48),
    "16, Zipf over 100 templates": (ZIPF, 16),
}


def main() -> None:
    # Few rows of COPY, because a row trigger's time grows with the square: each update passes over all earlier versions
    # of its row that the same transaction left behind.
    chosen = arguments(__doc__, {"seconds": 1, "rounds": 1, "rows": 200}, seconds=3, rounds=3, rows=10_000)
    with server(chosen.keep) as uri, ExitStack() as ending:
        template = migrated(uri)
        dsns = copies(uri, {name: (template, SETUP + change) for name, change in VARIANTS.items()}, ending)
        rates = {(name, way): [] for name in VARIANTS for way in (*WAYS, "COPY")}
        waits = {(name, way): [] for name in VARIANTS for way in WAYS}
        for number in range(chosen.rounds):
            say(f"round {number + 1} of {chosen.rounds}")
            for way, (script, clients) in WAYS.items():
                for name, dsn in dsns.items():
                    done = [each.ms for each in pgbench(dsn, script, clients, f"-T{chosen.seconds}")]
                    rates[name, way].append(len(done) / chosen.seconds)
                    waits[name, way] += done
            for name, dsn in dsns.items():
                rates[name, "COPY"].append(copy_rows(dsn, number, chosen.rows))
        for name in list(VARIANTS)[1:3]:
            check_sums(dsns[name])
    print_table(
        "writers",
        ["logs/s, to not counted", *WAYS, f"COPY of {chosen.rows:,} rows"],
        [
            [name, *(rate_cell(rates[name, way], rates[NOT_COUNTED, way]) for way in (*WAYS, "COPY"))]
            for name in VARIANTS
        ],
    )
    print_table(
        "writers-p99",
        ["p99 of an insert, ms", *WAYS],
        [[name, *(percentile(waits[name, way], 0.99) for way in WAYS)] for name in VARIANTS],
    )


def rate_cell(runs: list[float], base: list[float]) -> str:
    return f"{cell(round(statistics.median(runs)))} ({ratio_of(runs, base):.2f}x)"


def copy_rows(dsn: str, number: int, rows: int) -> float:
    with connect(dsn) as db:
        session = db.execute("SELECT session_id FROM bench_sessions WHERE client = 0").fetchone()[0]
        first = 1_000_000_000 + number * rows
        text = "".join(f"{session}\t{first + n}\t1\t1\n" for n in range(rows))
        began = time.perf_counter()
        with db.cursor().copy(
            "COPY llm.session_logs (session_id, log_sequence, deployment_id, template_id) FROM STDIN"
        ) as copy:
            copy.write(text)
        return rows / (time.perf_counter() - began)


def check_sums(dsn: str) -> None:
    """A fast wrong count is worth nothing."""
    with connect(dsn) as db:
        counted, stored = db.execute(
            "SELECT (SELECT sum(usage_count) FROM llm.prompt_templates), (SELECT count(*) FROM llm.session_logs)"
        ).fetchone()
    if counted != stored:
        raise SystemExit(f"counted {counted} uses of {stored}")


if __name__ == "__main__":
    main()
