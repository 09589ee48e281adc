"""What it costs the writers that reports are exact: single-row inserts and COPY with the note for the rollups, without
it, and with what LiteLLM's proxy keeps instead, a daily table to which every request adds itself.

The three databases are copies of the demo company, rolled up; they are driven in turn, round after round, so that a
change in the machine's speed meets all of them alike.
"""

import statistics
import time
from contextlib import ExitStack

from common import arguments, cell, company, connect, copies, pgbench, print_table, ratio_of, say, server

CLIENTS = 16
COPY_ROWS = 1_000
COPIES = 20

NO_NOTE = "ALTER TABLE llm.session_logs DISABLE TRIGGER session_logs_additions_are_noted;"

# LiteLLM_DailyUserSpend as it was introduced (BerriAI/litellm, migration 20250326171002), with what our log has to put
# into it. Its proxy has six such tables; here is one.
DAILY_TABLE = """
CREATE TABLE bench_daily_user_spend (
    id                  text    PRIMARY KEY DEFAULT gen_random_uuid()::text,
    user_id             text    NOT NULL,
    date                text    NOT NULL,
    api_key             text    NOT NULL,
    model               text    NOT NULL,
    custom_llm_provider text    NOT NULL,
    tokens              bigint  NOT NULL DEFAULT 0,
    api_requests        bigint  NOT NULL DEFAULT 0,
    successful_requests bigint  NOT NULL DEFAULT 0,
    failed_requests     bigint  NOT NULL DEFAULT 0,
    updated_at          timestamp (3) NOT NULL DEFAULT now(),
    UNIQUE (user_id, date, api_key, model, custom_llm_provider)
);
CREATE INDEX ON bench_daily_user_spend (date);
CREATE INDEX ON bench_daily_user_spend (user_id);
CREATE INDEX ON bench_daily_user_spend (api_key);
CREATE INDEX ON bench_daily_user_spend (model);
CREATE FUNCTION bench_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench_daily_user_spend AS d (
        user_id, date, api_key, model, custom_llm_provider, tokens, api_requests, successful_requests, failed_requests
    )
    SELECT
        s.user_id::text, to_char(NEW.request_time, 'YYYY-MM-DD'), s.user_id::text, m.model_name, e.server_name,
        coalesce(NEW.token_used, 0), 1, (NEW.response_time IS NOT NULL)::integer, (NEW.response_time IS NULL)::integer
    FROM llm.sessions AS s, llm.deployments AS e
    JOIN llm.models AS m ON e.model_id = m.model_id
    WHERE s.session_id = NEW.session_id AND e.deployment_id = NEW.deployment_id
    ON CONFLICT (user_id, date, api_key, model, custom_llm_provider) DO UPDATE SET
        tokens = d.tokens + excluded.tokens,
        api_requests = d.api_requests + excluded.api_requests,
        successful_requests = d.successful_requests + excluded.successful_requests,
        failed_requests = d.failed_requests + excluded.failed_requests,
        updated_at = now();
    RETURN NULL;
END $$;
CREATE TRIGGER bench_add_up AFTER INSERT ON llm.session_logs FOR EACH ROW EXECUTE FUNCTION bench_add_up();
"""

VARIANTS = {
    "neither": NO_NOTE,
    "the note (this schema)": "",
    "a daily table, by an upsert per request": NO_NOTE + DAILY_TABLE,
}

# Every client has a session and a user of its own, so that no upsert waits for another's. Half of them use a template.
SETUP = """
SELECT llm.create_month(now()::date);
CREATE TABLE bench_clients AS
WITH users AS (
    SELECT user_id, row_number() OVER (ORDER BY user_id) AS n FROM llm.users LIMIT 32
), made AS (
    INSERT INTO llm.sessions (user_id, session_type)
    SELECT user_id, (SELECT code FROM llm.session_types LIMIT 1) FROM users
    RETURNING session_id
)
SELECT
    row_number() OVER () - 1 AS client,
    session_id,
    (SELECT min(deployment_id) FROM llm.deployments) AS deployment_id,
    CASE WHEN row_number() OVER () % 2 = 0 THEN (SELECT min(template_id) FROM llm.prompt_templates) END AS template_id
FROM made;
CREATE SEQUENCE bench_sequence CACHE 1000;
"""

COLUMNS = "session_id, log_sequence, deployment_id, template_id, request_time, response_time, token_used"
# A request of this moment.
INSERT_ONE = f"""
INSERT INTO llm.session_logs ({COLUMNS})
SELECT session_id, nextval('bench_sequence'), deployment_id, template_id, now() - interval '2 s', now(), 100
FROM bench_clients WHERE client = :client_id;
"""
BATCH = f"""
COPY (
    SELECT session_id, nextval('bench_sequence'), deployment_id, template_id, now() - interval '2 s', now(), 100
    FROM generate_series(1, {COPY_ROWS}) AS n
    JOIN bench_clients ON client = n % 32
) TO STDOUT
"""
MISSING = """
SELECT count(*)
FROM (
    SELECT day, sum(requests) AS requests, sum(tokens) AS tokens
    FROM rollup.usage_rows
    WHERE dimension = 'all'
    GROUP BY day
) AS r
FULL JOIN (
    SELECT (request_time AT TIME ZONE 'Asia/Seoul')::date AS day, count(*) AS requests, sum(token_used) AS tokens
    FROM llm.session_logs
    GROUP BY 1
) AS l USING (day)
WHERE (r.requests, r.tokens) IS DISTINCT FROM (l.requests, l.tokens)
"""


def main() -> None:
    chosen = arguments(__doc__, {"logs": 2_000, "rounds": 1, "seconds": 1}, logs=20_000, rounds=3, seconds=5)
    with server(chosen.keep) as uri, ExitStack() as ending:
        template = company(uri, chosen.logs)
        dsns = copies(uri, {name: (template, SETUP + change) for name, change in VARIANTS.items()}, ending)
        single: dict[str, list[float]] = {name: [] for name in VARIANTS}
        batches: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for number in range(chosen.rounds):
            say(f"round {number + 1} of {chosen.rounds}")
            # Back and forth, so that none always follows the same one.
            for name, dsn in list(dsns.items())[:: 1 if number % 2 else -1]:
                done = pgbench(dsn, INSERT_ONE, CLIENTS, f"-T{chosen.seconds}")
                single[name].append(len(done) / chosen.seconds)
                batches[name].append(copy_batches(dsn))
        check(dsns)
    print_table(
        "ingest",
        ["", f"single inserts, {CLIENTS} clients, rows/s", f"COPY of {COPY_ROWS:,} rows, rows/s"],
        [[name, against_neither(single, name), against_neither(batches, name)] for name in VARIANTS],
    )


def copy_batches(dsn: str) -> float:
    """Rows per second of batches whose text is made beforehand, each a transaction."""
    with connect(dsn) as db:
        texts = []
        for _ in range(COPIES):
            with db.cursor().copy(BATCH) as copy:
                texts.append(b"".join(copy))
        began = time.perf_counter()
        for text in texts:
            with db.cursor().copy(f"COPY llm.session_logs ({COLUMNS}) FROM STDIN") as copy:
                copy.write(text)
        return sum(text.count(b"\n") for text in texts) / (time.perf_counter() - began)


def check(dsns: dict[str, str]) -> None:
    """What was written is in the reports, and it was not noted: these are the everyday requests."""
    for name, dsn in dsns.items():
        with connect(dsn) as db:
            wrong, notes = db.execute(f"SELECT ({MISSING}), (SELECT count(*) FROM rollup.notes)").fetchone()
        if wrong or notes:
            raise SystemExit(f"{name}: {wrong} days are wrong, {notes} notes")


def against_neither(rates: dict[str, list[float]], name: str) -> str:
    return f"{cell(round(statistics.median(rates[name])))} ({ratio_of(rates[name], rates['neither']):.2f}x)"


if __name__ == "__main__":
    main()
