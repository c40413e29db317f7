"""What may be wrong with a caption, judged from the caption alone.

The text is never changed: each caption carries the names of what was found in it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

#: What each flag means, in the order in which they are listed.
FLAGS: Final[dict[str, str]] = {
    "empty": "there is no text",
    "cut": "it ended at the token limit",
    "filtered": "a filter of the server ended it",
    "repetition": "it repeats words, phrases or sentences",
    "echo": "it begins with the prompt",
    "refusal": "the model declined, or spoke about itself",
    "unprintable": "it has control or replacement characters",
    "foreign": "it has hardly any English function words",
}

_WORD: Final = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")
_REFUSAL: Final = re.compile(
    r"\b(i'?m sorry|i am sorry|i apologi[sz]e|as an ai\b|language model"
    r"|i (can ?not|can'?t|am unable to|am not able to) (see|view|describe|help|assist|provide))",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Split a text into its words, in lower case.

    >>> words("A timber-wolf's den, at night.")
    ['a', 'timber-wolf', 'den', 'at', 'night']
    """
    return [word.removesuffix("'s") for word in _WORD.findall(text.lower())]


_STOPWORDS: Final = frozenset(
    words("a an the of in on at with and or is are was it its this that to there by as for from")
    + words("which has have be being")
)


def repeats(text: str) -> bool:
    """Tell whether a text repeats itself.

    More than a fifth of its 4-grams occur before, a sentence of five words or more occurs twice,
    or a word that is not a function word makes up more than 30 % of at least ten words.

    >>> repeats("a dog in the park. " * 3)
    True
    >>> repeats("The image shows a dog in the park. The dog carries a stick, and runs to a tree.")
    False
    """
    found = words(text)
    grams = [tuple(found[i : i + 4]) for i in range(len(found) - 3)]
    if grams and 1 - len(set(grams)) / len(grams) > 0.2:
        return True
    sentences = [tuple(words(part)) for part in re.split(r"[.!?]+", text)]
    long = [sentence for sentence in sentences if len(sentence) >= 5]
    if len(set(long)) < len(long):
        return True
    content = Counter(word for word in found if word not in _STOPWORDS)
    return len(found) >= 10 and max(content.values(), default=0) > 0.3 * len(found)


def flags(caption: str, finish: str, prompt: str) -> list[str]:
    """Return the names of what may be wrong with a caption, in the order of `FLAGS`.

    >>> flags("A painting of a dog on a sofa.", "stop", "Describe the image.")
    []
    >>> flags("I'm sorry, I cannot see any image.", "length", "Describe the image.")
    ['cut', 'refusal']
    """
    plain, asked = " ".join(words(caption)), " ".join(words(prompt))
    tokens = plain.split()
    # English prose has a function word in every three; a list of keywords or German has none.
    foreign = len(tokens) >= 8 and sum(w in _STOPWORDS for w in tokens) < 0.1 * len(tokens)
    found = {
        "empty": not caption.strip(),
        "cut": finish == "length",
        "filtered": finish == "content_filter",
        "repetition": repeats(caption),
        "echo": bool(asked) and plain.startswith(asked),
        "refusal": _REFUSAL.search(caption) is not None,
        "unprintable": any(c == "\ufffd" or not (c.isprintable() or c.isspace()) for c in caption),
        "foreign": foreign,
    }
    return [name for name in FLAGS if found[name]]
