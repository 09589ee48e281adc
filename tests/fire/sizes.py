"""How large what is tried is: small in every run, with LLM_DB_TEST_FULL_SIZE=1 as docs/reliability.md has it."""

import os


def size(small: int, full: int) -> int:
    return full if os.environ.get("LLM_DB_TEST_FULL_SIZE") == "1" else small
