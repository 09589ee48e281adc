"""`llm-db report`: the reporting views in a terminal, as CSV and JSON for files, or as a page with charts.

command.py answers the command; query.py says which rows of which view; values.py how a value is written; words.py
what is said in which language; text.py, charts.py and html.py are what is made of them.
"""
