"""The table of recall and false alarms sums up what the runs of the scenarios tell, and passes nothing that is red."""

from __future__ import annotations

import pytest
import table

CASE = (
    '<testcase><properties><property name="leaks" value="{leaks}"/><property name="found" value="{found}"/>'
    '<property name="false alarms" value="{alarms}"/><property name="clean tests" value="5"/></properties></testcase>'
)


def rows(*cases: str) -> table.Row:
    return table.row("3.13.0", f"<testsuite>{''.join(cases)}</testsuite>")


def test_figures_of_all_runs_are_summed() -> None:
    row = rows(CASE.format(leaks=3, found=3, alarms=0), CASE.format(leaks=1, found=1, alarms=0))

    assert str(row) == "| 3.13.0 | 4 of 4 (100.0 %) | 0 (10 clean tests) | 2 passed |"
    assert row.is_good


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(CASE.format(leaks=3, found=2, alarms=0), id="missed"),
        pytest.param(CASE.format(leaks=3, found=3, alarms=1), id="false alarm"),
        pytest.param(CASE.format(leaks=0, found=0, alarms=0), id="nothing was run"),
        pytest.param("<testcase><failure/></testcase>" + CASE.format(leaks=1, found=1, alarms=0), id="failed"),
    ],
)
def test_what_is_red_is_not_good(case: str) -> None:
    assert not rows(case).is_good
