"""`python -m benchmark.sweep`."""

import sys

from benchmark.sweep.command import main

if __name__ == "__main__":
    sys.exit(main())
