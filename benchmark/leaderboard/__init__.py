"""Results that others submit: verified, shown and published.

`python -m benchmark.leaderboard verify|build|submit|publish`.
"""
