"""Forms are read as their senders meant them, and what is broken is refused in words."""

from __future__ import annotations

import contextlib

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream.wire.format import BadRequestError
from pytest_mockstream.wire.multipart import read_form

KIND = "multipart/form-data; boundary=X"
# Senders write control characters as ``%1F``, which nobody can tell from the same text.
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="%"), min_size=1, max_size=9).filter(
    lambda name: not name.endswith("[]")
)


def part(name: str = 'name="a"', content: str = "b") -> bytes:
    return f"--X\r\nContent-Disposition: form-data; {name}\r\n\r\n{content}\r\n".encode()


@given(
    fields=st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
    files=st.dictionaries(NAMES, st.tuples(NAMES, st.binary()), min_size=1, max_size=3),
)
def test_what_an_http_library_writes_is_read_back(fields: dict[str, str], files: dict[str, tuple[str, bytes]]) -> None:
    fields = {name: text for name, text in fields.items() if name not in files}
    request = httpx2.Request("POST", "http://localhost", data=fields, files=files)

    form = read_form(request.headers["content-type"], request.read())

    assert {name: form.fields[name] for name in fields} == fields
    assert {name: [(one.filename, one.content) for one in sent] for name, sent in form.files.items()} == {
        name: [(filename, content)] for name, (filename, content) in files.items()
    }


@given(st.binary(max_size=200), st.booleans())
def test_whatever_comes_is_a_form_or_refused(body: bytes, begins: bool) -> None:
    body = part() + body if begins else body
    with contextlib.suppress(BadRequestError):
        read_form(KIND, body)


def test_field_that_comes_twice_is_a_list() -> None:
    form = read_form(KIND, part(content="1") + part(content="2") + part('name="b[]"') + b"--X--\r\n")

    assert form.fields == {"a": ["1", "2"], "b": ["b"]}


def test_file_is_described_without_its_bytes() -> None:
    form = read_form(KIND, part('name="a"; filename="b.txt"', "sk-secret") + b"--X--")

    assert form.fields == {"a": {"filename": "b.txt", "content_type": "application/octet-stream", "size": 9}}
    assert "secret" not in repr(form)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/json", b"{}", "its content type must be multipart/form-data, but it is 'application/json'"),
        ("", b"", "must be multipart/form-data, but it is ''"),
        ("multipart/form-data", b"", "names no boundary"),
        (KIND, b"hello", "its body of 5 bytes has not one line with the boundary"),
        (KIND, part(), "breaks off: the boundary that ends it is missing"),
        (KIND, b"--X\r\nA: b\r\n\r\nb\r\n--X--", "part 1 of its form has no name"),
        (KIND, b"--X\r\nA: b\r\n--X--", "part 1 of its form has no headers, or no empty line after them"),
        (KIND, part('filename="a"') + b"--X--", "part 1 of its form has no name"),
        (KIND, part() * 1001 + b"--X--", "its form has 1001 parts: at most 1000 are read"),
        (KIND, part().replace(b"b\r\n", b"\xff\r\n") + b"--X--", "the field 'a' of its form is not UTF-8"),
    ],
)
def test_form_that_is_broken_is_refused(kind: str, body: bytes, said: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        read_form(kind, body)

    assert said in str(caught.value)
