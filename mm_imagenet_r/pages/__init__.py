"""HTML pages that load nothing: one frame, one style sheet; text from data is always escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_imagenet_r.errors import UserError
from mm_imagenet_r.markup import Html
from mm_imagenet_r.reading import open_regular

if TYPE_CHECKING:
    import jinja2

#: In the first bytes of all pages, also of those that earlier versions wrote.
_MARK: Final = b"default-src 'none';"
_BEGINNING: Final = 1024


def render(
    package: str,
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str] = (),
    parts: str = "",
    **values: Any,
) -> str:
    """A whole page from a template of a package that extends `page.html`.

    Its Content-Security-Policy allows this style sheet and script, by their hashes, and pictures in
    the page: text from data that became markup could neither run nor load anything. The attribute
    `style` is allowed; there it can do nothing that matters.

    `styles` follow the sheet that all pages share, and `scripts` share one scope; they and further
    macros may lie in another package, `parts`. All text in `values` is escaped but `Html`.
    """

    def read(name: str) -> str:
        return (resources.files(parts or package) / name).read_text("utf-8")

    shared = (resources.files(__package__) / "page.css").read_text("utf-8")
    style = shared + "".join(map(read, styles))
    script = "\n".join(map(read, scripts))
    script = f'"use strict";\n(() => {{\n{script}\n}})();' if script else ""
    policy = (
        f"default-src 'none'; {f'script-src {_hash(script)}; ' if script else ''}"
        f"style-src-elem {_hash(style)}; "
        "style-src-attr 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    values |= {"style": Html(style), "script": Html(script), "policy": Html(policy)}
    return _environment(package, parts).get_template(template).render(values) + "\n"


def check_page(path: Path) -> None:
    """Raise UserError if a page would be written over a file that is no page of this package."""
    try:
        with open_regular(path) as file:
            beginning = file.read(_BEGINNING)
    except FileNotFoundError:
        return
    except OSError as error:
        why = error.strerror or str(error)
    else:
        if not beginning or _MARK in beginning:
            return
        why = "it is something else"
    raise UserError(
        f"the page cannot be written over {path} ({why}): remove that, or give another --output"
    )


@functools.cache
def _environment(*packages: str) -> jinja2.Environment:
    import jinja2

    names = [name for name in (*packages, __package__) if name]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "") for name in names]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def as_script(data: Any) -> Html:
    r"""JSON that no HTML parser can take for markup, wherever it stands.

    >>> print(as_script({"name": "</script><b>"}))
    {"name":"\u003c/script\u003e\u003cb\u003e"}
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
