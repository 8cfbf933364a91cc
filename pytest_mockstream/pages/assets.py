"""The style and the script of a page, each as one text, without what only people who read it need.

Scripts are ES modules in files of their own. Here they are put behind one another, those that are imported first, and
lose their comments and the space that JavaScript does not need. It knows just the JavaScript that these files are
written in: statements end with semicolons, and templates are within templates once at most.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

_STATIC = Path(__file__).with_name("static")
IMPORT = re.compile(r'^import \{(?P<names>[^}]*)\} from "\./(?P<module>\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async |class |const |function |let )", re.MULTILINE)
#: What JavaScript is made of, as far as these files go.
TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<space>\s+)
    |(?P<whole>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'       # a string
        |`(?:\\.|\$\{(?:[^{}`]|`(?:\\.|[^`\\])*`)*\}|[^`\\])*`             # or a template, with templates within
        |(?<=[(=:,?\s])/(?![\s/*])(?:\\.|\[(?:\\.|[^]\\\n])*]|[^/\\\[\n])+/\w*) # or a regular expression
    |(?P<word>[\w$#@]+)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_WORDY = re.compile(r"[\w$#@]")
_CSS_IMPORT = re.compile(r'^@import "\./(?P<file>\w+\.css)";\n', re.MULTILINE)
_CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@lru_cache(maxsize=8)
def style(name: str) -> str:
    """Return the style of a page, behind that of all pages and those that it imports."""
    own = _static(f"{name}.css")
    imported = [_static(match["file"]) for match in _CSS_IMPORT.finditer(own)]
    text = _CSS_COMMENT.sub("", "".join([_static("common.css"), *imported, _CSS_IMPORT.sub("", own)]))
    text = re.sub(r" ?([{};,>]) ?", r"\1", re.sub(r"\s+", " ", text)).replace(": ", ":").replace(";}", "}")
    return re.sub(r"(?<![\d.])0\.", ".", text).strip()


@lru_cache(maxsize=8)
def script(name: str) -> str:
    """Return the modules of a page as one, each behind those that it imports."""
    modules: dict[str, str] = {}

    def add(module: str) -> None:
        if module in modules:
            return
        text = _static(f"{module}.js")
        for match in IMPORT.finditer(text):
            add(match["module"])
        modules[module] = _EXPORT.sub("", IMPORT.sub("", text))

    add(name)
    return squeezed("".join(modules.values()))


def squeezed(text: str) -> str:
    """Return JavaScript without comments and layout, and with short private names, which nothing outside knows.

    Each of its statements must end with a semicolon or a block.
    """
    made: list[str] = []
    names: dict[str, str] = {}
    last, apart = "", False
    for match in TOKEN.finditer(text):
        part = match[0]
        if match["comment"] or match["space"]:
            apart = True
            continue
        if part == "const":
            part = "let"  # the same to what runs
        elif part.startswith("#") and len(part) > 1:
            part = names.setdefault(part, f"#a{len(names)}")
        if apart and (_joins(last, part) or (last == part and part in {"+", "-"})):
            made.append(" ")
        elif (last == ";" and part == "}") or (last == "," and part in {"}", ")", "]"}):
            made.pop()
        made.append(part)
        last, apart = part, False
    return "".join(made)


def _joins(before: str, after: str) -> bool:
    """Tell whether two tokens with nothing between them would be one word."""
    return bool(_WORDY.match(before[-1:]) and _WORDY.match(after))


def _static(file: str) -> str:
    return (_STATIC / file).read_text(encoding="utf-8")
