"""The keywords of the doors' constructors: what people, type checkers and messages are told of them."""

from __future__ import annotations

import inspect
import re

import pytest

from pytest_mockstream import MockStreamClient, MockStreamSDK, ScriptError
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.doors.settings import DoorOptions, ServerOptions

DOORS = pytest.mark.parametrize(
    ("door", "shared", "own"),
    [
        (MockStreamClient, DoorOptions, ["provider", "model"]),
        (MockStreamSDK, DoorOptions, ["passthrough", "intercept", "provider", "recordings"]),
        (
            MockStreamServer,
            ServerOptions,
            [
                *("host", "port", "max_body", "request_timeout", "record", "cors", "keep_alive", "provider"),
                *("recordings", "upstream", "panel"),
            ],
        ),
    ],
    ids=["client", "sdk", "server"],
)


@DOORS
def test_signature_lists_each_keyword_with_its_type_and_default(door: type, shared: type, own: list[str]) -> None:
    parameters = inspect.signature(door).parameters

    assert list(parameters) == [*own, *shared.__annotations__]
    assert (parameters["delay"].annotation, parameters["delay"].default) == (float | str | None, None)
    assert (parameters["buffer_size"].annotation, parameters["buffer_size"].default) == (int, 100)


@DOORS
def test_docstring_explains_each_keyword(door: type, shared: type, own: list[str]) -> None:
    explained = re.findall(r"^\s+(\w+): ", inspect.getdoc(door) or "", re.MULTILINE)

    assert {*own, *shared.__annotations__} <= set(explained)


@DOORS
def test_unknown_keyword_is_told_with_the_nearest_one_and_all(door: type, shared: type, own: list[str]) -> None:
    with pytest.raises(TypeError, match=r"^there is no keyword deley=1\. Did you mean 'delay'\?") as caught:
        door(deley=1)

    assert all(name in str(caught.value) for name in (*own, *shared.__annotations__))


def test_type_checkers_see_a_keyword_or_a_value_that_is_wrong() -> None:
    # mypy reports an ignore that nothing needs, so these lines test what it sees.
    with pytest.raises(TypeError):
        MockStreamClient(dely=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        MockStreamServer(producer="inline")  # type: ignore[call-arg]
    with pytest.raises(ScriptError, match="producer='both'"):
        MockStreamSDK(producer="both")  # type: ignore[arg-type]
    with pytest.raises(ScriptError, match="delay=\\[1\\]"):
        MockStreamSDK(delay=[1])  # type: ignore[arg-type]
