"""Numbers and settings as a reader wants them in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.budget import CURRENCIES, GROWTHS
from benchmark.metrics import Spread
from benchmark.results.schema import BudgetInfo, ClassLedger, ClassOrder, Result

MISSING = "–"  # noqa: RUF001 (an en dash stands for "no value" in tables)


def bytes_words(count: float) -> str:
    """Bytes in decimal units with three figures.

    >>> bytes_words(812), bytes_words(17062.5), bytes_words(20_000_000)
    ('812 B', '17.1 kB', '20 MB')
    >>> bytes_words(999_960)
    '1 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            break
        count /= 1000
    return f"{float(f'{count:.3g}'):g} {unit}"


def seconds_words(seconds: float) -> str:
    """A duration in its two largest units.

    >>> seconds_words(0.42), seconds_words(75), seconds_words(7384)
    ('0.4 s', '1 min 15 s', '2 h 03 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def amount_words(amount: float, currency: str) -> str:
    """An amount of memory in its own currency.

    >>> amount_words(17062.5, "bytes"), amount_words(5, "samples"), amount_words(1, "exemplars")
    ('17.1 kB', '5 samples', '1 exemplar')
    """
    if noun := CURRENCIES[currency].noun:
        return f"{amount:.4g} {noun}{'' if amount == 1 else 's'}"
    return bytes_words(amount)


def memory_words(budget: BudgetInfo) -> str:
    """The budget in few words, its currency always with it: a heading or a table cell.

    >>> budget = BudgetInfo(currency="bytes", growth="per-class", memory="5", unit=3412.5,
    ...                     unit_meaning="mean bytes of an untouched training sample", amount=5,
    ...                     sample_bytes=3412.5)
    >>> memory_words(budget)
    '5 samples per class = 17.1 kB, in bytes'
    >>> memory_words({**budget, "growth": "total", "memory": "20MB", "amount": 5860.8})
    '20 MB in total, in bytes'
    >>> memory_words({**budget, "currency": "samples", "unit": 1})
    '5 samples per class, in samples'
    >>> memory_words({**budget, "memory": "0", "amount": 0})
    'no memory'
    >>> copied = {"memory": "as replay with memory 5 in bytes", "currency": "exemplars"}
    >>> memory_words({**budget, **copied, "amount": None})
    'as replay with memory 5 in bytes, in exemplars'
    """
    amount, currency = budget["amount"], budget["currency"]
    if amount is None:
        return f"{budget['memory']}, in {currency}"
    if amount == 0:
        return "no memory"
    growth, words = GROWTHS[budget["growth"]], amount_words(amount, "samples")
    if not CURRENCIES[currency].noun:
        size = bytes_words(amount * (budget["unit"] or 1))
        words = f"{words} {growth.words} = {size}" if growth.per_class else f"{size} {growth.words}"
    else:
        words += f" {growth.words}"
    return f"{words}, in {currency}"


def budget_sentence(budget: BudgetInfo, *, sees_all_data: bool = False) -> str:
    """What the memory may hold, how it is counted and how it grows, in few sentences.

    >>> budget = BudgetInfo(currency="samples", growth="total", memory="200", unit=1,
    ...                     unit_meaning="one untouched sample", amount=200, sample_bytes=3412.5)
    >>> budget_sentence(budget)
    'The memory may hold 200 samples in total, in samples. An exemplar is charged the share of its
    image that is kept, and the total is fixed however many classes there are.'
    >>> copied = {"memory": "as replay with memory 5 in bytes", "currency": "exemplars"}
    >>> budget_sentence({**budget, **copied, "amount": None})
    'The memory holds as many exemplars of each class as replay keeps with memory 5 in
    bytes, whatever their size.'
    >>> budget_sentence(budget, sees_all_data=True)
    'Every phase trains again from the backbone on the data of all phases so far: an upper
    bound.'
    """
    if sees_all_data:
        return (
            "Every phase trains again from the backbone on the data of all phases so far: an upper "
            "bound."
        )
    if budget["amount"] is None:
        model, _, setting = budget["memory"].removeprefix("as ").partition(" with ")
        return (
            f"The memory holds as many exemplars of each class as {model} keeps with "
            f"{setting}, whatever their size."
        )
    words = memory_words(budget)
    if words == "no memory":
        return "No sample is kept from one phase to the next."
    rules = (CURRENCIES[budget["currency"]].rule, GROWTHS[budget["growth"]].rule)
    return f"The memory may hold {words}. {', and '.join(rules)}."


def spread_words(spread: Spread | None, digits: int = 1, plus_minus: str = "±") -> str:
    """Mean and deviation; a single run has no deviation.

    >>> spread_words(Spread(66.25, 0.513, 3)), spread_words(Spread(66.25, None, 1), 2)
    ('66.2 ± 0.5', '66.25')
    """
    if spread is None:
        return MISSING
    if spread.std is None:
        return f"{spread.mean:.{digits}f}"
    return f"{spread.mean:.{digits}f} {plus_minus} {spread.std:.{digits}f}"


def title_words(name: str) -> str:
    """A registered name as a title.

    >>> title_words("exemplar_masking"), title_words("ease"), title_words("mine.py:My_Method")
    ('Exemplar masking', 'EASE', 'My Method')
    """
    words = name.rpartition(":")[2].replace("_", " ").strip()
    return words.upper() if len(words) <= 4 and ":" not in name else words[:1].upper() + words[1:]


def method_title(result: Result) -> str:
    """What a method calls itself, else its registered name as a title."""
    return result["about"].get("name") or title_words(result["method"])


def phases_words(sizes: Sequence[int], stopped_of: int | None = None) -> str:
    """How the classes come, by the new classes of each phase learned; of how many if not all are.

    >>> phases_words([4, 4, 4]), phases_words([21, 20, 20, 20, 20]), phases_words([10])
    ('3 phases of 4 classes', '5 phases, 21 classes first, then 20 each', '1 phase of 10 classes')
    >>> phases_words([5, 3, 2])
    '3 phases of 5, 3, 2 classes'
    >>> phases_words([4, 4, 4], 10)
    'the first 3 of 10 phases of 4 classes'
    """
    phases = "1 phase" if len(sizes) == 1 else f"{len(sizes)} phases"
    if stopped_of is not None:
        phases = f"the first {len(sizes)} of {stopped_of} phases"
    if len(set(sizes)) == 1:
        return f"{phases} of {sizes[0]} {'class' if sizes[0] == 1 else 'classes'}"
    if len(set(sizes[1:])) == 1:
        return f"{phases}, {sizes[0]} classes first, then {sizes[1]} each"
    return f"{phases} of {', '.join(map(str, sizes))} classes"


def result_phases_words(result: Result) -> str:
    """How the classes of a run come, and whether it stopped before the last of them."""
    config = result["config"]
    stopped_of = config["phases"] if config.get("stop_after") else None
    return phases_words([len(phase["classes"]) for phase in result["phases"]], stopped_of)


def order_words(order: ClassOrder) -> str:
    """Which class order it is.

    >>> order_words(ClassOrder(seed=1993, name=None, order=[1, 0], sha256="", names=["b", "a"]))
    'seed 1993'
    >>> order_words(ClassOrder(seed=None, name="coda", order=[1, 0], sha256="", names=["b", "a"]))
    'coda'
    """
    if order["name"] is not None:
        return order["name"]
    return "natural" if order["seed"] is None else f"seed {order['seed']}"


def exemplars_per_class(result: Result) -> float:
    """Mean number of exemplars per class in the final memory, over all classes seen."""
    seen = sum(len(phase["classes"]) for phase in result["phases"])
    return result["phases"][-1]["memory"]["exemplars"] / seen


def class_share(ledger: ClassLedger) -> float | None:
    """Used share of a class's budget; None where a class has no budget of its own.

    >>> class_share(ClassLedger(exemplars=4, bytes=90, cost=3.0, budget=4.0))
    0.75
    """
    return ledger["cost"] / ledger["budget"] if ledger["budget"] else None
