"""Whether a run has run every test that there is, so that what did not happen in it can be called gone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

_PARTIAL = ("keyword", "markexpr", "deselect", "lf", "failedfirst", "stepwise")


class RunExtent:
    """Tells, at the end of a run, whether it was whole."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_partial = any(getattr(config.option, name, None) for name in _PARTIAL)

    def deselected(self, items: Iterable[pytest.Item]) -> None:
        """Note that tests are left out."""
        if any(True for _ in items):
            self._is_partial = True

    def is_whole(self, session: pytest.Session, exitstatus: int) -> bool:
        """Tell whether a run that is over has run everything."""
        named = any("::" in str(arg) for arg in session.config.args)
        ended = int(exitstatus) in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and not session.shouldfail
        return ended and not named and not self._is_partial and not session.shouldstop
