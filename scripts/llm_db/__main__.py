"""The command llm-db."""

import gc
import sys


def main() -> int:
    # Nothing of what is imported is ever garbage: looking through it took a sixth of the start and the exit.
    gc.disable()
    from llm_db import cli

    gc.freeze()
    gc.enable()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
