"""Consumers on the real SDKs: what is planted in one is found, whoever did it, and its mended twin is clean."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import virtual

from pytest_mockstream import Finding, MockStreamSDK

from .consumers import CASES, Case

pytestmark = [
    # What litellm makes pydantic warn of, and aiohttp what google-genai derives from it.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Items? '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings(
        "ignore::pytest_mockstream.UnclosedStreamWarning"
    ),  # google-genai's, whose part breaks off
]


def cases() -> Iterator[object]:
    for package, rows in CASES.items():
        marks = () if find_spec(package) is not None else pytest.mark.skip(reason=f"{package} is not installed")
        for number, case in enumerate(rows):
            yield pytest.param(case, marks=marks, id=f"{case}-{number}")


async def judged(case: Case, sdk: MockStreamSDK) -> list[Finding]:
    try:
        outcome = await case.ask()
    except Exception as error:
        outcome = error
    return sdk.findings(outcome)


@pytest.mark.parametrize("case", list(cases()))
def test_finding_is_what_was_planted(case: Case) -> None:
    with MockStreamSDK() as sdk:
        for script in case.scripts:
            sdk.respond(script)

        found = virtual.run(judged(case, sdk))

        sdk.verify()
    assert [finding.name for finding in found if finding.by is None] == case.findings
    assert [f"{finding.name} by {finding.by}" for finding in found if finding.by is not None] == case.theirs


def test_table_has_consumers_with_and_without_a_fault_for_each_sdk() -> None:
    for rows in CASES.values():
        assert any(case.findings for case in rows)
        assert any(not case.findings for case in rows)
    assert sum(map(len, CASES.values())) >= 24
