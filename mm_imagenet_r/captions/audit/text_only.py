"""How well the class can be told from the caption alone, without the image."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mm_imagenet_r.captions.leakage import Lexicon


@dataclass(frozen=True, slots=True)
class TextOnly:
    """Accuracy on the test part, 0 to 1.

    Attributes:
        raw: Of a classifier that reads the captions.
        masked: Of one that reads them with the names of their own classes replaced.
        majority: Of always taking the most frequent class.
    """

    raw: float
    masked: float
    majority: float


def is_available() -> bool:
    """Tell whether scikit-learn is installed."""
    return importlib.util.find_spec("sklearn") is not None


def text_only(
    texts: Sequence[str], classes: Sequence[str], held_out: Sequence[bool], lexicon: Lexicon
) -> TextOnly | None:
    """Train a classifier on captions, all classes at once, and test it.

    TF-IDF of single words, and multinomial logistic regression. The gap between raw and masked
    is what the names give away; what is left, the captions describe.

    Args:
        texts: (n,) captions.
        classes: (n,) class of each.
        held_out: (n,) True for the test part.
        lexicon: Knows the names of the classes.

    Returns:
        None without scikit-learn, or with fewer than two classes.
    """
    train = [number for number, out in enumerate(held_out) if not out]
    test = [number for number, out in enumerate(held_out) if out]
    if not is_available() or len({classes[n] for n in train}) < 2 or not test:
        return None
    masked = [lexicon.mask(text, its) for text, its in zip(texts, classes, strict=True)]
    most = Counter(classes[number] for number in train).most_common(1)[0][0]
    majority = sum(classes[number] == most for number in test) / len(test)

    def accuracy(captions: Sequence[str]) -> float:
        return _accuracy(
            [captions[n] for n in train], [classes[n] for n in train],
            [captions[n] for n in test], [classes[n] for n in test],
        )  # fmt: skip

    return TextOnly(accuracy(texts), accuracy(masked), majority)


def _accuracy(
    texts: list[str], classes: list[str], test_texts: list[str], test_classes: list[str]
) -> float:
    text: Any = importlib.import_module("sklearn.feature_extraction.text")
    linear: Any = importlib.import_module("sklearn.linear_model")
    vectorizer = text.TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)[^\W_]+")
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError:  # no words at all
        return 0.0
    model = linear.LogisticRegression(C=10.0, max_iter=100, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last digits of convergence do not matter here
        model.fit(features, classes)
    return float(model.score(vectorizer.transform(test_texts), test_classes))
