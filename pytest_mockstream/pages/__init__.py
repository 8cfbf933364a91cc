"""HTML pages that are complete in themselves: one file, which loads nothing and shows the data that it carries.

It knows nothing of what the data says. A page's own part is ``static/<name>.js`` and ``static/<name>.css``; what pages
share is in ``static/common.js`` and ``static/common.css``.
"""

from __future__ import annotations

import html
import json
import math
import os
import unicodedata
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_mockstream._base.files import write_whole

from . import assets

__all__ = ["as_json", "page", "page_of_json", "write"]

#: What would be read as markup inside a script element, although it is data.
_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
#: Unicode's categories of characters that cannot be seen: control, format, surrogates, separators of lines.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="pytest-mockstream">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript>This page needs JavaScript. All that it shows is in its source, as JSON.</noscript>
<script type="application/json" id="data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def page(name: str, data: object, *, title: str, live: bool = False) -> str:
    """Return a page, which shows data.

    Args:
        name: which page: that of ``static/<name>.js`` and ``static/<name>.css``.
        data: what JSON can say. Numbers that it cannot say are given as the texts "NaN", "Infinity" and "-Infinity".
        title: the document's title, any text.
        live: the page may speak to the server that it comes from; else to nobody.

    Raises:
        TypeError: JSON cannot say the data.
    """
    return page_of_json(name, as_json(data).encode(), title=title, live=live).decode()


def page_of_json(name: str, data: bytes, *, title: str, live: bool = False) -> bytes:
    """Return a page in UTF-8, as ``page`` does, which shows what ``as_json`` has returned, in ASCII."""
    before, between, after = _template(name, live=live)
    return b"".join((before, html.escape(_seen(title)).encode(), between, data, after))


@lru_cache(maxsize=8)
def _template(name: str, *, live: bool) -> tuple[bytes, bytes, bytes]:
    """Return what stands in a page before its title, between that and the data, and after them, in UTF-8."""
    style, script = assets.style(name), assets.script(name)
    policy = [
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        *(["connect-src 'self'"] if live else []),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    before, _, rest = _PAGE.partition("{title}")
    between, _, after = rest.partition("{data}")
    said = {"policy": "; ".join(policy), "style": style, "script": script}
    return before.format_map(said).encode(), between.format_map(said).encode(), after.format_map(said).encode()


def write(path: str | os.PathLike[str], text: str) -> None:
    """Write a file such that whoever opens it finds all of it, or what was there before.

    Args:
        path: the file; its folder is made if there is none.
        text: what it is to say.

    Raises:
        OSError: it cannot be written; then what was there is still there.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, text.encode())


def as_json(data: object) -> str:
    """Return data as JSON in ASCII that ends no script element, whatever it says.

    Raises:
        TypeError: JSON cannot say it.
    """
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_sayable(data), allow_nan=False, separators=(",", ":"))
    for char, escape in _MARKUP.items():
        if char in text:  # to look is much faster than to count, as replacing does
            text = text.replace(char, escape)
    return text


def _sayable(value: Any) -> Any:
    """Return a value with the numbers that JSON cannot say as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, dict):
        return {key: _sayable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sayable(item) for item in value]
    return value


def _seen(text: str) -> str:
    """Return a text with the code points of its characters that cannot be seen in their places."""
    if text.isprintable():
        return text
    return "".join(f"U+{ord(char):04X}" if unicodedata.category(char) in _INVISIBLE else char for char in text)


def _hash(text: str) -> str:
    """Return how a Content-Security-Policy names a script or style by what it says."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
