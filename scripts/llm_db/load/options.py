"""What `llm-db load` takes. Apart from load itself, so that no other command has to import that."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Load request logs from a CSV file with a header, from NDJSON (one JSON object per line), both in UTF-8, or from Parquet,
such as `llm-db archive` writes. FILE may be a pipe; - is the standard input.

A column named like a target is read as it; --map names the others, and --map "TARGET=''" leaves one out. Who maps a
name (user_email) is not asked for its key (user_id), nor the other way round. The targets:
  request_time                               required; 2026-03-20T22:34:11.096+09:00 or 20260320T223411Z (ISO 8601). T
                                             may be a blank; seconds and offset may be left out, or all after the day.
                                             Digits past the microsecond are cut off
  response_time, token_used                  empty = not known
  deployment_id | server_name, model_name, environment
                                             which must mean exactly one deployment
  session_id, log_sequence                   a UUIDv7, with or without its hyphens; without it sessions are made
  user_id | user_email                       required where sessions are made
  project_id | project_name, session_type    session_type is 'production' if not given
  config_id | config_name                    config_name is looked up in the deployment's model
  template_id | template_name, version       without version, if there is only one
  session_start_time, session_end_time, session_status
                                             of a session that is made; without them its requests say when it was, and
                                             it is 'completed'
  request_prompt_s3_path, response_s3_path

Sessions. Rows without session_id are grouped into sessions: one user, project and session_type, and less than 30
minutes from one request to the next, within this file. A session_id that the database has is continued (and its
start_time and end_time widened); one that it does not have is made. A row that has session_start_time and nothing of a
request is a session without logs.

Twice. A row that the database has already is not loaded again. It is certain to be there by its session_id and
log_sequence, or if an earlier load has read it from this very file, which may have grown since. Any other row that is
equal to a log, or tells more or less of a request's outcome (response_time, token_used, response_s3_path) than a log
or another row of the file, may be that request or another one: it is not loaded but listed in FILE.present.csv, and the
exit code is 1. If these are other requests, run the same command with --new. Within a file, identical rows without
log_sequence are kept, and counted; --reject-duplicates rejects them.

Bad rows go to FILE.rejects.csv with line (of Parquet: row), column, value and the rule they broke; all other rows are
loaded, in one transaction. llm_db.load_rejects has the same lines for 30 days. For a pipe, FILE is ./pipe. Months are
made where they are missing, from ten years before this month to one year after it; rows of others are rejected without
--any-month. A new month with more than 2,000 rows is filled beside the others and attached at the end, which is faster.
Rows of a month that cannot be made now go to DEFAULT.
"""

EXAMPLES = """\
examples:
  llm-db load requests.csv
  llm-db load requests.ndjson --map request_time=ts --map user_email=user
  llm-db load march.parquet                 what `llm-db archive 2025-03 march.parquet` wrote
  zcat requests.csv.gz | llm-db load - --format csv
  llm-db load code.csv --map request_time=TIMESTAMP --map token_used=ContextTokens+GeneratedTokens \\
      --map "server_name='code'" --map "user_email='trace@example.com'"

exit codes: 0 every row is in the database, 1 some were rejected or listed, or SQL failed, 2 usage or connection,
  4 another load or a writer was in the way
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", metavar="FILE", type=Path, help=".csv, .ndjson, .jsonl, .parquet, or - for a pipe")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="TARGET=SOURCE",
        help="SOURCE is a column, a sum of columns (token_used=A+B), or a constant (a number, or 'text' in quotes)",
    )
    parser.add_argument("--format", choices=["csv", "ndjson", "parquet"], help="where the file's name does not tell")
    parser.add_argument(
        "--time-zone", default="UTC", metavar="ZONE", help="of times that have none, e.g. Asia/Seoul (default UTC)"
    )
    parser.add_argument(
        "--new", action="store_true", help="rows equal to logs of other files or writers are other requests: load them"
    )
    parser.add_argument("--any-month", action="store_true", help="load rows of any month, and make it if it is missing")
    parser.add_argument("--reject-duplicates", action="store_true", help="reject identical rows of the file")
