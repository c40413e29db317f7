"""What a method may do wrong, told apart from mistakes of the user and of the program."""

from __future__ import annotations


class ContractError(ValueError):
    """A method did what its contract does not allow; the harness names method and phase."""
