"""How many bytes a log takes: this schema's sessions and logs with all their indexes, and the table to which LiteLLM's
proxy writes its requests, with the same facts of the same requests, written in the same order.
"""

import statistics
from contextlib import ExitStack

import psycopg
from common import arguments, company, connect, copies, pgbench, print_table, say, server

# LiteLLM_SpendLogs of BerriAI/litellm at 029f645f1c81 (schema.prisma), as Prisma makes it: a String is text, a DateTime
# timestamp (3), a Json jsonb. What our log does not know keeps its default or is missing, which favours it: the proxy
# itself fills api_key with 64 characters and metadata with a kilobyte. Newer versions have two more indexes.
SPEND_LOGS = """
CREATE TABLE bench_spend_logs (
    request_id               text             NOT NULL PRIMARY KEY,
    call_type                text             NOT NULL,
    api_key                  text             NOT NULL DEFAULT '',
    spend                    double precision NOT NULL DEFAULT 0.0,
    total_tokens             integer          NOT NULL DEFAULT 0,
    prompt_tokens            integer          NOT NULL DEFAULT 0,
    completion_tokens        integer          NOT NULL DEFAULT 0,
    "startTime"              timestamp (3)    NOT NULL,
    "endTime"                timestamp (3)    NOT NULL,
    request_duration_ms      integer,
    "completionStartTime"    timestamp (3),
    model                    text             NOT NULL DEFAULT '',
    model_id                 text             DEFAULT '',
    model_group              text             DEFAULT '',
    custom_llm_provider      text             DEFAULT '',
    api_base                 text             DEFAULT '',
    "user"                   text             DEFAULT '',
    metadata                 jsonb            DEFAULT '{}',
    cache_hit                text             DEFAULT '',
    cache_key                text             DEFAULT '',
    request_tags             jsonb            DEFAULT '[]',
    team_id                  text,
    organization_id          text,
    end_user                 text,
    requester_ip_address     text,
    messages                 jsonb            DEFAULT '{}',
    response                 jsonb            DEFAULT '{}',
    session_id               text,
    status                   text,
    mcp_namespaced_tool_name text,
    agent_id                 text,
    proxy_server_request     jsonb            DEFAULT '{}'
);
CREATE INDEX ON bench_spend_logs ("startTime");
CREATE INDEX ON bench_spend_logs ("startTime", request_id);
CREATE INDEX ON bench_spend_logs (end_user);
CREATE INDEX ON bench_spend_logs (session_id);
"""
# The proxy has no columns for a project, a preset, a template or the paths: they go into metadata, as its project does.
AS_SPEND_LOG = """
INSERT INTO bench_spend_logs (
    request_id, call_type, total_tokens, "startTime", "endTime", request_duration_ms, model, model_id, "user", team_id,
    session_id, status, metadata
)
SELECT
    gen_random_uuid(), 'acompletion', coalesce(l.token_used, 0), l.request_time AT TIME ZONE 'UTC',
    coalesce(l.response_time, l.request_time) AT TIME ZONE 'UTC', extract(EPOCH FROM l.latency) * 1000, m.model_name,
    e.deployment_id, s.user_id, u.department_id, l.session_id,
    CASE WHEN l.response_time IS NULL THEN 'failure' ELSE 'success' END,
    jsonb_strip_nulls(jsonb_build_object(
        'project_id', s.project_id, 'config_id', l.config_id, 'template_id', l.template_id,
        'session_type', s.session_type, 'request', l.request_prompt_s3_path, 'response', l.response_s3_path
    ))
FROM {logs} AS l
JOIN llm.sessions AS s ON l.session_id = s.session_id
JOIN llm.users AS u ON s.user_id = u.user_id
JOIN llm.deployments AS e ON l.deployment_id = e.deployment_id
JOIN llm.models AS m ON e.model_id = m.model_id
ORDER BY l.request_time
"""
# A request of the company that is written once more, as one of now.
AGAIN = """
CREATE TABLE bench_again AS
SELECT row_number() OVER () AS n, l.* FROM (SELECT * FROM llm.session_logs ORDER BY request_time LIMIT 1000) AS l;
CREATE INDEX ON bench_again (n);
CREATE SEQUENCE bench_sequence CACHE 1000;
"""
OUR_INSERT = """
\\set n random(1, 1000)
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used,
    request_prompt_s3_path, response_s3_path
)
SELECT
    session_id, 1000000 + nextval('bench_sequence'), now(), now() + latency, deployment_id, config_id, template_id,
    token_used, request_prompt_s3_path, response_s3_path
FROM bench_again WHERE n = :n;
"""
THEIR_INSERT = "\\set n random(1, 1000)\n" + AS_SPEND_LOG.format(
    logs="(SELECT * FROM bench_again WHERE n = :n)"
).replace("l.request_time AT", "now() AT").replace("coalesce(l.response_time, l.request_time)", "now()")

PARTS = """
SELECT
    sum(pg_relation_size(oid))::bigint,
    sum(pg_indexes_size(oid))::bigint,
    sum(pg_total_relation_size(oid) - pg_relation_size(oid) - pg_indexes_size(oid))::bigint,
    sum(pg_total_relation_size(oid))::bigint
FROM pg_class AS c
WHERE relkind = 'r' AND (
    oid = to_regclass(%(table)s)
    OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%(table)s))
    OR %(table)s = 'rollup' AND relnamespace = 'rollup'::regnamespace
)
"""


def main() -> None:
    chosen = arguments(__doc__, {"logs": 2_000, "inserts": 100, "rounds": 1}, logs=1_000_000, inserts=10_000, rounds=3)
    with server(chosen.keep) as uri, ExitStack() as ending:
        change = SPEND_LOGS + AGAIN
        dsn = copies(uri, {"with LiteLLM's": (company(uri, chosen.logs), change)}, ending)["with LiteLLM's"]
        with connect(dsn) as db:
            say("writing the logs to LiteLLM's table ...")
            db.execute(AS_SPEND_LOG.format(logs="llm.session_logs"))
            db.execute("VACUUM (ANALYZE)")
            stored = db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0]
            logs, sessions, rollups, theirs = (
                [size / stored for size in db.execute(PARTS, {"table": table}).fetchone()]
                for table in ("llm.session_logs", "llm.sessions", "rollup", "bench_spend_logs")
            )
            ours = [a + b for a, b in zip(logs, sessions, strict=True)]
            # The median, as autovacuum writes WAL too.
            wal = [
                statistics.median(wal_of(db, dsn, script, chosen.inserts) for _ in range(chosen.rounds))
                for script in (OUR_INSERT, THEIR_INSERT)
            ]
    print_table(
        "size",
        ["bytes per log", "table", "indexes", "TOAST and maps", "total", "WAL of an insert"],
        [
            ["`llm.session_logs`", *map(whole, logs), whole(wal[0])],
            ["`llm.sessions`, shared by its logs", *map(whole, sessions), ""],
            ["**both**", *map(whole, ours), ""],
            ["the rollups", *map(whole, rollups), ""],
            ["`LiteLLM_SpendLogs`", *map(whole, theirs), whole(wal[1])],
        ],
        f"{stored:,} logs. LiteLLM's table takes {theirs[3] / ours[3]:.1f} times as much.",
    )


def whole(number: float) -> str:
    return f"{number:,.0f}"


def wal_of(db: psycopg.Connection, dsn: str, script: str, inserts: int) -> float:
    """Bytes of WAL per insert, from a checkpoint on: the first change of a page writes it as a whole."""
    db.execute("CHECKPOINT")
    before = db.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
    pgbench(dsn, script, 1, f"-t{inserts}")
    return db.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [before]).fetchone()[0] / inserts


if __name__ == "__main__":
    main()
