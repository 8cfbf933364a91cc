"""Issues a warning that no filter of a suite can turn into a failure: it is listed with the other warnings instead.

It must not know what is warned of.
"""

from __future__ import annotations

import warnings

import pytest


def warn(config: pytest.Config, item: pytest.Item | None, message: str) -> None:
    """Issue a warning for a test, or for the whole run.

    A filter that ignores it is honoured. One that makes an error of it is not: whoever asked us only to warn did not
    ask for a failure.

    Args:
        config: of the run.
        item: the test, while its own filters are in force; None for the run, in ``pytest_configure`` or later.
        message: what the warning says.
    """
    warning = pytest.PytestWarning(message)
    if item is not None and item.location[1] is None:  # a doctest has no line, and pytest wants one
        _record(config, item, warning)
        return
    try:
        if item is None:
            config.issue_config_time_warning(warning, stacklevel=2)
        else:
            item.warn(warning)
    except pytest.PytestWarning as error:
        if error is not warning:
            raise
        _record(config, item, warning)


def _record(config: pytest.Config, item: pytest.Item | None, warning: Warning) -> None:
    """Hand a warning to pytest as if it had been caught, so that it is listed; in a worker of xdist, too."""
    path, line, _ = (__file__, None, None) if item is None else item.location
    hook = config.hook if item is None else item.ihook
    hook.pytest_warning_recorded.call_historic(
        kwargs={
            "warning_message": warnings.WarningMessage(warning, type(warning), path, (line or 0) + 1),
            "when": "config" if item is None else "runtest",
            "nodeid": "" if item is None else item.nodeid,
            "location": None,
        }
    )
