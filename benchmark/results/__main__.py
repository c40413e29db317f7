"""`python -m benchmark.results`."""

import sys

from benchmark.results.command import main

if __name__ == "__main__":
    sys.exit(main())
