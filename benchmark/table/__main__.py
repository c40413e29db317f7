"""`python -m benchmark.table`."""

import sys

from benchmark.table import main

if __name__ == "__main__":
    sys.exit(main())
