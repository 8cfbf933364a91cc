"""A page is one file that loads nothing, and its data is data whatever it says. These need no browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream.pages import as_json, assets, page, page_of_json, write

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec=None)) | st.sampled_from(
    ["</script>", "<!--", "-->", "<script", "]]>", "&lt;", "__proto__"]
)
JSON = st.recursive(SCALARS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)


class Elements(HTMLParser):
    """Finds the elements of a page, and what its scripts and styles say, as a browser would."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and data.strip():
            self.texts.append((self.tags[-1][0], data))


def data_of(text: str) -> object:
    """Return what a page carries."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@given(JSON)
def test_data_is_what_was_put_in_and_ends_no_element(data: object) -> None:
    text = page("trace", data, title="A page")

    assert data_of(text) == data
    assert [tag for tag, _ in Elements(text).tags if tag == "script"] == ["script", "script"]
    text.encode()


@given(st.text(st.characters(codec=None)))
def test_title_is_text_whose_every_character_is_seen(title: str) -> None:
    text = page("trace", None, title=title)

    shown = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
    assert shown
    assert not re.search(r"[<\x00-\x1f\u200b-\u200f\u2028-\u202e\ud800-\udfff]", shown[1])
    text.encode()


def test_page_of_json_is_the_page_of_its_data() -> None:
    made = page_of_json("trace", as_json({"a": "<é>"}).encode(), title="A <é> {data}")

    assert made == page("trace", {"a": "<é>"}, title="A <é> {data}").encode()
    assert data_of(made.decode()) == {"a": "<é>"}
    assert "<title>A &lt;é&gt; {data}</title>" in made.decode()


def test_numbers_that_json_cannot_say_are_texts() -> None:
    text = page("trace", {"a": [float("nan"), (float("inf"),)], "b": -float("inf"), "c": 1.5}, title="")

    assert data_of(text) == {"a": ["NaN", ["Infinity"]], "b": "-Infinity", "c": 1.5}


def test_what_json_cannot_say_at_all_is_an_error() -> None:
    with pytest.raises(TypeError, match="bytes is not JSON serializable"):
        page("trace", {"a": b""}, title="")


def test_policy_allows_only_what_the_page_itself_says() -> None:
    text = page("trace", None, title="")

    elements = Elements(text)
    policy = next(attrs["content"] or "" for tag, attrs in elements.tags if "http-equiv" in attrs)
    said = {tag: found for tag, found in elements.texts if tag in {"script", "style"}}
    hashes = {tag: f"'sha256-{b64encode(sha256(found.encode()).digest()).decode()}'" for tag, found in said.items()}
    assert policy.split("; ") == [
        "default-src 'none'",
        f"script-src {hashes['script']}",
        f"style-src {hashes['style']}",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_only_a_live_page_may_speak_to_its_server() -> None:
    assert "connect-src 'self'" in page("trace", None, title="", live=True)
    assert "connect-src" not in page("trace", None, title="")


STATIC = Path(assets.__file__).with_name("static")
NAMES = sorted({file.stem for file in STATIC.glob("*.js")} & {file.stem for file in STATIC.glob("*.css")} - {"common"})


@pytest.mark.parametrize("name", NAMES)
def test_page_is_under_60_kib_before_data(name: str) -> None:
    assert len(page(name, None, title="").encode()) < 60 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_page_names_no_address_and_makes_no_markup(name: str) -> None:
    said = assets.style(name) + assets.script(name).replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"https?:|[\"'`(]//|@import|url\(", said)
    assert not re.search(
        r"[iI]nnerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|<!--|</script", said
    )


@pytest.mark.parametrize("name", NAMES)
def test_style_of_a_page_has_all_that_it_uses(name: str) -> None:
    style = assets.style(name)

    assert set(re.findall(r"var\((--[\w-]+)", style)) <= set(re.findall(r"(--[\w-]+):", style))


SCRIPTS = {file.stem: file.read_text(encoding="utf-8") for file in sorted(STATIC.glob("*.js"))}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_imports_is_exported_and_used(script: str) -> None:
    """Nothing else would tell: imports are taken out when scripts are put together."""
    own = assets.IMPORT.sub("", SCRIPTS[script])
    imported = [
        (match["module"], name.strip())
        for match in assets.IMPORT.finditer(SCRIPTS[script])
        for name in match["names"].rstrip(", \n").split(",")
    ]

    exported = r"^export (async )?(class|const|function|let) {}\b"
    assert [
        name for module, name in imported if not re.search(exported.format(name), SCRIPTS[module], re.MULTILINE)
    ] == []
    assert [name for _, name in imported if not re.search(rf"\b{name}\b", own)] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_templates_of_a_script_are_known_whole(script: str) -> None:
    """Else a part of their text is taken for code, and loses its space."""
    for match in assets.TOKEN.finditer(SCRIPTS[script]):
        if match[0].startswith("`"):
            assert match[0].count("{") == match[0].count("}"), match[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("const a = 1; // one\n", "let a=1;"),
        ('put( "a  // b", `c  /* d */` )', 'put("a  // b",`c  /* d */`)'),
        ("`a ${b ? `c  ${ d }` : ''}  e`  +  f", "`a ${b ? `c  ${ d }` : ''}  e`+f"),
        ("return /[/ ]  x/.test( a )", "return/[/ ]  x/.test(a)"),
        ("a / b / c", "a/b/c"),
        ("a + +b - -c", "a+ +b- -c"),
        ("return\n  await b;", "return await b;"),
        ("if (a) {\n  b();\n}\nc();", "if(a){b()}c();"),
        ("a in b", "a in b"),
        ("x = y\n  ? z : w", "x=y?z:w"),
        ("class A {\n  #b = 1;\n  get #c() {}\n}", "class A{#a0=1;get #a1(){}}"),
    ],
)
def test_script_loses_what_only_people_need(text: str, expected: str) -> None:
    assert assets.squeezed(text) == expected


def test_modules_stand_behind_those_that_they_import_once_each() -> None:
    script = assets.script("trace")

    order = [script.index(f"function {name}(") for name in ("pageData", "signOf", "stateOf", "whatBroke")]
    assert order == sorted(order)
    assert script.count("function pageData(") == 1
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)


def test_plain_run_of_pytest_loads_no_page() -> None:
    code = "import sys, pytest_mockstream.plugin; print([name for name in sys.modules if 'mockstream.pages' in name])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "traces" / "a.html"

    write(path, "one")
    write(path, "two\n")

    assert path.read_bytes() == b"two\n"
    assert [*path.parent.iterdir()] == [path]


def test_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    write(path, "one")

    with pytest.raises(UnicodeEncodeError):
        write(path, "\ud800")

    assert path.read_text() == "one"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_file_has_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    write(tmp_path / "a.html", "")
    (tmp_path / "b.html").write_text("")

    assert (tmp_path / "a.html").stat().st_mode == (tmp_path / "b.html").stat().st_mode
