"""What is taken out of a recording, what stays, and what is not certain."""

from __future__ import annotations

import base64
import json
import random
import string
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_up_secrets import made_up

from pytest_mockstream import (
    Citation,
    Disconnect,
    End,
    Frame,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    Reasoning,
    Script,
    ServerTool,
    Text,
    Together,
    ToolCall,
    Truncate,
    Wait,
)
from pytest_mockstream.recordings.known_secrets import forms_of
from pytest_mockstream.recordings.reply import kept_headers
from pytest_mockstream.recordings.scrub import Scrubber
from pytest_mockstream.recordings.written import step_table
from pytest_mockstream.wire.rate_limits import RATE_LIMITS, rate_limit_headers

SECRET = 'open/"sésame"+1'  # noqa: S105 - made up
SCRUBBER = Scrubber({"MY_KEY": SECRET, "PATH": "/usr/bin:/bin", "DB_PASSWORD": "hunter2", "ROLE_TOKEN": "assistant"})
KEY = "sk-proj-Ab3dEf6hIj9kLmN0pQrStUvWxYz"


# Values.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"password": "hunter22", "n": 1}, {"password": "[redacted]", "n": 1}),
        ({"a": [KEY, {"b": f"x {KEY}"}]}, {"a": ["[redacted]", {"b": "x [redacted]"}]}),
        ('{"password": "hunter22", "n": 1}', '{"password": "[redacted]", "n": 1}'),
        ('{"pin_password": 123456, "n": 123456}', '{"pin_password": "[redacted]", "n": 123456}'),
        (json.dumps({"a": json.dumps({"secret": "x" * 9})}), json.dumps({"a": json.dumps({"secret": "[redacted]"})})),
        ('{"password": "hunter22", "pass', '{"password": "[redacted]", "pass'),
        ('{ "a":1,"a":"' + KEY + '"}', '{ "a":1,"a":"[redacted]"}'),
        ("[" * 5000 + f'"{KEY}"' + "]" * 5000, "[" * 5000 + '"[redacted]"' + "]" * 5000),
        ((True, None, 1.5, "x"), (True, None, 1.5, "x")),
    ],
)
def test_secret_is_replaced_and_the_shape_stays(given: Any, expected: Any) -> None:
    assert SCRUBBER.scrub(given) == expected


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(json.dumps(SECRET)),
        json.dumps(SECRET, ensure_ascii=False).replace("/", r"\/"),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        base64.b64encode(f"me:{SECRET}".encode()).decode(),
        base64.b64encode(f"someone:{SECRET}!".encode()).decode(),
        SECRET.encode().hex(),
    ],
)
def test_secret_of_the_environment_is_found_however_it_is_encoded(text: str) -> None:
    made = SCRUBBER.scrub(f"so it is {text} and so on")

    assert made.startswith("so it is ")
    assert made.endswith(" and so on")
    assert "[redacted]" in made
    assert not any(form in made for form in forms_of(SECRET))


def test_credential_that_is_json_is_found_as_a_whole() -> None:
    account = json.dumps({"type": "service_account", "project": "a-b-c"})

    assert Scrubber({"GOOGLE_KEY": account}).scrub(account) == "[redacted]"
    assert Scrubber({"GOOGLE_KEY": account}).scrub(f'[{account}, "x"]') == '[[redacted], "x"]'


def test_what_a_variable_is_not_named_for_stays() -> None:
    assert SCRUBBER.scrub("look in /usr/bin:/bin") == "look in /usr/bin:/bin"


def test_variable_that_is_the_placeholder_changes_nothing() -> None:
    assert Scrubber({"A_KEY": "redacted", "B_KEY": "[redacted]"}).scrub("it is [redacted]") == "it is [redacted]"


def test_credential_of_a_header_is_one_everywhere() -> None:
    knowing = SCRUBBER.with_headers({"authorization": "Bearer open-sesame-2", "accept": "application/json"})

    assert knowing.scrub("say open-sesame-2 in application/json") == "say [redacted] in application/json"
    assert SCRUBBER.scrub("say open-sesame-2") == "say open-sesame-2"


SECRETS, ENVIRON = made_up(seed=3, count=22)
ALL = Scrubber(ENVIRON)
PIECES = st.sampled_from(
    [*(one.text for one in SECRETS), *(one.bare for one in SECRETS), "x", " ", '"', "\\", "{", "é"]
)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=6).map("".join)
NAMES = st.sampled_from(["a", "password", "token", "key", "id", "headers", "authorization"])
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3) | inner.map(json.dumps),
    max_leaves=6,
)


#: A long text with spaces is no token; what is left of it is one.
LEFT = {"token": '"-----BEGIN PRIVATE KEY----- x"'}


@given(VALUES)
@example(LEFT)
def test_what_was_scrubbed_stays_as_it_is(value: Any) -> None:
    made = ALL.scrub(value)

    assert ALL.scrub(made) == made


@given(VALUES)
@example(LEFT)
def test_json_stays_json_and_says_what_its_value_says(value: Any) -> None:
    value = {"value": value}

    assert json.loads(ALL.scrub(json.dumps(value))) == ALL.scrub(value)


# Texts in fragments.


@given(st.lists(PIECES | st.text(max_size=6), max_size=12), st.randoms(use_true_random=False))
def test_fragments_say_what_the_whole_text_says(pieces: list[str], chance: random.Random) -> None:
    text = "".join(pieces)
    places = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(6)))
    fragments = [text[one:other] for one, other in zip([0, *places], [*places, len(text)], strict=True)]

    made = ALL.deltas(fragments)

    assert len(made) == len(fragments)
    assert "".join(made) == ALL.scrub(text)


@given(st.lists(st.text(alphabet=string.ascii_lowercase + " .", max_size=8), max_size=12))
def test_fragments_without_a_secret_stay_as_they_are(fragments: list[str]) -> None:
    assert ALL.deltas(fragments) == fragments


def test_fragments_before_and_behind_a_secret_keep_their_lengths() -> None:
    made = SCRUBBER.deltas(["my ", "key", f" is {KEY[:5]}", KEY[5:12], KEY[12:] + ".", " Keep", " it!"])

    assert made == ["my ", "key", " is [redacted]", "", ".", " Keep", " it!"]


# Scripts.


def test_script_without_secrets_is_the_same() -> None:
    steps = [
        "plain",
        Text(["a", "b"]),
        Reasoning(["x"], signature="c2lnbmF0dXJlLXRoYXQtaXMtbG9uZy1hbmQtcmFuZG9tMTIz"),
        Reasoning("hm", redacted=True),
        ToolCall("f", {"a": 1}, id="0123456789abcdef0123456789abcdef"),
        ToolCall("f", fragments=['{"a', None, '": 1}'], index=3),
        ToolCall("f", '{"a": ', fragments="char"),
        Interleave(ToolCall("f", fragments=["", "{}"]), Text(["a", "b"]), order=[0, 1, 1, 0]),
        Together("a", Reasoning("b")),
        ServerTool("web_search", {"query": "x"}, [{"url": "https://a.example"}]),
        ServerTool("f", {"a": 1}, {"error": "no"}, server="s"),
        Citation("https://a.example", "t", "c", start=1, end=2),
        Image(),
        Frame({"a": [1, {"b": "c"}]}, event="e", id="1", retry=5),
        Frame('{"a":1}'),
        KeepAlive(),
        Wait(1),
        End(),
        Truncate(),
    ]

    assert SCRUBBER.script(steps) == steps  # type: ignore[arg-type] # a list of all kinds


def test_secret_that_begins_in_one_step_and_ends_in_another_is_found() -> None:
    made = SCRUBBER.script([Text(["is ", KEY[:9]]), Wait(1), Text([KEY[9:20]]), KeepAlive(), f"{KEY[20:]} it"])

    assert made == [Text(["is ", "[redacted]"]), Wait(1), Text([""]), KeepAlive(), " it"]


def test_secret_that_follows_another_step_without_a_space_is_found() -> None:
    assert SCRUBBER.script([Text(["so"]), Text([KEY])]) == [Text(["so"]), Text(["[redacted]"])]


def test_interleaved_fragments_keep_their_order() -> None:
    first, second = ToolCall("f", fragments=['{"key": "', KEY, '"}']), ToolCall("g", fragments=["{", "}"])

    (made,) = SCRUBBER.script([Interleave(first, second, order=[0, 1, 0, 1, 0])])

    cleaned = ToolCall("f", fragments=['{"key": "', "[redacted]", '"}'])
    assert made == Interleave(cleaned, second, order=[0, 1, 0, 1, 0])
    Script(made)


def test_null_in_fragments_stays() -> None:
    (made,) = SCRUBBER.script([ToolCall("f", {"k": KEY}, fragments=[None, '{"k": "', KEY, None, '"}'])])

    assert isinstance(made, ToolCall)
    assert made.fragments == (None, '{"k": "', "[redacted]", None, '"}')


def test_citation_is_for_the_same_text_as_before() -> None:
    text = f"it is {KEY}, and Paris is lovely."
    start = text.index("Paris")

    made: list[Any] = SCRUBBER.script([Text([text]), Citation("https://a.example", start=start, end=len(text))])

    assert made[0].text[made[1].start : made[1].end] == "Paris is lovely."


def test_secret_in_a_header_of_an_error_is_replaced() -> None:
    (made,) = SCRUBBER.script([HTTPError(429, headers={"x-ratelimit-reset": f"for {KEY}"}, message=f"bad key {KEY}")])

    assert made == HTTPError(429, headers={"x-ratelimit-reset": "for [redacted]"}, message="bad key [redacted]")


def test_header_that_counts_tokens_is_no_secret() -> None:
    error = HTTPError(429, headers={"x-ratelimit-limit-tokens": "150000000", "x-ratelimit-reset-tokens": "6m0.1234s"})

    assert SCRUBBER.script([error]) == [error]


def test_secret_that_frames_split_is_replaced() -> None:
    frames = [Frame({"type": "delta", "delta": {"text": part}}) for part in (f"is {KEY[:6]}", KEY[6:15], KEY[15:])]

    made: list[Any] = SCRUBBER.script([frames[0], Wait(1), *frames[1:], Disconnect()])

    assert [step.data["delta"]["text"] for step in made if isinstance(step, Frame)] == ["is [redacted]", "", ""]  # type: ignore[call-overload,index,unused-ignore]


# The headers of an answer.


@pytest.mark.parametrize(
    "name",
    [
        *("retry-after", "retry-after-ms", "x-should-retry", "x-ratelimit-limit-requests", "ratelimit"),
        *("anthropic-ratelimit-tokens-remaining", "ratelimit-policy", "x-ratelimitbysize-remaining-minute"),
        "x-ms-ratelimit-remaining-tokens",
    ],
)
def test_header_of_an_answer_that_retries_rest_on_is_kept(name: str) -> None:
    assert kept_headers({name: "7", "set-cookie": "a=b"}) == {name: "7"}


@pytest.mark.parametrize("provider", RATE_LIMITS)
@pytest.mark.parametrize("refused", [False, True])
def test_rate_limits_of_every_provider_are_kept(provider: str, refused: bool) -> None:
    headers = rate_limit_headers(provider, requests=(60, 59, 1.0), tokens=(600, 599, 1.0), refused=refused)

    assert kept_headers(headers) == headers


@pytest.mark.parametrize(
    "name",
    [
        *("set-cookie", "authorization", "openai-organization", "openai-project", "anthropic-organization-id"),
        *("x-request-id", "cf-ray", "location", "www-authenticate", "x-api-key", "date", "x-retry-after"),
    ],
)
def test_every_other_header_of_an_answer_is_dropped(name: str) -> None:
    assert kept_headers({name: "7"}) == {}


# Doubts.


def whys(value: Any, scrubber: Scrubber = SCRUBBER) -> dict[str, str]:
    return dict(scrubber.doubts(value))


@pytest.mark.parametrize(
    ("value", "where", "why"),
    [
        ({"a": ["the token is Zx8-kQ3_vT9m."]}, "a[0]", "after 'token' stands what looks random, 12 characters long"),
        ([Text(["use my pass", "word qW7zR2pX"])], "[0].content", "after 'password' stands what looks random"),
        ({"messages": [{"content": "hunter2"}]}, "messages[0].content", "the value of DB_PASSWORD"),
        ({"a": "say hunter2!"}, "a", "it may be the value of DB_PASSWORD, which is too short, or too common a word"),
        ({"role": "assistant"}, "role", "the value of ROLE_TOKEN"),
        ({"a": {KEY: 1}}, "a.[redacted]", "a key of a mapping has a secret in it"),
        ([{"name": "Authorization", "value": "abc123"}], "[0].value", "the value of 'Authorization'"),
        ({"login": {"password": "correct horse"}, "text": "say correct horse"}, "text", "called a secret"),
        ([Image(b"\x89PNG" + SECRET.encode())], "[0].data", "its bytes have a secret in them"),
        ({"file": b"\x00" * 9 + KEY.encode() + b"\xff"}, "file", "its bytes have a secret in them"),
        (
            {"url": "data:image/png;base64," + base64.b64encode(b"\x00" * 4000 + KEY.encode() + b"\xff").decode()},
            "url",
            "its bytes have a secret in them",
        ),
    ],
)
def test_what_is_not_certain_is_told_with_its_place(value: Any, where: str, why: str) -> None:
    found = whys(value)

    assert list(found) == [where]
    assert why in found[where]


@pytest.mark.parametrize(
    "value",
    [
        "the token limit is gpt-4o2024, and the secret of success is practice",
        "the token is forwarded as it came, and my password was forgotten",
        "a password needs 8-characters; the api key is [redacted]",
        "hunter24 and hunters, an assistant's assistants",
        {"usage": {"total_tokens": 123456}, "max_tokens": 5, "password": "x"},
        {"name": "city", "value": "abc123def456"},
        {"password": "hunter22"},
        {"password": "[redacted]", "steps": [Text(["say [redacted]", " now"])]},
        [Image(), Text("hi"), Wait(1), HTTPError(500), Disconnect(), ToolCall("f", {"a": 1})],
        {"image": base64.b64encode(bytes(range(256)) * 9).decode()},
    ],
)
def test_what_is_certain_raises_no_doubt(value: Any) -> None:
    assert whys(value) == {}


def test_key_that_streams_split_at_several_places_raises_no_doubt() -> None:
    rest = "668f12aef2aKa0Zan3Mt7N6ef14wmz2f"
    steps = [Text(["use sk-ant-api03-", rest]), Text(["key: ", "sk-ant-api03", f"-{rest}", "."])]

    assert whys(steps) == whys([step_table(step) for step in steps]) == {}
    assert rest not in str(SCRUBBER.script(steps))


def test_secret_by_name_that_a_stream_splits_raises_a_doubt() -> None:
    said = {"login": {"password": "correct horse"}, "steps": [step_table(Text(["say corr", "ect horse"]))]}

    assert list(whys(said)) == ["steps[0].text"]


def test_doubt_shows_no_secret() -> None:
    said = whys({"a": ["the token is Zx8-kQ3_vT9m.", {KEY: SECRET}], "role": "hunter2"})

    assert len(said) == 3
    assert not any(secret in str(said) for secret in ("Zx8-kQ3_vT9m", KEY, SECRET, "hunter2"))


def test_variable_that_says_nothing_raises_no_doubt() -> None:
    assert whys(["true", "1", "", "no"], Scrubber({"USE_KEY": "true", "N_KEY": "1", "E_KEY": "", "M_KEY": "no"})) == {}
