"""The line of the user's code that made a call is told from the frames."""

from __future__ import annotations

import json
from typing import Any

from pytest_mockstream._base.callsite import calling_site

GENERATED = "def call(): return calling_site()"


def test_code_that_a_library_has_generated_is_not_the_users() -> None:
    names: dict[str, Any] = {**vars(json), "calling_site": calling_site}
    exec(GENERATED, names)  # noqa: S102 - as dataclasses do it

    assert names["call"]().filename == __file__


def test_code_of_a_command_line_is_the_users() -> None:
    names: dict[str, Any] = {"calling_site": calling_site}
    exec(GENERATED, names)  # noqa: S102 - as `python -c` does it

    assert names["call"]().filename == "<string>"
