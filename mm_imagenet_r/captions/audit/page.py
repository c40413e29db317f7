"""The findings as one HTML page that loads nothing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any, Final

from mm_imagenet_r import images as decoding
from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions.audit import Audit, examples
from mm_imagenet_r.captions.audit.text_only import is_available
from mm_imagenet_r.captions.files import other_images
from mm_imagenet_r.captions.flags import FLAGS
from mm_imagenet_r.captions.leakage import imagenet_r, lexicon_around
from mm_imagenet_r.errors import one_line
from mm_imagenet_r.markup import Html, el, join
from mm_imagenet_r.pages import render

_SHOWN: Final = 12
_SIDE: Final = 420


def page(found: Audit, images: Images | None, name: str = "Captions") -> str:
    """Return the document, without pictures if there are no images.

    Its title is the model, or `name` if the captions do not say which one made them.
    """
    model = str(found.captions.info.get("model") or name)
    known = set(images.names) if images is not None else set()

    def picture(name: str) -> str | None:
        if images is None or name not in known:
            return None
        data = images.read(name)
        if found.captions.hashes.get(name) not in (None, hashlib.sha256(data).hexdigest()):
            raise other_images(found.captions.identity, images.path, [name])
        return thumbnail(data)

    groups = {"all captions": found.overall}
    groups |= {f"{part} part": group for part, group in found.by_part.items()}
    ranked = sorted(found.by_class.items(), key=lambda item: (-item[1].share, item[0]))
    named = [(readable(wnid), group) for wnid, group in ranked if len(ranked) > 1]
    longest = max(found.quantile(0.995), 1)
    width = -(-longest // 16)
    bins = Counter(min(count // width, longest // width) for count in found.words)
    return render(
        "mm_imagenet_r.captions.audit",
        "audit.html",
        styles=["audit.css"],
        title=f"{model}: caption audit",
        model=model,
        found=found,
        facts=_facts(found),
        samples=examples(found),
        groups=groups.items(),
        renditions=sorted(found.by_style.items(), key=lambda item: -item[1].share)[:20],
        most=[(label, group) for label, group in named[:_SHOWN] if group.share],
        least=named[::-1][:_SHOWN],
        never=sum(not group.share for _, group in named),
        bins=[(n * width, (n + 1) * width - 1, bins[n]) for n in range(longest // width + 1)],
        highest=max(bins.values()),
        lacking="needs more captions" if is_available() else "needs scikit-learn",
        meanings=FLAGS,
        shown=_SHOWN,
        picture=picture,
        percent=percent,
        marked=marked,
        readable=readable,
        one_line=one_line,
    )


def _facts(found: Audit) -> dict[str, Any]:
    """What is known of the captions; None if it is not."""
    info, split, failed = found.captions.info, found.split, len(found.captions.failed)
    chosen = info.get("decoding")
    if isinstance(chosen, dict):
        chosen = ", ".join(f"{key} {json.dumps(value)}" for key, value in chosen.items())
    return {
        "caption set": found.captions.identity,
        "prompt": info.get("prompt"),
        "revision": info.get("revision"),
        "decoding": chosen,
        "precision": info.get("dtype"),
        "split": f"{split.name}, {len(split.test):,} images for testing, "
        f"sha256 {split.sha256[:16]}",
        "no caption": f"{failed:,} images" if failed else None,
    }


def percent(share: float) -> str:
    r"""A share in a sentence, with a space that does not break the line.

    >>> percent(0.5)
    '50.0\xa0%'
    """
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def marked(caption: str, wnid: str) -> Html:
    """Return a caption with the names of its class marked by their grades.

    >>> marked("A polar bear < a bear.", "n02134084")
    'A <mark class="lemma">polar bear</mark> &lt; a <mark class="head">bear</mark>.'
    """
    parts: list[str] = []
    end = 0
    for mention in lexicon_around(wnid).mentions(caption):
        if wnid in mention.grades:
            name = caption[mention.start : mention.end]
            parts += [caption[end : mention.start], el("mark", name, class_=mention.grades[wnid])]
            end = mention.end
    return join(parts, caption[end:])


def readable(wnid: str) -> str:
    """Return ImageNet's label of a class, or its folder's name.

    >>> readable("n02134084"), readable("apple_pie")
    ('ice bear', 'apple pie')
    """
    names = imagenet_r().get(wnid)
    return names.label if names is not None else wnid.replace("_", " ")


def thumbnail(data: bytes) -> str | None:
    """Return a small copy of an image as a data: address, None if it is broken."""
    image = decoding.rgb_or_fault(data)
    if isinstance(image, str):
        return None
    image.thumbnail((_SIDE, _SIDE))
    return decoding.jpeg_url(image, quality=82)
