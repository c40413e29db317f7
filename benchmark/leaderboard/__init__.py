"""`python -m benchmark.leaderboard`: results that others submit are verified, shown, published."""
