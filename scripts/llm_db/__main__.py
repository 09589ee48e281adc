import sys

from llm_db.cli import main

sys.exit(main())
