"""Former name of `write_results`, for the run loop as it still is on this branch."""

from benchmark.write_results import write_results as write_outcome

__all__ = ["write_outcome"]
