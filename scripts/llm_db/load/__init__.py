"""`llm-db load FILE`: request logs from CSV or NDJSON into llm.session_logs.

options.py says what it takes, command.py answers it. records.py finds the records of a file and what is wrong with a
line by itself, mapping.py turns a record into our columns, file.py is a file with both. run.py brings the rows into a
temporary table by COPY; SQL, in files numbered as they run, resolves names, tries every rule on all rows at once, and
writes the good ones in one transaction.
"""
