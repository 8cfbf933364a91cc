"""The page of a trace, in a real browser: opened from its file, with the network off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream.pages import page as page_of

from . import traces
from .conftest import Show, needs_browser, painted, until

needs_browser()

REQUEST = "openai /v1/chat/completions (request 1)"


def slow(*values: object) -> Any:
    """Return values of a parameter that repeat in breadth what others show."""
    return pytest.param(*values, marks=pytest.mark.slow)


def names(page: Any) -> list[str]:
    """Return the names of the lanes that are shown."""
    return [row.text_content() for row in page.locator(".lane:not([hidden]) .lane-name").all()]


def chosen(page: Any) -> str:
    """Return the name of the lane that is chosen."""
    return str(page.locator(".lane-label[aria-current] .lane-name").text_content())


def heard(page: Any) -> str:
    """Return what a screen reader was told last."""
    return str(page.locator(".only-heard[role=status]").text_content())


def text(page: Any, selector: str) -> str:
    """Return the text of the first element of a kind."""
    return str(page.locator(selector).first.text_content())


def click_at(page: Any, lane: str, share: float) -> None:
    """Click on the track of a lane, at a part of its width."""
    track = page.locator(f".lane[data-lane='{lane}'] .track")
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    page.mouse.click(box["x"] + 14 + share * (box["width"] - 28), box["y"] + 20)


def test_page_opens_at_what_broke(show: Show) -> None:
    page = show(traces.leak())

    assert text(page, ".page-head .badge") == "✕failed"
    assert text(page, "h1") == "tests/test_bot.py::test_answer[en]"
    assert text(page, ".broke h2") == "stream of POST /v1/chat/completions is still open"
    assert "5 of 9 chunks were made, 3 were read" in text(page, ".broke")
    assert text(page, ".broke figcaption") == "opened at app/bot.py:21 in Bot.pump"
    assert text(page, ".broke .here").strip().endswith("async with self.client.complete_stream('hi') as stream:")
    assert text(page, ".broke .remedy") == "What to do Read it in an async with, or close it."
    assert "left 1 thing running" in text(page, ".failure")
    assert chosen(page) == REQUEST
    assert text(page, ".detail .happening h3") == "stream of POST /v1/chat/completions is still open"


def test_failure_that_no_event_tells_of_is_told_by_its_last_error(show: Show) -> None:
    page = show(traces.plain_failure())

    assert text(page, ".broke h2") == "AssertionError: assert 'Paris ' == 'x'"
    assert text(page, ".broke figcaption") == "at app/bot.py:27"
    assert text(page, ".broke .here").strip().endswith("first = await self.queue.get()")
    assert page.locator(".failure").get_attribute("open") == ""


def test_error_that_another_one_caused_is_the_one_that_is_told(show: Show) -> None:
    trace = traces.plain_failure()
    failure = trace["attempts"][0]["failures"][0]
    failure["text"] = "E   ConnectionError: reset\n\napp/bot.py:20: ConnectionError\n\n" + failure["text"]
    page = show(trace)

    assert text(page, ".broke h2") == "AssertionError: assert 'Paris ' == 'x'"
    assert text(page, ".broke .report") == "- x\n+ Paris"


def test_source_is_shown_from_its_least_indented_line(show: Show) -> None:
    page = show(traces.leak())

    lines = page.locator(".broke .source > span").all_text_contents()
    assert lines == [
        "19\n",
        "20async def pump(self) -> None:\n",
        "▸ 21    async with self.client.complete_stream('hi') as stream:\n",
        "22        async for chunk in stream:\n",
        "23            await self.queue.put(chunk)\n",
    ]


def test_trace_of_another_version_is_told(show: Show) -> None:
    page = show(traces.leak() | {"version": 2})

    assert text(page, "main") == "This page cannot show its dataThis trace has version 2; this page shows version 1."


def test_lanes_say_what_they_are_and_how_they_ended(show: Show) -> None:
    page = show(traces.leak())

    rows = [row.text_content() for row in page.locator(".lane-label").all()]
    assert rows == [
        "fixture mock_stream_clientfixture✓passed",
        "calltest✓passed",
        "'pump'task✕leaked",
        f"{REQUEST}request✕open",
    ]
    assert page.locator(".legend li").all_text_contents() == [
        "▸started",
        "!leak",
        "▸request",
        "◂answered",
        "wwait",
        "Pthe reader paused",
    ]


#: The opaque colours of each canvas.
COLOURS = """() => [...document.querySelectorAll('.lane canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const found = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) found.add(data.slice(i, i + 3).join());
    return [...found];
})"""


def test_canvas_keeps_its_colours_where_a_person_chose_those_of_the_page(show: Show) -> None:
    page = show(traces.leak(), forced_colors="active")
    until(page, "document.querySelector('[data-lane=\"3\"] canvas').width > 300")

    assert {"176,39,29", "42,85,201"} <= set(page.evaluate(COLOURS)[3])


def test_canvas_of_a_lane_shows_its_bar_chunks_and_signs(show: Show) -> None:
    """Its colours say so: the leaked lane has those of what is bad, the phase none but grey ones."""
    page = show(traces.leak())
    until(page, "document.querySelector('[data-lane=\"3\"] canvas').width > 300")

    colours = page.evaluate(COLOURS)

    bad, accent, raised = "176,39,29", "42,85,201", "241,241,238"
    assert [[tone in found for tone in (bad, accent, raised)] for found in colours] == [
        [False, False, True],
        [False, False, True],
        [True, False, False],
        [True, True, False],
    ]


def test_click_on_a_chunk_shows_its_text_times_and_frame(show: Show) -> None:
    page = show(traces.leak())

    click_at(page, "3", 0.13 / 0.62)

    assert chosen(page) == REQUEST
    assert text(page, ".happening .chunk") == "is "
    assert text(page, ".happening .facts") == "arrived130 ms, 50 ms after the one beforeread134 ms, it waited 4 ms"
    assert text(page, ".happening .fold pre") == 'data: {"choices":[{"delta":{"content":"is "}}]}\n\n'


def test_click_on_an_event_shows_it(show: Show) -> None:
    page = show(traces.leak())

    click_at(page, "2", 1)

    assert text(page, ".happening h3") == "task 'pump' is still running"
    assert [place.text_content() for place in page.locator(".happening figcaption").all()] == [
        "waits at app/bot.py:23 in Bot.pump"
    ]
    page.get_by_role("button", name=f"Go to {REQUEST}").click()
    assert chosen(page) == REQUEST


def test_detail_of_a_request_has_what_was_asked_and_answered(show: Show) -> None:
    page = show(traces.leak())

    page.locator(".detail summary", has_text="Request").click()

    request = text(page, ".detail .fold:has(summary:text-is('Request'))")
    assert "POST /v1/chat/completions" in request
    assert '"content": "Tell me about Paris"' in request
    assert "authorizationBearer [redacted]" in request
    assert "full of light." in text(page, ".detail .fold:has(summary:text-is('Response'))")


def test_keys_choose_lanes_and_what_happened_on_them(show: Show) -> None:
    page = show(traces.leak())

    page.keyboard.press("k")
    assert chosen(page) == "'pump'"
    page.keyboard.press("ArrowUp")
    assert chosen(page) == "call"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    assert text(page, ".happening h3") == "started by Bot.start"
    page.keyboard.press("ArrowRight")
    assert heard(page) == "310 ms: the test's call ended"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "detail"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "lane-label"
    page.keyboard.press("n")
    assert text(page, ".happening h3") == "stream of POST /v1/chat/completions is still open"


def test_help_lists_the_keys_and_can_switch_single_ones_off(show: Show) -> None:
    page = show(traces.leak())
    before = chosen(page)

    page.keyboard.press("?")
    assert "Next thing that went wrong" in text(page, "dialog")
    page.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    page.keyboard.press("k")

    assert chosen(page) == before


def test_cursor_shows_the_text_of_a_stream_at_any_instant(show: Show) -> None:
    page = show(traces.leak())
    slider = page.get_by_role("slider")

    slider.focus()
    page.keyboard.press("Home")
    assert text(page, ".detail .at") == "Paris is lovely in spring, "
    assert text(page, ".detail .to-come") == "Paris is lovely in spring, "
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    painted(page)
    assert slider.get_attribute("aria-valuetext") == heard(page)
    assert heard(page).startswith("130 ms: ")
    assert [text(page, f".detail .at span:nth-child({i})") for i in (1, 2, 3)] == [
        "Paris ",
        "is ",
        "lovely in spring, ",
    ]
    page.keyboard.press("End")
    painted(page)
    assert text(page, ".detail .unread") == "in spring, "
    assert text(page, ".lane[data-lane='3'] .said") == "Paris is lovely in spring, "


@pytest.mark.parametrize("touch", [False, True])
def test_cursor_follows_the_pointer(show: Show, touch: bool) -> None:
    page = show(traces.leak(), has_touch=touch)
    axis = page.locator(".axis").bounding_box()
    middle = axis["x"] + 14 + 0.5 * (axis["width"] - 28)

    if touch:
        page.touchscreen.tap(middle, axis["y"] + 20)
    else:
        page.mouse.move(axis["x"] + 50, axis["y"] + 20)
        page.mouse.down()
        page.mouse.move(middle, axis["y"] + 300, steps=3)
        page.mouse.up()

    until(page, "Math.abs(document.querySelector('[role=slider]').ariaValueNow - 0.31) < 0.002")


def test_pointer_over_a_thing_says_what_it_is(show: Show) -> None:
    page = show(traces.leak())
    track = page.locator(".lane[data-lane='3'] .track").bounding_box()

    page.mouse.move(track["x"] + 14 + 0.13 / 0.62 * (track["width"] - 28), track["y"] + 20)

    assert text(page, ".tip") == '130 ms chunk 2 "is "'


def test_order_of_events_separates_what_happened_at_one_instant(show: Show) -> None:
    run = traces.Run(0, clock="virtual")
    lane = run.lane("request", "a", 0, 0, "exhausted")
    run.stream(lane, [0, 0, 0], ["a", "b", "c"])
    page = show(traces.trace(traces.attempt(run, outcome="passed")))

    assert page.locator(".group[aria-label=Axis] [aria-pressed=true]").text_content() == "Order of events"
    click_at(page, "0", 2 / 3)
    assert text(page, ".happening .chunk") == "b"
    assert [text(page, f".detail .at span:nth-child({i})") for i in (1, 2, 3)] == ["ab", "", "c"]


def test_retry_is_joined_to_what_it_tries_again(show: Show) -> None:
    page = show(traces.reruns())

    assert page.locator(".links path[data-kind=retry]").count() == 1
    assert page.evaluate("""() => {
        const path = document.querySelector('.links path');
        const [start, end] = [0, 0.9].map((part) => path.getPointAtLength(part * path.getTotalLength()));
        const [first, second] = ['1', '2'].map((id) => document.querySelector(`[data-lane="${id}"]`));
        return first.offsetTop < start.y && start.y < second.offsetTop && second.offsetTop < end.y && start.x < end.x;
    }""")


def test_retry_of_a_lane_that_is_folded_is_joined_to_nothing(show: Show) -> None:
    page = show(traces.reruns())

    page.get_by_role("button", name="2 requests").click()

    page.locator(".links path").wait_for(state="detached")


def test_lanes_are_found_by_what_they_say_and_folded_by_their_kind(show: Show) -> None:
    page = show(traces.leak())

    page.get_by_role("button", name="2 phases").click()
    assert names(page) == ["'pump'", REQUEST]
    page.keyboard.press("/")
    page.keyboard.type("LOVELY")
    assert names(page) == [REQUEST]
    assert text(page, ".tools [role=status]") == "1 of 4 lanes"
    page.keyboard.type(" nothing")
    assert names(page) == []
    assert page.get_by_text("No lane is like that.").is_visible()


def test_reasoning_and_calls_are_texts_of_their_own(show: Show) -> None:
    run = traces.Run(1)
    lane = run.lane("request", "a", 0, 1, "exhausted")
    run.stream(lane, [0.1, 0.2, 0.3, 0.4], ["hm ", "Par", '{"a":', "is"], kinds=["reasoning", "text", "tool", "text"])
    page = show(traces.trace(traces.attempt(run)))

    assert page.locator(".detail .at").all_text_contents() == ["Paris", "hm ", '{"a":']
    assert text(page, ".said") == "Paris"


def test_what_lasted_stands_where_it_began_though_it_was_told_at_its_end(show: Show) -> None:
    run = traces.Run(1)
    lane = run.lane("request", "a", 0, 1, "exhausted")
    run.event(lane, 0.5, "answered", "came between")
    run.event(lane, 0.2, "wait", "lasted", until=0.8)
    page = show(traces.trace(traces.attempt(run)))

    page.locator(".lane-label").focus()
    page.keyboard.press("Home")
    assert text(page, ".happening h3") == "lasted"
    page.keyboard.press("ArrowRight")
    assert text(page, ".happening h3") == "came between"
    page.keyboard.press("o")
    page.keyboard.press("ArrowRight")
    assert text(page, ".happening h3") == "lasted"


def test_run_of_a_sweep_whose_lanes_were_left_out_says_so(show: Show) -> None:
    trace = traces.sweep()
    trace["attempts"][0]["runs"][0] |= {"name": "", "lanes": [], "links": []}
    page = show(trace)

    page.get_by_role("option").first.click()

    assert text(page, ".broke h2") == "Run 1 of 40: what the test did besides"
    assert text(page, ".detail") == "Nothing is known of what happened in this run."


def test_failure_of_a_phase_is_told_by_its_text_and_place(show: Show) -> None:
    trace = traces.plain_failure()
    event = {"n": 99, "at": 2.4, "kind": "error", "label": "app/bot.py:27: AssertionError"}
    trace["attempts"][0]["runs"][0]["lanes"][0]["events"] = [event | {"place": traces.place(28, "Bot.answer")}]
    page = show(trace)

    assert text(page, ".broke h2") == "AssertionError: assert 'Paris ' == 'x'"
    assert text(page, ".broke figcaption") == "at app/bot.py:28 in Bot.answer"
    assert chosen(page) == "call"


def test_leak_is_told_before_the_phase_that_it_failed(show: Show) -> None:
    trace = traces.leak()
    event = {"n": 99, "at": 0.6, "kind": "error", "label": "Ended now: task 'pump'."}
    trace["attempts"][0]["runs"][0]["lanes"][1] |= {"name": "teardown", "events": [event]}
    page = show(trace)

    assert page.locator(".broke .also").all_text_contents() == ["task 'pump' is still running"]


def test_failure_of_a_call_is_told_before_what_went_wrong_besides(show: Show) -> None:
    trace = traces.leak()
    failures = [("call", "E       assert 1 == 2"), ("teardown", "LeakError: it left 1 task running")]
    trace["attempts"][0]["failures"] = [{"phase": phase, "text": text} for phase, text in failures]
    event = {"n": 99, "at": 0.6, "kind": "error", "label": "assert 1 == 2", "place": traces.place(28, "Bot.answer")}
    trace["attempts"][0]["runs"][0]["lanes"][1]["events"] = [event]
    page = show(trace)

    assert text(page, ".broke h2") == "assert 1 == 2"
    assert chosen(page) == "call"
    assert "task 'pump' is still running" in page.locator(".broke .also").all_text_contents()


def test_several_failures_are_folded_into_one(show: Show) -> None:
    trace = traces.leak()
    trace["attempts"][0]["failures"] = [{"phase": "call", "text": "one"}, {"phase": "call", "text": "two"}]
    page = show(trace)

    assert page.locator(".failure > summary").all_text_contents() == ["2 failures, as pytest shows them"]
    page.locator(".failure > summary").click()
    assert page.locator(".failure .report").all_text_contents() == ["one", "two"]


def test_zoom_shows_a_part_and_the_cursor_stays_in_view(show: Show) -> None:
    page = show(traces.leak())
    whole = page.locator(".tick").all_text_contents()

    for _ in range(6):
        page.keyboard.press("+")
    until(page, "document.querySelector('.tick').textContent !== '0 s'")
    assert page.locator(".cursor").is_visible()
    page.keyboard.press("0")
    until(page, "document.querySelector('.tick').textContent === '0 s'")
    assert page.locator(".tick").all_text_contents() == whole


def test_sweep_opens_at_its_first_bad_run_and_says_how_to_run_it_alone(show: Show) -> None:
    page = show(traces.sweep())

    assert page.get_by_role("option").count() == 40
    assert page.locator(".cell.is-bad").all_text_contents() == ["✕"] * 3
    assert text(page, ".strip .badge") == "✕3 of 40 runs failed"
    assert page.locator(".cell[aria-selected=true]").get_attribute("aria-label") == "7: chunk 2: Stall(), failed"
    assert text(page, ".broke h2") == "Run 7 of 40: chunk 2: Stall()"
    assert text(page, ".broke pre") == "AssertionError: assert 'ParisParis is lovely.' == 'Paris is lovely.'"
    assert text(page, ".alone pre") == "await sweep_faults(make, only=6)"


def plain(name: str) -> traces.Trace:
    """Return a run of a sweep to which nothing was done."""
    return {**traces.retry_run("passed").data, "name": name}


def test_strip_of_a_sweep_says_what_a_cell_is_and_how_many_are_at_points(show: Show) -> None:
    trace = traces.sweep(bad=())
    runs = trace["attempts"][0]["runs"]
    runs[:] = [plain(""), plain("the first run"), *runs, runs[-1]]
    page = show(trace)

    assert text(page, ".strip > p") == (
        "A cell is a run, · passed or ✕ failed: 41 runs for 40 points, and 2 without one (○), to which nothing was done"
    )
    assert page.locator(".cell").all_text_contents() == ["○"] * 2 + ["·"] * 41
    assert page.locator(".strip .event").count() == 0


def test_strip_counts_orders_where_orders_are_swept(show: Show) -> None:
    trace = traces.sweep(3, bad=())
    trace["attempts"][0]["sweep"]["kind"] = "orders"

    assert text(show(trace), ".strip > p") == "A cell is a run, · passed or ✕ failed: 3 runs for 3 orders"


def test_bad_runs_of_a_sweep_are_listed_with_what_was_wrong(show: Show) -> None:
    trace = traces.sweep()
    trace["attempts"][0]["runs"][23]["problem"] = "it hangs\nand more of it"
    page = show(trace)

    assert page.locator(".strip .event").all_text_contents() == [
        "7: chunk 2: Stall(), failed: AssertionError: assert 'ParisParis is lovely.' == 'Paris is lovely.'",
        "8: chunk 2: HTTPError(503), failed: AssertionError: assert 'ParisParis is lovely.' == 'Paris is lovely.'",
        "24: chunk 6: HTTPError(503), failed: it hangs",
    ]
    assert page.locator(".cell").nth(23).get_attribute("title") == "24: chunk 6: HTTPError(503), failed: it hangs"
    assert page.locator(".cell").nth(0).get_attribute("title") == "1: chunk 1: Disconnect(), passed"
    page.get_by_text("Which runs failed").click()
    page.locator(".strip .event").nth(2).click()
    assert text(page, ".broke h2") == "Run 24 of 40: chunk 6: HTTPError(503)"


def test_of_many_bad_runs_some_are_listed(show: Show) -> None:
    page = show(traces.sweep(bad=range(25)))

    assert page.locator(".strip .event").count() == 20
    assert text(page, ".strip .fold p") == "and 5 more"


def test_run_of_a_sweep_shows_where_something_was_done_to_it(show: Show) -> None:
    trace = traces.sweep()
    trace["attempts"][0]["runs"][6]["at"] = traces.place(23, "Bot.pump")
    page = show(trace)

    assert text(page, ".broke figcaption") == "at app/bot.py:23 in Bot.pump"
    assert text(page, ".broke .here") == "▸ 23            await self.queue.put(chunk)\n"


def test_how_to_run_it_alone_can_be_copied(show: Show) -> None:
    page = show(traces.sweep(), permissions=["clipboard-read", "clipboard-write"])

    page.get_by_role("button", name="Copy").click()

    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "await sweep_faults(make, only=6)"


def test_runs_of_a_sweep_are_chosen_by_click_and_key(show: Show) -> None:
    page = show(traces.sweep())

    page.get_by_role("option").nth(0).click()
    assert text(page, ".broke h2") == "Run 1 of 40: chunk 1: Disconnect()"
    assert page.evaluate("document.activeElement.ariaLabel") == "1: chunk 1: Disconnect(), passed"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.ariaLabel") == "2: chunk 1: Truncate(), passed"
    page.keyboard.press("b")
    page.keyboard.press("b")
    page.keyboard.press("b")
    assert text(page, ".broke h2") == "Run 24 of 40: chunk 6: HTTPError(503)"
    page.keyboard.press("b")
    assert text(page, ".broke h2") == "Run 7 of 40: chunk 2: Stall()"


def test_attempts_side_by_side(show: Show) -> None:
    page = show(traces.reruns(), width=1600)

    assert page.locator(".group[aria-label=Attempt] [aria-pressed=true]").text_content() == "Attempt 1: rerun"
    page.get_by_role("button", name="Attempts side by side").click()

    panes = page.locator(".pane")
    assert panes.count() == 2
    assert panes.nth(1).locator("[aria-label=Attempt] [aria-pressed=true]").text_content() == "Attempt 2: passed"
    left, right = (panes.nth(i).bounding_box() for i in (0, 1))
    assert left["x"] + left["width"] <= right["x"]
    panes.nth(1).get_by_role("button", name="Close").click()
    assert panes.count() == 1


@pytest.mark.parametrize("ending", ["html", slow("json")])
def test_comparing_with_another_file(show: Show, tmp_path: Path, ending: str) -> None:
    page = show(traces.leak())
    other = traces.reruns()
    path = tmp_path / f"other.{ending}"
    path.write_text(page_of("trace", other, title="") if ending == "html" else json.dumps(other))

    page.locator("input[type=file]").set_input_files(path)

    page.locator(".pane").nth(1).wait_for()
    assert (
        page.locator(".pane").nth(1).get_by_role("heading").first.text_content()
        == f"other.{ending}: tests/test_bot.py::test_answer[en]"
    )


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("{", "bad.txt: Expected property name"),
        slow("<p>", "bad.txt: This page carries no data of a trace."),
        slow("[1]", "bad.txt: This is no trace of pytest-mockstream."),
        (json.dumps(traces.leak() | {"version": 2}), "bad.txt: This trace has version 2; this page shows version 1."),
    ],
)
def test_file_that_is_no_trace_is_told(show: Show, tmp_path: Path, said: str, complaint: str) -> None:
    page = show(traces.leak())
    (tmp_path / "bad.txt").write_text(said)

    page.locator("input[type=file]").set_input_files(tmp_path / "bad.txt")

    until(page, "document.querySelector('[role=alert]').textContent")
    assert text(page, "[role=alert]").startswith(complaint)
    assert page.locator(".pane").count() == 1


def test_address_says_what_is_chosen_and_leads_back_to_it(show: Show) -> None:
    page = show(traces.sweep())
    page.get_by_role("option").nth(23).click()
    click_at(page, "1", 0.3 / 2.4)
    link = page.evaluate("location.hash")
    assert link == "#run=24&lane=1&event=3"

    again = show(traces.sweep(), at=link)

    assert text(again, ".broke h2") == "Run 24 of 40: chunk 6: HTTPError(503)"
    assert chosen(again) == "anthropic /v1/messages (request 1)"
    assert text(again, ".happening .chunk") == "Let me "
    again.evaluate("location.hash = '#run=1&lane=2'")
    until(again, "document.querySelector('.broke h2').textContent.startsWith('Run 1 ')")
    assert chosen(again) == "anthropic /v1/messages (request 2)"


@pytest.mark.parametrize(
    "link", ["#run=999&lane=77&event=-1", slow("#"), slow("#lane=__proto__&event=x"), slow("#%zz"), slow("#attempt=0")]
)
def test_address_that_leads_nowhere_opens_at_what_broke(show: Show, link: str) -> None:
    page = show(traces.sweep(), at=link)

    assert text(page, ".broke h2") == "Run 7 of 40: chunk 2: Stall()"


def test_page_works_in_a_frame_of_a_report_that_lets_it_do_nothing_but_run(show: Show) -> None:
    page = show(traces.leak())
    page.evaluate(
        """(html) => {
            const frame = document.createElement("iframe");
            frame.sandbox = "allow-scripts";
            frame.srcdoc = html;
            document.body.replaceChildren(frame);
        }""",
        page_of("trace", traces.sweep(), title=""),
    )
    frame = page.frame_locator("iframe")

    frame.get_by_role("option").nth(23).click()

    assert frame.locator(".broke h2").first.text_content() == "Run 24 of 40: chunk 6: HTTPError(503)"


def test_data_can_be_saved(show: Show) -> None:
    page = show(traces.hostile())

    with page.expect_download() as download:
        page.get_by_role("button", name="Download the data").click()

    assert json.loads(download.value.path().read_bytes()) == json.loads(json.dumps(traces.hostile()))


def test_hostile_texts_are_text(show: Show) -> None:
    page = show(traces.hostile())

    page.keyboard.press("?")
    page.keyboard.press("Escape")
    for _ in range(len(traces.HOSTILE) + 1):
        page.keyboard.press("j")
        page.keyboard.press("ArrowLeft")
    page.locator("summary").evaluate_all("all => all.forEach((one) => one.click())")

    assert page.title() == "A page"
    assert page.locator("img, iframe, object, script:not(#data):not([type=module])").count() == 0
    assert page.evaluate("({}).polluted") is None
    shown = page.locator("body").inner_text()
    assert "</script><script>document.title='pwned'</script>" in shown
    assert "&lt;b&gt; &amp;amp; &#x202e;" in shown
    assert not set("\u202e\u202c\u2066\u2067\u200b\u00ad\ufeff\u2028\u0000\u001b") & set(shown)
    assert "U+202Egnp.exeU+202C" in shown
    assert "U+D800 alone U+DFFF" in shown
    assert "👩‍👩‍👧 ❤️ 🇫🇷" in shown


def test_long_text_is_shown_whole_when_asked_for(show: Show) -> None:
    page = show(traces.hostile())

    page.locator(".lane-label").last.click()
    page.keyboard.press("End")
    page.locator(".happening").get_by_role("button", name="Show all 1,000,000 characters").click()

    assert len(text(page, ".happening .text")) == 1_000_000


@pytest.mark.parametrize(
    ("make", "width"),
    [
        (traces.hostile, 390),
        (traces.sweep, 390),
        (traces.leak, 1600),
        slow(traces.leak, 390),
        slow(traces.reruns, 390),
        slow(traces.plain_failure, 390),
        slow(traces.hostile, 1600),
        slow(traces.sweep, 1600),
    ],
)
def test_page_is_never_wider_than_the_screen(show: Show, make: Any, width: int) -> None:
    page = show(make(), width=width)

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_details_are_beside_the_lanes_or_below_the_chosen_one(show: Show) -> None:
    page = show(traces.leak(), width=1600)
    lanes, detail = (page.locator(selector).bounding_box() for selector in (".timeline", ".detail"))
    assert detail["x"] >= lanes["x"] + lanes["width"]

    page.set_viewport_size({"width": 390, "height": 844})
    until(page, "document.querySelector('.lanes .detail')")

    row, detail = (page.locator(selector).bounding_box() for selector in (".lane:has([aria-current])", ".detail"))
    assert abs(row["y"] + row["height"] - detail["y"]) < 3


def test_theme_is_the_systems_until_one_chooses(show: Show) -> None:
    page = show(traces.leak(), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(19, 21, 25)"

    page.get_by_role("button", name="Light").click()
    assert page.evaluate(ground) == "rgb(247, 247, 245)"
    page.reload()
    assert page.evaluate(ground) == "rgb(247, 247, 245)"


def test_paper_has_all_that_folds_and_panels_hide(show: Show) -> None:
    page = show(traces.leak(), color_scheme="dark")

    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert "42,85,201" in page.evaluate(COLOURS)[3], "drawn for white paper, though the page is dark"
    page.emulate_media(media="print")

    printed = page.locator("body").inner_text()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
    for said in (
        "left 1 thing running",
        "full of light.",
        "Tell me about Paris",
        "started by Bot.start",
        "Paris is lovely in spring",
        "coroutine",
    ):
        assert said in printed
    assert printed.count("Read it in an async with, or close it.") == 2
    assert "Download the data" not in printed
    assert not page.locator(".slot").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".paper").count() == 0


def test_paper_has_the_lanes_that_are_out_of_sight(show: Show) -> None:
    page = show(traces.large(chunks=2))

    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.evaluate("[...document.querySelectorAll('.lane canvas')].every((one) => one.width > 300)")


VIEWS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"width": 390, "height": 844},
    "contrast": {"forced_colors": "active"},
}


@pytest.mark.parametrize(
    ("make", "view"),
    [
        (traces.leak, "light"),
        (traces.sweep, "dark"),
        (traces.reruns, "dark"),
        *(slow(make, view) for make in (traces.leak, traces.sweep, traces.reruns) for view in ("contrast", "narrow")),
        *(slow(traces.hostile, view) for view in VIEWS),
        slow(traces.leak, "dark"),
        slow(traces.sweep, "light"),
    ],
)
def test_page_has_no_violation_of_what_axe_checks(show: Show, make: Any, view: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = show(make(), **VIEWS[view])
    if make is traces.reruns:
        page.keyboard.press("c")
    if make is traces.sweep:
        page.keyboard.press("?")

    found = axe.run(page)

    assert found.violations_count == 0, found.generate_report()


def test_many_streams_are_drawn_only_where_they_are_seen(show: Show) -> None:
    page = show(traces.large())
    until(page, "document.querySelector('.lane[data-lane=\"201\"] canvas').width > 300")

    drawn = page.evaluate("[...document.querySelectorAll('.lane canvas')].filter((one) => one.width > 300).length")

    assert page.locator(".lane").count() == 202
    assert drawn < 60


def test_lane_that_leaked_is_seen_among_many_at_the_start(show: Show) -> None:
    page = show(traces.large())

    lanes, leaked = (page.locator(selector).bounding_box() for selector in (".timeline", ".lane:has([aria-current])"))
    assert chosen(page) == "'pump'"
    assert lanes["y"] <= leaked["y"]
    assert leaked["y"] + leaked["height"] <= lanes["y"] + lanes["height"] + 1
    assert page.evaluate("scrollY") == 0
