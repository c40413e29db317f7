"""The findings as one HTML page that loads nothing."""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

from mm_imagenet_r.archive import Images
from mm_imagenet_r.captions.audit import Audit, examples
from mm_imagenet_r.captions.audit.elements import (
    bars,
    card,
    gallery,
    grade_bars,
    percent,
    readable,
    section,
    sub,
)
from mm_imagenet_r.captions.audit.text_only import is_available
from mm_imagenet_r.captions.flags import FLAGS
from mm_imagenet_r.errors import one_line
from mm_imagenet_r.markup import Child, Html, el, join
from mm_imagenet_r.pages import render

_SHOWN: Final = 12
_LEGEND: Final = {
    "label": "by ImageNet's label",
    "lemma": "by another name in WordNet",
    "head": "by a head noun only",
}


def page(found: Audit, images: Images | None, name: str = "Captions") -> str:
    """Return the document, without pictures if there are no images.

    Its title is the model, or `name` if the captions do not say which one made them.
    """
    title = str(found.captions.info.get("model") or name)
    main = el(
        "main",
        _cards(found),
        section(
            "Samples",
            "Chosen by a hash of their names, from each grade in turn. Names of the class are "
            "marked: its label or a lemma strongly, a head noun lightly.",
            gallery(found, examples(found), images),
        ),
        _leakage(found),
        _text_only(found),
        _lengths(found),
        _faults(found, images),
        _repeated(found),
    )
    footer = el("p", "All figures are computed from the captions, which are unchanged.")
    return render(
        "mm_imagenet_r.captions.audit",
        "page.html",
        styles=["audit.css"],
        title=f"{title}: caption audit",
        body=join(_header(title, found), main, el("footer", footer)),
    )


def _header(title: str, found: Audit) -> Html:
    lead: list[Child] = [
        f"Of {found.overall.count:,} captions, ",
        el("strong", percent(found.overall.share), " name the class"),
        " of their image",
    ]
    if found.text_only is not None:
        lead += [
            "; a classifier that reads the text alone is right for ",
            el("strong", percent(found.text_only.raw)),
            f", and for {percent(found.text_only.masked)} when these names are masked",
        ]
    info, split = found.captions.info, found.split
    decoding, failed = info.get("decoding"), len(found.captions.failed)
    if isinstance(decoding, dict):
        decoding = ", ".join(f"{key} {json.dumps(value)}" for key, value in decoding.items())
    facts = {
        "caption set": found.captions.identity,
        "prompt": info.get("prompt"),
        "revision": info.get("revision"),
        "decoding": decoding,
        "precision": info.get("dtype"),
        "split": f"{split.name}, {len(split.test):,} images for testing, "
        f"sha256 {split.sha256[:16]}",
        "no caption": f"{failed:,} images" if failed else None,
    }
    shown = [
        (el("dt", key), el("dd", str(fact))) for key, fact in facts.items() if fact is not None
    ]
    return el(
        "header",
        el("p", "caption audit", class_="eyebrow"),
        el("h1", title),
        el("p", *lead, ".", class_="lead"),
        el("dl", shown, class_="facts"),
    )


def _cards(found: Audit) -> Html:
    count, text = found.overall.count, found.text_only
    cards = (
        card("name their class", f"{100 * found.overall.share:.1f}", "%",
             "by its label or another of its names", "first"),
        card("text-only accuracy", f"{100 * text.raw:.1f}" if text else "-", "%" if text else "",
             f"{percent(text.masked)} with names masked" if text else _lacking()),
        card("words", f"{found.mean_words:.0f}", "on average",
             f"half have {found.quantile(0.25)} to {found.quantile(0.75)}"),
        card("have a fault", f"{100 * found.flagged / count:.1f}", "%",
             f"{percent(found.duplicated / count)} are not unique"),
    )  # fmt: skip
    return el("div", cards, class_="cards")


def _leakage(found: Audit) -> Html:
    groups = {"all captions": found.overall}
    groups |= {f"{part} part": group for part, group in found.by_part.items()}
    legend = [el("li", el("i", class_=grade), words) for grade, words in _LEGEND.items()]
    body: list[Child] = [el("ul", legend, class_="legend"), grade_bars(groups)]
    note = f"{percent(found.others / found.overall.count)} of all captions name another class."
    if found.by_style:
        styles = sorted(found.by_style.items(), key=lambda item: -item[1].share)
        body += [sub("By rendition"), grade_bars(dict(styles[:20]))]
    if len(found.by_class) > 1:
        ranked = sorted(found.by_class.items(), key=lambda item: (-item[1].share, item[0]))
        most = {readable(wnid): group for wnid, group in ranked[:_SHOWN] if group.share}
        least = {readable(wnid): group for wnid, group in ranked[::-1][:_SHOWN]}
        if never := sum(not group.share for group in found.by_class.values()):
            note = (
                f"{never:,} of {len(ranked):,} classes are named in none of their captions. {note}"
            )
        if most:
            columns = (("Named most", most), ("Named least", least))
            sides = [el("div", sub(title), grade_bars(some)) for title, some in columns]
            body.append(el("div", sides, class_="columns"))
    return section(
        "Captions that name their class",
        "A caption that names its class turns recognition into reading, also at test time. Names "
        "are those of the class's synset in WordNet, with plurals and hyphens; of overlapping "
        "names the longest counts. The numbers count labels and other names, not head nouns.",
        body,
        note,
    )


def _text_only(found: Audit) -> Html:
    text = found.text_only
    rows = [("first class named", found.rule, "label")]
    note = f"No classifier: it {_lacking()}."
    if text is not None:
        rows.insert(0, ("most frequent class", text.majority, "head"))
        rows.append(("classifier, names masked", text.masked, "lemma"))
        rows.append(("classifier, captions unchanged", text.raw, "label"))
        note = "The gap between the last two is what the names alone give away."
    return section(
        "The class from the text alone",
        "TF-IDF and logistic regression, trained on the training part and tested on the test part, "
        "all classes at once; and the rule that predicts the first class a caption names.",
        bars((name, [(kind, share)], percent(share)) for name, share, kind in rows),
        note,
    )


def _lacking() -> str:
    return "needs more captions" if is_available() else "needs scikit-learn"


def _lengths(found: Audit) -> Html:
    longest = max(found.quantile(0.995), 1)
    width = -(-longest // 16)
    bins = Counter(min(count // width, longest // width) for count in found.words)
    high = max(bins.values())
    space = "\N{NO-BREAK SPACE}"
    return section(
        "Length",
        f"Words per caption: median {found.quantile(0.5)}, 1{space}% have fewer than "
        f"{found.quantile(0.01)}, 1{space}% more than {found.quantile(0.99)}. The last row holds "
        "all longer captions.",
        bars(
            (f"{n * width} to {(n + 1) * width - 1}", [("label", bins[n] / high)], f"{bins[n]:,}")
            for n in range(longest // width + 1)
        ),
    )


def _faults(found: Audit, images: Images | None) -> Html:
    shares = bars(
        (join(el("strong", flag), " ", el("span", FLAGS[flag], class_="soft")),
         [("fault", len(names) / found.overall.count)], f"{len(names):,}")
        for flag, names in found.flags.items()
    )  # fmt: skip
    shown = [
        el("details", el("summary", f"{flag}: {min(len(names), _SHOWN)} of {len(names):,}"),
           gallery(found, names[:_SHOWN], images))
        for flag, names in found.flags.items()
        if names
    ]  # fmt: skip
    return section(
        "Faults",
        "Judged from each caption alone. Faults are reported and never corrected.",
        shares,
        el("div", shown, style="margin-top:28px") if shown else None,
    )


def _repeated(found: Audit) -> Html:
    count = found.overall.count
    most = found.openers[0][1] if found.openers else 1
    openers = bars(
        (f"{opener} …", [("label", times / most)], percent(times / count))
        for opener, times in found.openers
    )
    body: list[Child] = [sub("Captions begin with"), openers]
    if found.duplicates:
        items = [
            el("li", el("span", f"{times:,} times", class_="soft"), el("span", one_line(text, 240)))
            for text, times in found.duplicates[:20]
        ]
        body += [sub("The same text for several images"), el("ul", items, class_="list")]
    return section(
        "Repeated captions",
        f"{percent(found.duplicated / count)} of the captions also belong to another image. A high "
        "share suggests that the model ignores the image.",
        body,
    )
