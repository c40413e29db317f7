"""What a method may do wrong, told apart from mistakes of the user and of the program."""

from __future__ import annotations

from mm_imagenet_r.errors import UserError


class ContractError(ValueError):
    """A method did what its contract does not allow; the harness names method and phase."""


class MethodError(UserError):
    """A `ContractError` as it is told to the user: with the method, the phase and what was done."""
