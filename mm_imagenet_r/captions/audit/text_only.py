"""How well the class can be predicted from the caption alone, without the image."""

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
    """Accuracy on the test part, 0 to 1."""

    raw: float  # of a classifier that reads the captions
    masked: float  # of one that reads them with the names of their own classes replaced
    majority: float  # of always predicting the most frequent class


def is_available() -> bool:
    """Tell whether scikit-learn is installed."""
    return importlib.util.find_spec("sklearn") is not None


def text_only(
    texts: Sequence[str], classes: Sequence[str], held_out: Sequence[bool], lexicon: Lexicon
) -> TextOnly | None:
    """Train a classifier on captions, all classes at once, and test it on those `held_out`.

    TF-IDF of single words, and multinomial logistic regression. The gap between raw and masked is
    what the names give away; the rest is what the captions describe. None without scikit-learn, or
    with fewer than two classes.
    """
    train = [number for number, out in enumerate(held_out) if not out]
    test = [number for number, out in enumerate(held_out) if out]
    labels, expected = [classes[n] for n in train], [classes[n] for n in test]
    if not is_available() or len({*labels}) < 2 or not test:
        return None
    text: Any = importlib.import_module("sklearn.feature_extraction.text")
    linear: Any = importlib.import_module("sklearn.linear_model")

    def accuracy(captions: Sequence[str]) -> float:
        vectorizer = text.TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)[^\W_]+")
        try:
            features = vectorizer.fit_transform([captions[n] for n in train])
        except ValueError:  # no words at all
            return 0.0
        model = linear.LogisticRegression(C=10.0, max_iter=100, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the last digits of convergence do not matter here
            model.fit(features, labels)
        return float(model.score(vectorizer.transform([captions[n] for n in test]), expected))

    masked = [lexicon.mask(caption, its) for caption, its in zip(texts, classes, strict=True)]
    most = Counter(labels).most_common(1)[0][0]
    return TextOnly(accuracy(texts), accuracy(masked), expected.count(most) / len(expected))
