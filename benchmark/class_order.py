"""The order in which a run meets the classes: by a seed, or a published one of ImageNet-R."""

from __future__ import annotations

from mm_imagenet_r import phases
from mm_imagenet_r.errors import UserError
from mm_imagenet_r.orders import named_order

#: That of PILOT, which most papers use.
DEFAULT_SEED = 1993


def class_order(num_classes: int, seed: int | None, name: str | None = None) -> list[int]:
    """The data set's own number of the class at each position.

    Args:
        num_classes: How many there are.
        seed: See `mm_imagenet_r.orders.class_order`; of no account where there is a name.
        name: See `mm_imagenet_r.orders.named_order`.

    Raises:
        UserError: There is no such order, or it is one of other classes.

    >>> class_order(4, 1993), class_order(4, None)
    ([0, 2, 3, 1], [0, 1, 2, 3])
    >>> class_order(200, None, "coda")[:3]
    [80, 145, 90]
    """
    if name is None:
        return phases.class_order(num_classes, seed)
    order = named_order(name)
    if len(order) != num_classes:
        raise UserError(
            f"--class-order {name} is one of {len(order)} classes, the data set has {num_classes}: "
            "give --class-order-seed instead"
        )
    return order


def check_name(name: str, seed: int | None, dataset: str) -> None:
    """Raise UserError if a published order is meant for other data, or said in a second way."""
    rule, _, number = name.partition(":")
    if rule in ("pilot", "natural"):
        same = "none" if rule == "natural" else number or DEFAULT_SEED
        raise UserError(f"--class-order {name} is --class-order-seed {same}: give that")
    if not dataset.startswith("mm_imagenet_r:"):
        raise UserError(
            f"--class-order {name} is for --dataset mm_imagenet_r alone: give --class-order-seed"
        )
    if seed != DEFAULT_SEED:
        raise UserError(
            f"--class-order {name} and --class-order-seed {seed} are two orders: give one of them"
        )
    named_order(name)
