"""What `llm-db load` takes. Apart from load itself, so that no other command has to import that."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Load request logs from a CSV file with a header, or from NDJSON (one JSON object per line), in UTF-8.

A column named like a target is read as it; --map names the others, and --map "TARGET=''" leaves one out. Who maps a
name (user_email) is not asked for its key (user_id), nor the other way round. The targets:
  request_time                               required; ISO 8601. Digits past the microsecond are cut off
  response_time, token_used                  empty = not known
  deployment_id | server_name, model_name, environment
                                             which must mean exactly one deployment
  session_id, log_sequence                   without session_id sessions are made (see below)
  user_id | user_email                       required where sessions are made
  project_id | project_name, session_type    session_type is 'production' if not given
  config_id | config_name                    config_name is looked up in the deployment's model
  template_id | template_name, version       without version, if there is only one
  request_prompt_s3_path, response_s3_path

Sessions. Rows without session_id are grouped into sessions: one user, project and session_type, and less than 30
minutes from one request to the next, within this file. A session_id that the database has is continued (and its
start_time and end_time widened); one that it does not have is made, with status 'completed'.

Twice. A row that the database has already is not loaded again: one with session_id and log_sequence by these, any
other by its whole content. Within a file, a second row with the same session_id and log_sequence is rejected;
identical rows without them may be two requests and are kept, and counted; --reject-duplicates rejects them.

Bad rows go to FILE.rejects.csv and llm_db.load_rejects with line, column, value and the rule they broke; all other
rows are loaded, in one transaction. Missing months are made.
"""

EXAMPLES = """\
examples:
  llm-db load requests.csv
  llm-db load requests.ndjson --map request_time=ts --map user_email=user
  llm-db load code.csv --map request_time=TIMESTAMP --map token_used=ContextTokens+GeneratedTokens \\
      --map "server_name='code'" --map "user_email='trace@example.com'"

exit codes: 0 every row is in the database, 1 some were rejected or SQL failed, 2 usage or connection
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", metavar="FILE", type=Path, help=".csv, .ndjson or .jsonl")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="TARGET=SOURCE",
        help="SOURCE is a column, a sum of columns (token_used=A+B), or a constant (a number, or 'text' in quotes)",
    )
    parser.add_argument("--format", choices=["csv", "ndjson"], help="where the file's name does not tell")
    parser.add_argument(
        "--time-zone", default="UTC", metavar="ZONE", help="of times that have none, e.g. Asia/Seoul (default UTC)"
    )
    parser.add_argument("--reject-duplicates", action="store_true", help="reject identical rows of the file")
