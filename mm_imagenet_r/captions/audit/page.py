"""The findings as one HTML page that loads nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from mm_imagenet_r.captions.audit import Audit, examples
from mm_imagenet_r.captions.audit.elements import (
    bars,
    card,
    figure,
    grade_bars,
    legend,
    percent,
    section,
    short,
)
from mm_imagenet_r.captions.audit.gallery import figures, readable
from mm_imagenet_r.captions.audit.text_only import is_available
from mm_imagenet_r.captions.flags import FLAGS
from mm_imagenet_r.markup import Child, Html, el, join
from mm_imagenet_r.pages import render

if TYPE_CHECKING:
    from mm_imagenet_r.archive import Images

_SHOWN: Final = 12


def page(found: Audit, images: Images | None, name: str = "Captions") -> str:
    """Return the document.

    Args:
        found: What to show.
        images: Where the images lie, to show some; without them captions are shown alone.
        name: The title, if the captions do not say which model made them.
    """
    title = str(found.captions.info.get("model") or name)
    return render(
        "mm_imagenet_r.captions.audit",
        "page.html",
        styles=["audit.css"],
        title=f"{title}: caption audit",
        body=join(
            _header(title, found),
            el(
                "main",
                el("div", _cards(found), class_="cards"),
                _samples(found, images),
                _leakage(found),
                _text_only(found),
                _lengths(found),
                _faults(found, images),
                _sameness(found),
            ),
            el(
                "footer", el("p", "All of this follows from the captions, which are never changed.")
            ),
        ),
    )


def _header(title: str, found: Audit) -> Html:
    count = found.overall.count
    lead: list[Child] = [
        f"Of {count:,} captions ",
        el("strong", percent(found.overall.share), " name the class"),
        " of their image",
    ]
    if found.text_only is not None:
        lead += [
            "; text alone tells it in ",
            el("strong", percent(found.text_only.raw)),
            f", and in {percent(found.text_only.masked)} when these names are masked",
        ]
    info = found.captions.info
    decoding = info.get("decoding")
    facts = {
        "caption set": found.captions.identity,
        "prompt": info.get("prompt"),
        "revision": info.get("revision"),
        "decoding": ", ".join(f"{key} {json.dumps(value)}" for key, value in decoding.items())
        if isinstance(decoding, dict)
        else None,
        "precision": info.get("dtype"),
        "split": f"{found.split.name}, {len(found.split.test):,} images for testing, "
        f"sha256 {found.split.sha256[:16]}",
        "no caption": f"{len(found.captions.failed):,} images" if found.captions.failed else None,
    }
    shown = [
        (el("dt", key), el("dd", str(value))) for key, value in facts.items() if value is not None
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
    return join(
        card("name their class", *figure(found.overall.share),
              "by its label or another of its names", "first"),
        card("text-only accuracy", *(figure(text.raw) if text else ("-", "")),
              f"{percent(text.masked)} with names masked" if text else _lacking()),
        card("words", f"{found.mean_words:.0f}", "on average",
              f"half have {found.quantile(0.25)} to {found.quantile(0.75)}"),
        card("have a fault", *figure(found.flagged / count),
              f"{percent(found.duplicated / count)} are not unique"),
    )  # fmt: skip


def _samples(found: Audit, images: Images | None) -> Html:
    side = (
        "Taken by a hash of their names, of each grade in turn. Names of the class are marked: "
        "its label or a lemma strongly, a head noun lightly."
    )
    return section(
        "Samples", side, el("div", figures(found, examples(found), images), class_="gallery"),
        open_=True,
    )  # fmt: skip


def _leakage(found: Audit) -> Html:
    groups = {"all captions": found.overall}
    groups |= {f"{part} part": group for part, group in found.by_part.items()}
    body: list[Child] = [legend(), grade_bars(groups)]
    note = f"{percent(found.others / found.overall.count)} of all captions name another class."
    if found.by_style:
        styles = sorted(found.by_style.items(), key=lambda item: -item[1].share)
        body += [el("h3", "By rendition", class_="sub"), grade_bars(dict(styles[:20]))]
    if len(found.by_class) > 1:
        ranked = sorted(found.by_class.items(), key=lambda item: (-item[1].share, item[0]))
        most = {readable(wnid): group for wnid, group in ranked[:_SHOWN] if group.share}
        least = {readable(wnid): group for wnid, group in ranked[::-1][:_SHOWN]}
        if never := sum(not group.share for group in found.by_class.values()):
            note = (
                f"{never:,} of {len(ranked):,} classes are named in none of their captions. {note}"
            )
        if most:
            body.append(
                el(
                    "div",
                    el("div", el("h3", "Named most", class_="sub"), grade_bars(most)),
                    el("div", el("h3", "Named least", class_="sub"), grade_bars(least)),
                    class_="columns",
                )
            )
    return section(
        "Captions that name their class",
        "A caption that names its class turns recognition into reading, also when testing. Names "
        "are those of the class's synset in WordNet, with plurals and hyphens; of names that "
        "overlap the longest counts. The numbers count label and other names, not head nouns.",
        body,
        note,
    )


def _text_only(found: Audit) -> Html:
    rows = [("first class that is named", found.rule, "label")]
    if found.text_only is not None:
        rows = [
            ("most frequent class", found.text_only.majority, "head"),
            *rows,
            ("classifier, names masked", found.text_only.masked, "lemma"),
            ("classifier, captions as they are", found.text_only.raw, "label"),
        ]
    shares = bars([(name, [(kind, share)], percent(share)) for name, share, kind in rows])
    note = (
        f"No classifier: it {_lacking()}."
        if found.text_only is None
        else "The gap between the last two is what the names alone give away."
    )
    return section(
        "The class from the text alone",
        "TF-IDF and logistic regression on the training part, tested on the test part, all "
        "classes at once; beside it the rule that takes the first class a caption names.",
        shares,
        note,
    )


def _lacking() -> str:
    return "needs more captions" if is_available() else "needs scikit-learn"


def _lengths(found: Audit) -> Html:
    longest = max(found.quantile(0.995), 1)
    width = max(1, -(-longest // 40))
    bins = [0] * (longest // width + 1)
    for count in found.words:
        bins[min(count // width, len(bins) - 1)] += 1
    high, step = max(bins), 720 / len(bins)
    columns = [
        el(
            "rect",
            el("title", f"{n * width} to {(n + 1) * width - 1} words: {count:,}"),
            x=n * step + 0.75, y=160 - 156 * count / high, rx=1.5,
            width=max(step - 1.5, 1), height=156 * count / high,
        )
        for n, count in enumerate(bins)
    ]  # fmt: skip
    every = max(1, len(bins) // 8)
    marks = [
        el("text", n * width, x=n * step + step / 2, y=180)
        for n in range(0, len(bins), every)
    ]  # fmt: skip
    chart = el(
        "svg", columns, el("line", x1=0, x2=720, y1=160.5, y2=160.5), marks,
        viewBox="0 0 720 186", role="img", aria_label="Histogram of words in a caption",
    )  # fmt: skip
    return section(
        "Length",
        f"Words in a caption: median {found.quantile(0.5)}, 1\N{NO-BREAK SPACE}% have fewer than "
        f"{found.quantile(0.01)}, 1\N{NO-BREAK SPACE}% more than {found.quantile(0.99)}. The last "
        "column holds all that are longer.",
        chart,
    )


def _faults(found: Audit, images: Images | None) -> Html:
    count = found.overall.count
    shares = bars(
        [
            (join(el("strong", flag), " ", el("span", FLAGS[flag], class_="soft")),
             [("fault", len(names) / count)], f"{len(names):,}")
            for flag, names in found.flags.items()
        ]
    )  # fmt: skip
    shown = [
        el(
            "details",
            el("summary", f"{flag}: {min(len(names), _SHOWN)} of {len(names):,}"),
            el("div", figures(found, names[:_SHOWN], images), class_="gallery"),
        )
        for flag, names in found.flags.items()
        if names
    ]
    return section(
        "Faults",
        "Seen in each caption by itself. Faults are reported and never mended.",
        shares,
        el("div", shown, style="margin-top:28px") if shown else None,
    )


def _sameness(found: Audit) -> Html:
    count = found.overall.count
    most = found.openers[0][1] if found.openers else 1
    openers = bars(
        [
            (f"{opener} …", [("label", times / most)], percent(times / count))
            for opener, times in found.openers
        ]
    )
    body: list[Child] = [el("h3", "Captions begin with", class_="sub"), openers]
    if found.duplicates:
        body.append(el("h3", "The same text for several images", class_="sub"))
        body.append(
            el(
                "ul",
                [
                    el(
                        "li",
                        el("span", f"{times:,} times", class_="soft"),
                        el("span", short(text)),
                    )
                    for text, times in found.duplicates[:20]
                ],
                class_="list",
            )
        )
    return section(
        "Sameness",
        f"{percent(found.duplicated / count)} of the captions are those of another image as "
        "well: many of them are a sign that the model does not look.",
        body,
    )
