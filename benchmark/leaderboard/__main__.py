"""`python -m benchmark.leaderboard`."""

import sys

from benchmark.leaderboard.command import main

if __name__ == "__main__":
    sys.exit(main())
