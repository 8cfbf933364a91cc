"""What is taken for a secret, what is not, and that a hidden value is what it is and only shows itself otherwise."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from hypothesis import given, strategies

from pytest_mockstream._base.redaction import (
    _AMBIGUOUS_NAME,
    _NAME,
    _PARTS_OF_NAMES,
    _SIGNATURE_NAME,
    REDACTED,
    Secrets,
    brief,
    joined,
    real,
    shown,
)

KEY = "sk-LIVE-7f3a9c"


def hide(value: Any, *, headers: dict[str, str] | None = None, environment: dict[str, str] | None = None) -> Any:
    (copied,) = Secrets(headers, environment or {}).hide(value)
    return copied


def text(given: str, **environment: str) -> str:
    return Secrets({}, environment).shown(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"my key is {KEY}, ok?", "my key is [redacted], ok?"),
        (rf"a line\n{KEY}", r"a line\n[redacted]"),
        (f"https://h/%20{KEY}", "https://h/%20[redacted]"),
        ("https://u:hunter2@h/x?key=abcdefgh&page=2", "https://u:[redacted]@h/x?key=[redacted]&page=2"),
        ("see https://h/?token=abcdefgh", "see https://h/?token=[redacted]"),
        ("https://b.s3.amazonaws.com/a.png?X-Amz-Signature=0a1b2c3d4e", "https://b.s3.amazonaws.com/a.png?X-Amz-Signature=[redacted]"),
        ('{"password": "hunter2", "n": 1}', '{"password": "[redacted]", "n": 1}'),
        (r'{\"password\": \"hunter2\"}', r'{\"password\": \"[redacted]\"}'),
        ("password='hunter2' now", "password='[redacted]' now"),
        ("Authorization: Digest a=b, c=d\nAccept: */*", "Authorization: [redacted]\nAccept: */*"),
        ("Bearer abcdefgh", "Bearer [redacted]"),
        ("Basic dXNlcjpwYXNz", "Basic [redacted]"),
        ("-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY----- .", "[redacted] ."),
        ("AccountKey=abcdefgh;Suffix=x", "AccountKey=[redacted];Suffix=x"),
        ("0123456789abcdef0123456789abcdef", "[redacted]"),
    ],
)  # fmt: skip
def test_secret_in_a_text_is_not_shown(given: str, expected: str) -> None:
    assert text(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "Paris is lovely, and its task-management and risk-assessment are, too.",
        "basic understanding of bearer bonds",
        "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
        "the key: yes; a token: no; the secret is out",
        "prompt_cache_key: monday-morning",
        "call_abcdefghijklmnopqrstuvwx12 msg_0123456789abcdef0123456789abcdef01",
        "123e4567-e89b-12d3-a456-426614174000",
        "https://example.com:8080/a/b?page=2#top",
        "hf_hub_download",
    ],
)
def test_harmless_text_is_left_alone(given: str) -> None:
    assert Secrets({}, {}).text(given) is given


@pytest.mark.parametrize("name", ["MY_KEY", "HF_TOKEN", "client_secret", "DB_PASSWORD"])
def test_secret_of_the_environment_is_shown_nowhere(name: str) -> None:
    assert text("say open sesame!", **{name: "open sesame"}) == "say [redacted]!"


def test_environment_variable_that_says_little_hides_nothing() -> None:
    assert text("it is true", USE_KEY="1", MY_KEY="true", PATH="it is true") == "it is true"


def test_credential_of_a_header_is_a_secret_in_the_body() -> None:
    body = hide({"note": "open-sesame"}, headers={"Authorization": "Bearer open-sesame"})

    assert repr(body) == "{'note': '[redacted]'}"


def test_credential_of_a_field_is_a_secret_in_the_others() -> None:
    assert repr(hide([{"note": "it is open-sesame"}, {"api_key": "open-sesame"}])) == (
        "[{'note': 'it is [redacted]'}, {'api_key': '[redacted]'}]"
    )


def test_headers_are_shown_only_if_they_are_known_to_be_harmless() -> None:
    given = {"Accept": "*/*", "X-Whatever": "1", "user-agent": f"me/1 {KEY}", "x-stainless-retry-count": "1"}

    assert Secrets({}, {}).headers(given) == {
        "Accept": "*/*",
        "X-Whatever": REDACTED,
        "user-agent": "me/1 [redacted]",
        "x-stainless-retry-count": "1",
    }


def test_everything_below_a_credential_is_hidden_but_its_type() -> None:
    body = hide({"authentication": {"type": "api_key", "key": "k", "more": [1, {"x": 1.5, "y": b"z"}]}})

    assert repr(body) == (
        "{'authentication': {'type': 'api_key', 'key': '[redacted]',"
        " 'more': [[redacted], {'x': [redacted], 'y': [redacted]}]}}"
    )


def test_numbers_of_tokens_are_no_credentials() -> None:
    body = {"max_tokens": 100, "token": 7, "usage": {"total_tokens": 12345678}}

    assert repr(hide(body)) == repr(body)


def test_schema_of_a_tool_stays_readable() -> None:
    schema = {"properties": {"api_key": {"type": "string", "description": "The key to open it."}}}

    assert repr(hide(schema)) == repr(schema)


BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": [f"it is {KEY} for you"]}],
    "api_key": KEY,
    "pin": {"secret": 12345678},
    "pair": (KEY, 1),
    "names": {KEY},
    KEY: None,
}


def test_hidden_body_is_what_it_is() -> None:
    body = hide(BODY)

    assert body == BODY
    assert list(body) == list(BODY)
    assert body["messages"][0]["content"][0][6:8] == "sk"
    assert KEY in body["messages"][0]["content"][0]
    assert body["api_key"].startswith("sk-")
    assert re.search("LIVE", body["api_key"])
    assert body["pin"]["secret"] + 1 == 12345679
    assert hash(body["api_key"]) == hash(KEY)
    assert json.loads(json.dumps({**body, "names": None})) == json.loads(json.dumps({**BODY, "names": None}))
    assert json.dumps(body["pin"], indent=1) == json.dumps(BODY["pin"], indent=1)


@dataclass
class Kept:
    body: Any


def rich_of(value: Any, **options: Any) -> str:
    pretty = pytest.importorskip("rich.pretty")
    return str(pretty.pretty_repr(value, **options))


def logged(value: Any) -> str:
    return logging.LogRecord("x", 20, "x", 1, "body %s %r", (value, value), None).getMessage()


SHOWS: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "ascii": ascii,
    "pprint": pprint.pformat,
    "logging": logged,
    "rich": rich_of,
    "rich, cut": lambda value: rich_of(value, max_string=12),
    "f-string": lambda value: f"{value}{value!r}{value!s:>9}",
    "%": lambda value: "%s %r" % (value, value),  # noqa: UP031 - it is what is tested
    "copy": lambda value: repr(copy.copy(value)),
    "deepcopy": lambda value: repr(copy.deepcopy(value)),
    "pickle": lambda value: repr(pickle.loads(pickle.dumps(value))),  # noqa: S301 - our own
    "asdict": lambda value: repr(asdict(Kept(value))),
    "shown": lambda value: str(shown(value)),
}


@pytest.mark.parametrize("way", SHOWS)
def test_hidden_body_shows_no_secret(way: str) -> None:
    body, show = hide(BODY), SHOWS[way]

    said = show(body) + "".join(map(show, [*body.values(), *body, body["pin"]["secret"]]))

    assert "LIVE" not in said
    assert "123456" not in said
    assert "[reda" in said


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_body_is_what_it_is(protocol: int) -> None:
    body = pickle.loads(pickle.dumps(hide(BODY), protocol))  # noqa: S301 - our own

    assert body == BODY


def test_copied_body_is_what_it_is() -> None:
    assert copy.deepcopy(hide(BODY)) == copy.copy(hide(BODY)) == BODY


def test_slices_hide_what_they_have_of_a_secret() -> None:
    said = hide(f"it is {KEY} for you")

    assert [repr(said[:12]), repr(said[9:]), repr(said[:6])] == [
        "'it is [redacted]'",
        "'[redacted] for you'",
        "'it is '",
    ]
    assert type(said[:6]) is str
    assert "LIVE" not in repr(said[::-1][::-1])


def test_parts_that_are_joined_hide_what_they_hid() -> None:
    assert repr(joined(["it is ", hide(KEY), "."])) == "'it is [redacted].'"


def test_what_is_hidden_twice_is_hidden_once() -> None:
    once = hide(f"it is {KEY}")
    twice = hide(once)

    assert (repr(twice), real(twice)) == ("'it is [redacted]'", f"it is {KEY}")


def test_what_is_shown_for_good_is_plain() -> None:
    plain = shown(hide(BODY))

    assert plain["api_key"] == REDACTED
    assert type(plain["api_key"]) is str
    assert plain["messages"] == [{"role": "user", "content": ["it is [redacted] for you"]}]


def test_body_of_any_depth_is_copied() -> None:
    deep: Any = KEY
    for _ in range(50_000):
        deep = [deep]

    hidden = hide(deep)

    while isinstance(hidden, list):
        hidden, deep_inner = hidden[0], hidden
        deep_inner.clear()  # a list is freed recursively
    while isinstance(deep, list):
        deep, inner = deep[0], deep
        inner.clear()
    assert repr(hidden) == "'[redacted]'"


def test_body_that_contains_itself_is_copied() -> None:
    body: dict[str, Any] = {"api_key": KEY}
    body["self"] = body

    assert repr(hide(body)) == "{'api_key': '[redacted]', 'self': {...}}"


def test_what_two_values_share_their_copies_share() -> None:
    one = {"a": 1}

    first, second = Secrets({}, {}).hide([one], {"x": one})

    assert first[0] is second["x"]
    assert first[0] is not one


def test_message_has_at_most_80_characters_of_a_value() -> None:
    assert brief("a" * 1000) == "'" + "a" * 76 + "..."
    assert brief(f"it is {KEY}") == "'it is [redacted]'"


@pytest.mark.parametrize(
    "hostile",
    [
        'a=\\"' + "\\" * 200_000,
        "a=" * 100_000,
        "://a:" * 50_000,
        "bearer " * 30_000,
        "sk-" * 50_000,
        "-----BEGIN PRIVATE KEY" * 8_000,
        "api_key:" * 25_000,
        "password='" * 20_000,
        'key="a b ' * 20_000,
        "a" + " " * 200_000,
        "eyJaaaaaaaaa." * 15_000,
    ],
    ids=range(11),
)
def test_hostile_text_costs_little(hostile: str) -> None:
    # Time that grows with the square of the length would be hours.
    Secrets({}, {}).text(hostile)


class Fresh(Mapping[str, Any]):
    """Makes its members anew whenever it is asked."""

    def __getitem__(self, key: str) -> Any:
        return {"number": int(key)}

    def __iter__(self) -> Iterator[str]:
        return map(str, range(20))

    def __len__(self) -> int:
        return 20


def test_object_of_another_class_is_copied_as_a_dict() -> None:
    assert hide(Fresh()) == {str(number): {"number": number} for number in range(20)}


@given(strategies.one_of(*map(strategies.from_regex, (_NAME, _AMBIGUOUS_NAME, _SIGNATURE_NAME))))
def test_name_of_a_credential_has_a_part_that_texts_are_searched_for_first(name: str) -> None:
    assert any(part in name.lower() for part in _PARTS_OF_NAMES)


def test_token_is_found_behind_one_that_only_looks_the_same() -> None:
    text = "120ya29.AbCdEfGh12345678 url?x=%20ya29.AbCdEfGh12345678"

    assert Secrets().shown(text).endswith("url?x=%20[redacted]")
