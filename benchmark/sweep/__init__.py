"""`python -m benchmark.sweep`: every cell of a grid that is not there yet.

`grid` says which cells there are, `ledger` which are done, `schedule` when each is run, `local`
and `cluster` where.
"""
