"""The headers in which providers say what is left of a quota."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from pytest_mockstream.wire import DIALECTS, ENDPOINTS, HOSTS, rate_limit_headers
from pytest_mockstream.wire.rate_limits import NO_RATE_LIMITS, NOT_KNOWN, RATE_LIMITS

REQUESTS = (120, 119, 0.5)
TOKENS = (6000, 5990, 90.25)


def said(provider: str, *, refused: bool = False) -> dict[str, str]:
    return rate_limit_headers(provider, requests=REQUESTS, tokens=TOKENS, refused=refused)


@pytest.mark.parametrize(
    ("provider", "headers"),
    [
        (
            "openai",
            {
                "x-ratelimit-limit-requests": "120",
                "x-ratelimit-remaining-requests": "119",
                "x-ratelimit-reset-requests": "500ms",
                "x-ratelimit-limit-tokens": "6000",
                "x-ratelimit-remaining-tokens": "5990",
                "x-ratelimit-reset-tokens": "1m30.25s",
            },
        ),
        (
            "azure",
            {
                "x-ratelimit-limit-requests": "120",
                "x-ratelimit-remaining-requests": "119",
                "x-ratelimit-reset-requests": "1",
                "x-ratelimit-renewalperiod-requests": "60",
                "x-ratelimit-limit-tokens": "6000",
                "x-ratelimit-remaining-tokens": "5990",
                "x-ratelimit-reset-tokens": "91",
                "x-ratelimit-renewalperiod-tokens": "60",
            },
        ),
        (
            "mistral",
            {
                "x-ratelimit-limit-req-minute": "120",
                "x-ratelimit-remaining-req-minute": "119",
                "x-ratelimit-limit-tokens-minute": "6000",
                "x-ratelimit-remaining-tokens-minute": "5990",
            },
        ),
        (
            "cerebras",
            {
                "x-ratelimit-limit-requests-minute": "120",
                "x-ratelimit-remaining-requests-minute": "119",
                "x-ratelimit-reset-requests-minute": "0.5",
                "x-ratelimit-limit-tokens-minute": "6000",
                "x-ratelimit-remaining-tokens-minute": "5990",
                "x-ratelimit-reset-tokens-minute": "90.25",
            },
        ),
        (
            "together",
            {
                "x-ratelimit-limit": "2",
                "x-ratelimit-remaining": "2",
                "x-ratelimit-reset": "0.5",
                "x-tokenlimit-limit": "100",
                "x-tokenlimit-remaining": "100",
            },
        ),
        ("fireworks", {"x-ratelimit-limit-requests": "120", "x-ratelimit-remaining-requests": "119"}),
        ("cohere", {"x-trial-endpoint-call-limit": "120", "x-trial-endpoint-call-remaining": "119"}),
        ("moonshot", {"x-ratelimit-limit": "120", "x-ratelimit-remaining": "119"}),
    ],
)
def test_each_provider_has_names_and_units_of_its_own(provider: str, headers: dict[str, str]) -> None:
    assert said(provider) == headers


def test_groq_says_it_as_openai_and_github_as_azure() -> None:
    assert said("groq") == said("openai")
    assert said("github") == said("azure")


def test_point_in_time_is_a_date_or_counts_from_the_epoch() -> None:
    before = time.time() + REQUESTS[2]
    date = datetime.fromisoformat(said("anthropic")["anthropic-ratelimit-requests-reset"])
    milliseconds = int(said("openrouter")["x-ratelimit-reset"])
    seconds = int(said("sambanova")["x-ratelimit-reset-requests"])
    after = time.time() + REQUESTS[2]

    assert date.tzinfo == UTC
    assert int(before) <= date.timestamp() <= after
    assert int(before * 1000) <= milliseconds <= after * 1000
    assert before <= seconds <= after + 1


def test_less_than_one_a_second_is_one_a_second() -> None:
    assert rate_limit_headers("together", requests=(3, 0, 20.0)) == {
        "x-ratelimit-limit": "1",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "20",
    }


@pytest.mark.parametrize(("seconds", "said"), [(0.00001, "0"), (0.0625, "0.062"), (86400.0 * 30, "2592000")])
def test_seconds_are_written_without_an_exponent(seconds: float, said: str) -> None:
    assert rate_limit_headers("together", requests=(60, 0, seconds))["x-ratelimit-reset"] == said


def test_refusal_may_say_less_than_an_answer_or_something_else() -> None:
    assert said("cohere", refused=True) == {}
    of_requests = {name: value for name, value in said("github", refused=True).items() if "tokens" not in name}
    assert of_requests == {"x-ratelimit-timeremaining": "1"}
    assert said("openai", refused=True) == said("openai")


def test_quota_that_is_not_in_force_is_not_told() -> None:
    assert set(rate_limit_headers("mistral", tokens=TOKENS)) == {
        "x-ratelimit-limit-tokens-minute",
        "x-ratelimit-remaining-tokens-minute",
    }
    assert rate_limit_headers("openai") == {}


@pytest.mark.parametrize("provider", [*NO_RATE_LIMITS, *sorted(NOT_KNOWN)])
def test_others_say_nothing(provider: str) -> None:
    assert said(provider) == {}


def test_of_every_provider_it_is_told_what_is_known() -> None:
    named = {*HOSTS.values(), *DIALECTS, *(endpoint.provider for endpoint in ENDPOINTS)}
    told = [*RATE_LIMITS, *NO_RATE_LIMITS, *NOT_KNOWN]

    assert sorted(told) == sorted(named)
