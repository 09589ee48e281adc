"""`llm-db load FILE`: request logs from CSV, NDJSON or Parquet into llm.session_logs.

options.py says what it takes, command.py answers it. records.py and parquet.py find the records of a file and what is
wrong with a line by itself, values.py says what a value may be, mapping.py turns a record into our columns, file.py is
a file with all of these. run.py brings the rows into a temporary table by COPY; SQL, in files numbered as they run,
resolves names and tries every rule on all rows at once. Then, in one transaction and in the loaders' turn, it compares
the good ones with what is there, and writes them; waiting.py says whom it waits for meanwhile. Months that are new are
filled beside the others (views/4_ops/13_fill_months.sql), and are attached at the very end.
"""
