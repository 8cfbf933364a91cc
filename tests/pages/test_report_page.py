"""The page of a run, in a real browser: opened from its file, with the network off."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_mockstream.pages import page

from . import reports
from .conftest import Show

_MOST = 60 * 1024  # bytes, before data


def rows(page: Any, table: str) -> list[str]:
    """Return the first cell of each row that a table shows, those of tests left out."""
    return [
        cell.inner_text().partition("\n")[0] for cell in page.locator(f"#{table} tbody tr:not(.test) td.main").all()
    ]


def head(page: Any, table: str, label: str) -> Any:
    return page.locator(f"#{table} th", has_text=label).get_by_role("button")


def toggle(page: Any, table: str) -> Any:
    """Return the first button that shows the tests of a row."""
    return page.locator(f"#{table} .fold").first


@pytest.mark.parametrize("make", [reports.full, reports.hostile, reports.report])
def test_data_of_these_tests_is_what_a_report_says(make: Any) -> None:
    schema = json.loads(resources.files("pytest_mockstream.plugin").joinpath("report_schema.json").read_text("utf-8"))

    jsonschema.validate(make(), schema)


def test_page_is_small() -> None:
    assert len(page("report", {}, title="").encode()) < _MOST


SUITE = """
KEPT = []

async def peek(client):
    async with client.complete_stream("hi") as stream:
        async for chunk in stream:
            break

async def test_left_early(mock_stream_client):
    mock_stream_client.respond("one two three four")
    await peek(mock_stream_client)

def test_leak(mock_stream_client):
    KEPT.append(mock_stream_client.complete_stream("hi"))
"""


def test_page_of_a_real_run_opens(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE, encoding="utf-8")
    command = ["-m", "pytest", "-p", "asyncio", "-p", "mockstream", "--mockstream-report=report.html"]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "--asyncio-mode=auto"}
    subprocess.run([sys.executable, *command], cwd=tmp_path, env=env, check=False, capture_output=True, timeout=60)
    said: list[str] = []

    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())

    assert page.title() == f"{tmp_path.name}: streams and leaks"
    assert rows(page, "leaks") == ["test_it.py:14"]
    assert rows(page, "consumers") == ["test_it.py:14", "test_it.py:5"]
    assert said == []
    page.close()


def test_style_uses_no_name_that_it_does_not_give() -> None:
    text = page("report", {}, title="").partition("<style>")[2].partition("</style>")[0]

    assert set(re.findall(r"var\((--\w[\w-]*)", text)) - set(re.findall(r"(--\w[\w-]*):", text)) == set()


def test_script_has_no_template_within_a_template() -> None:
    script = resources.files("pytest_mockstream.pages").joinpath("static/report.js").read_text("utf-8")

    assert re.findall(r"`[^`\n]*\$\{[^}`\n]*`", script) == []  # its space would be taken for layout


def test_page_says_what_ran(show: Show) -> None:
    data = reports.full()
    data["run"]["failed"] = 2

    page = show(data, "report")

    assert page.locator("header p").first.inner_text() == (
        "12 tests, 2 failed · 75.5 s · Nov 28, 2026, 5:00 PM UTC · Python 3.13.0 on linux · pytest-mockstream 0.1.0"
    )


def test_numbers_stand_at_the_right_and_a_table_takes_the_whole_width(show: Show) -> None:
    page = show(reports.full(), "report")

    cell = page.locator("#consumers td.number").first
    assert cell.evaluate("cell => getComputedStyle(cell).textAlign") == "right"
    assert page.locator("#streams table").evaluate("one => one.offsetWidth - one.parentElement.clientWidth") > -50


def test_page_begins_with_how_much_there_is_of_each(show: Show) -> None:
    page = show(reports.full(), "report")

    assert [figure.inner_text().split("\n") for figure in page.locator(".figure").all()] == [
        ["2", "leaks (1 line, 2 tests)"],
        ["13", "streams"],
        ["52", "chunks for nobody"],
        ["8", "retries"],
        ["1", "finding"],
        ["2", "stale exemptions"],
    ]


def test_leak_is_told_with_its_reason(show: Show) -> None:
    page = show(reports.full(), "report")

    said = page.locator("#leaks tbody").first.inner_text()
    for text in ("app/bot.py:22", "in start", "task pump", "waits at app/pump.py:9", "It is blocked.", "Cancel it."):
        assert text in said


def test_most_wasteful_line_comes_first(show: Show) -> None:
    page = show(reports.full(), "report")

    assert rows(page, "consumers") == ["app/chat.py:5", "app/bot.py:30", "app/quiet.py:100", "app/quiet.py:20"]


def test_heads_look_like_heads(show: Show) -> None:
    page = show(reports.full(), "report")

    assert {head.get_attribute("class") for head in page.locator("thead button").all()} == {"sort"}


def test_click_on_a_head_sorts_by_it_and_another_one_turns_the_order(show: Show) -> None:
    page = show(reports.full(), "report")

    head(page, "consumers", "Line").click()
    up = rows(page, "consumers")
    head(page, "consumers", "Line").click()

    assert up == ["app/bot.py:30", "app/chat.py:5", "app/quiet.py:20", "app/quiet.py:100"]
    assert rows(page, "consumers") == up[::-1]
    assert page.locator("#consumers [aria-sort]").get_attribute("aria-sort") == "descending"


def test_what_has_no_number_comes_last_either_way(show: Show) -> None:
    page = show(reports.full(), "report")

    head(page, "consumers", "Leaving").click()
    down = rows(page, "consumers")[-1]
    head(page, "consumers", "Leaving").click()

    assert (down, rows(page, "consumers")[-1]) == ("app/quiet.py:100", "app/quiet.py:100")


def test_search_goes_through_all_tables_and_says_how_many_it_found(show: Show) -> None:
    page = show(reports.full(), "report")

    page.keyboard.press("/")
    page.keyboard.type("CHAT.py ask")

    assert (rows(page, "consumers"), rows(page, "retries")) == (["app/chat.py:5"], ["app/chat.py:5"])
    assert page.locator("#consumers .number-of").inner_text() == "1 of 4"
    assert "No row has these words." in page.locator("#leaks").inner_text()
    assert page.locator("[role=status]").inner_text() == "2 rows"


def test_search_for_a_test_finds_the_rows_that_it_is_in(show: Show) -> None:
    page = show(reports.full(), "report")

    page.keyboard.press("/")
    page.keyboard.type("answer[fr]")

    assert rows(page, "leaks") == ["app/bot.py:22"]
    assert "tests/test_bot.py::test_answer[fr]" in page.locator("#leaks td").last.inner_text()


def test_escape_ends_the_search(show: Show) -> None:
    page = show(reports.full(), "report")
    page.keyboard.press("/")
    page.keyboard.type("nowhere")

    page.keyboard.press("Escape")

    assert len(rows(page, "consumers")) == 4


def test_row_shows_its_tests_with_their_numbers_by_keyboard(show: Show) -> None:
    page = show(reports.full(), "report")
    head(page, "consumers", "Line").click()

    toggle(page, "consumers").focus()
    page.keyboard.press("Enter")

    tests = page.locator("#consumers tr.test").all()
    assert [test.locator("code").inner_text() for test in tests] == [
        f"tests/test_bot.py::test_answer[{name}]" for name in ("en", "fr", "de")
    ]
    assert "500 ms" in tests[0].inner_text()
    assert toggle(page, "consumers").get_attribute("aria-expanded") == "true"


def test_whoever_shows_or_sorts_keeps_the_focus(show: Show) -> None:
    page = show(reports.full(), "report")
    focused = "document.activeElement.textContent"

    toggle(page, "consumers").focus()
    page.keyboard.press("Enter")
    shown = page.evaluate(focused)
    head(page, "consumers", "Read").focus()
    page.keyboard.press("Enter")

    assert (shown, page.evaluate(focused)) == ("3 tests", "Read")


def test_tests_of_all_rows_are_shown_and_hidden_by_keys(show: Show) -> None:
    page = show(reports.full(), "report")

    page.keyboard.press("t")
    shown = page.locator("tr.test").count()
    page.keyboard.press("h")

    assert (shown, page.locator("tr.test").count()) == (8, 0)


def test_test_that_has_a_trace_leads_there(show: Show) -> None:
    page = show(reports.full(), "report")

    page.keyboard.press("t")

    links = [row.locator("a.trace") for row in page.locator("#consumers tr.test").all()]
    assert [link.count() for link in links] == [1, 0, 1]
    assert links[0].get_attribute("href") == "mockstream-trace/test_answer%20%5Ben%5D.html"
    assert links[0].get_attribute("aria-label") == "trace of tests/test_bot.py::test_answer[en]"


def test_row_of_several_tests_leads_to_each_of_their_traces(show: Show) -> None:
    page = show(reports.full(), "report")

    links = page.locator("#consumers tbody", has_text="app/bot.py:30").locator("a.trace").all()
    one = page.locator("#leaks tbody", has_text="app/bot.py:22").locator("a.trace")

    assert [(link.text_content(), link.get_attribute("href"), link.get_attribute("title")) for link in links] == [
        ("trace 1", "mockstream-trace/test_answer%20%5Ben%5D.html", "tests/test_bot.py::test_answer[en]"),
        ("trace 2", "mockstream-trace/de.html", "tests/test_bot.py::test_answer[de]"),
    ]
    assert [link.text_content() for link in one.all()] == ["trace"]


def test_row_of_many_tests_says_how_many_traces_more_are_below_it(show: Show) -> None:
    tests = [f"tests/test_bot.py::test_{number}" for number in range(7)]
    data = reports.report(consumers=[reports.consumer("app/bot.py:30", tests)], traces=dict.fromkeys(tests, "x.html"))
    page = show(data, "report")

    row = page.locator("#consumers tbody tr").first
    assert row.locator("a.trace").count() == 5
    assert row.text_content().endswith("trace 5 and 2 more")
    row.get_by_role("button").click()
    assert page.locator("#consumers tr.test a.trace").count() == 7


def test_row_of_one_test_leads_to_its_trace(show: Show) -> None:
    page = show(reports.full(), "report")

    row = page.locator("#findings tbody")
    assert row.locator("a.trace").get_attribute("href") == "mockstream-trace/de.html"


def test_keys_are_listed(show: Show) -> None:
    page = show(reports.full(), "report")

    page.keyboard.press("?")

    assert "Search" in page.locator("dialog").inner_text()


def test_data_can_be_saved(show: Show) -> None:
    page = show(reports.full(), "report")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download the data").click()

    with open(download.value.path(), encoding="utf-8") as file:
        assert json.load(file) == reports.full()
    assert download.value.suggested_filename == "report.json"


def test_run_in_which_nothing_happened_says_so(show: Show) -> None:
    page = show(reports.report(), "report")

    said = page.locator("main").inner_text()
    for text in ("Nothing leaked.", "No stream was opened.", "Nothing was tried again.", "All exemptions were needed."):
        assert text in said


def test_leak_check_that_was_off_is_not_called_clean(show: Show) -> None:
    page = show(reports.report(mode="off", armed={}), "report")

    assert page.locator("#leaks").inner_text().count("The leak check was off") == 1
    assert "The leak check was off" in page.locator("#stale").inner_text()


def test_what_the_check_could_not_see_is_said(show: Show) -> None:
    page = show(reports.report(armed={"tasks": False, "threads": True}), "report")

    assert "could not see: tasks" in page.locator("#leaks").inner_text()


def test_run_that_was_interrupted_says_so(show: Show) -> None:
    data = reports.full()
    data["run"] |= {"status": 2, "whole": False}

    page = show(data, "report")

    assert "The run was interrupted" in page.locator("header").inner_text()
    assert "Not all tests ran" in page.locator("#stale").inner_text()


def test_hostile_texts_are_text(show: Show) -> None:
    page = show(reports.hostile(), "report")
    page.keyboard.press("t")

    assert page.title() == "A page"
    assert page.locator("script").count() == 2
    assert page.locator("img").count() == 0
    assert {link.get_attribute("href") for link in page.locator("a.trace").all()} == {
        "mockstream-trace/%3Cscript%3E.html"
    }
    page.keyboard.press("/")
    page.keyboard.type("gpj.exe")
    assert rows(page, "consumers") == ["aU+202Egpj.exe"]


def test_lone_surrogate_is_shown_as_its_code_point(show: Show) -> None:
    page = show(reports.hostile(), "report")

    assert "U+D800 alone" in page.locator("#leaks").inner_text()


def test_large_report_shows_the_first_rows_and_the_others_on_demand(show: Show) -> None:
    page = show(reports.large(), "report")
    first = page.locator("#consumers tbody").count()

    toggle(page, "consumers").click()
    tests = page.locator("tr.test").count()
    page.get_by_role("button", name="Show more of 2,001 rows").click()

    assert (first, tests) == (100, 101)
    assert page.locator("#consumers tbody").count() == 600


@pytest.mark.parametrize("make", [reports.full, reports.hostile])
@pytest.mark.parametrize("width", [390, 800, 1600])
def test_page_is_never_wider_than_the_screen(show: Show, make: Any, width: int) -> None:
    page = show(make(), "report", width=width)

    page.keyboard.press("t")

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_print_has_the_tests_of_all_rows(show: Show) -> None:
    page = show(reports.full(), "report")

    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = page.locator("tr.test").count()
    page.evaluate("dispatchEvent(new Event('afterprint'))")

    assert (printed, page.locator("tr.test").count()) == (8, 0)


def test_print_has_all_rows(show: Show) -> None:
    page = show(reports.large(lines=150, tests=2), "report")

    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.locator("#consumers tbody").count() == 151


@pytest.mark.parametrize(
    "options", [{}, {"color_scheme": "dark"}, {"width": 390}, {"color_scheme": "dark", "width": 390}], ids=str
)
def test_axe_finds_nothing(show: Show, options: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = show(reports.full(), "report", **options)
    page.keyboard.press("t")

    alone = axe.run(page).response["violations"]
    page.keyboard.press("?")
    with_dialog = axe.run(page).response["violations"]

    assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in (*alone, *with_dialog)] == []
