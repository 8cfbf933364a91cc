from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pytest_mockstream import (
    Disconnect,
    End,
    ErrorEvent,
    Frame,
    HTTPError,
    KeepAlive,
    Malformed,
    MockStreamClient,
    ScriptError,
    Stall,
    SweepError,
    SweepResult,
    SweepWarning,
    ToolCall,
    Truncate,
    UnexpectedRequestError,
    Wait,
    sweep_faults,
)
from sweep import planted
from sweep.planted import line


async def failed(make: planted.Making, client: MockStreamClient, **options: Any) -> SweepResult:
    with pytest.raises(SweepError) as caught:
        await sweep_faults(make, client, **{"grace": 0.01, **options})
    result = caught.value.result
    assert isinstance(result, SweepResult)
    return result


@pytest.fixture
def client(mock_stream_client: MockStreamClient) -> MockStreamClient:
    mock_stream_client.respond("one two three")
    return mock_stream_client


def bad_lines(result: SweepResult) -> set[int]:
    return {visit.place.lineno for visit in result.bad if visit.place is not None}


async def test_success_on_a_truncated_stream_is_found_before_every_chunk(client: MockStreamClient) -> None:
    result = await failed(lambda: planted.closes(client), client, faults=[Truncate])

    assert [(visit.chunk, *map(str, visit.problems)) for visit in result.bad] == [
        (number, f"it reported success on a broken stream: it returned {text!r}")
        for number, text in enumerate(["", "one ", "one two ", "one two three"], 1)
    ]
    assert bad_lines(result) == {line(planted.closes, "read")}


async def test_code_that_looks_at_the_end_passes(client: MockStreamClient) -> None:
    result = await sweep_faults(lambda: planted.Waits(client).on_stream(), client)

    assert result.points == 4 * 5


async def test_timeout_around_a_generators_read_is_found_and_its_line_named(client: MockStreamClient) -> None:
    result = await failed(lambda: planted.Waits(client).on_generator(), client, faults=[Stall])

    assert len(result.bad) == 4
    assert bad_lines(result) == {line(planted.Waits.chunks, "here")}
    assert "it reported success on a broken stream: it returned '', 'one ', ..., 'one two three'" in result.report()


async def test_silence_without_a_timeout_is_bounded_and_explained(client: MockStreamClient) -> None:
    result = await failed(lambda: planted.closes(client), client, faults=[Stall])

    assert len(result.bad) == 4
    assert "It has nothing that ends it when a stream falls silent" in result.report()


async def test_exception_that_the_caller_did_not_list_is_a_failure(client: MockStreamClient) -> None:
    result = await failed(lambda: planted.closes(client), client, faults=[Disconnect], raises=TimeoutError)

    assert "it ended in StreamDisconnected" in result.report()
    assert "not in TimeoutError" in result.report()


async def test_failed_assertion_is_no_way_to_report_a_broken_stream(client: MockStreamClient) -> None:
    async def asserts() -> None:
        assert await planted.closes(client) == "one two three"

    result = await failed(asserts, client, faults=[Truncate])

    assert len(result.bad) == 4
    assert "an assertion failed" in result.report()


async def test_failed_assertion_counts_where_it_is_listed(client: MockStreamClient) -> None:
    async def asserts() -> None:
        async with client.complete_stream("hi") as stream:
            assert [chunk async for chunk in stream][-1:] != []
            assert stream.state == "exhausted"

    assert (await sweep_faults(asserts, client, faults=[Truncate], raises=AssertionError)).ok


async def retries(client: MockStreamClient) -> str:
    for _ in range(2):
        try:
            return await planted.Waits(client).on_stream()
        except Exception:  # noqa: S112 - what a retry loop does
            continue
    raise ConnectionError


async def test_retry_gets_the_whole_script(client: MockStreamClient) -> None:
    texts = []

    async def asks() -> None:
        texts.append(await retries(client))

    result = await sweep_faults(asks, client, allow_completion=True, check=lambda: texts[-1] == "one two three")

    assert result.ok


async def test_several_scripts_are_broken_in_turn(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one two")
    mock_stream_client.respond("three")

    async def agent() -> list[str]:
        answers = []
        for prompt in ("first", "second"):
            async with mock_stream_client.complete_stream(prompt) as stream:
                chunks = [chunk async for chunk in stream]
            if not chunks or not chunks[-1].done:
                raise ConnectionError
            answers.append(chunks[-1].content)
        return answers

    result = await sweep_faults(agent, mock_stream_client, faults=[Truncate, Disconnect])

    assert [(v.what.format(v.chunk)) for v in result.visits] == [
        *(f"Truncate before chunk {n} of answer 1" for n in (1, 2, 3)),
        *(f"Disconnect before chunk {n} of answer 1" for n in (1, 2, 3)),
        *(f"Truncate before chunk {n} of answer 2" for n in (1, 2)),
        *(f"Disconnect before chunk {n} of answer 2" for n in (1, 2)),
    ]


async def test_next_question_does_not_get_the_script_of_a_broken_one(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one")
    mock_stream_client.respond("two")
    answers: list[str] = []

    async def goes_on() -> None:
        answers.clear()
        for prompt in ("first", "second"):
            async with mock_stream_client.complete_stream(prompt) as stream:
                answers.append(await stream.aread())

    await sweep_faults(
        goes_on, mock_stream_client, faults=[Truncate], allow_completion=True, check=lambda: answers[1] in {"two", ""}
    )


async def test_chunks_that_nobody_reads_are_not_broken(client: MockStreamClient) -> None:
    async def reads_one() -> None:
        async with client.complete_stream("hi") as stream:
            async for _ in stream:
                return
            raise ConnectionError

    result = await sweep_faults(reads_one, client, faults=[Disconnect, Truncate])

    assert result.points == 2


async def test_place_that_is_missed_once_is_tried_again(client: MockStreamClient) -> None:
    runs = []

    async def asks_not_always() -> None:
        runs.append(1)
        if len(runs) != 2:
            await planted.Waits(client).on_stream()

    result = await sweep_faults(asks_not_always, client, faults=[Truncate])

    assert (result.steady, len(result.visits)) == (True, 4)


async def test_place_that_no_run_comes_by_is_told(client: MockStreamClient) -> None:
    answers: list[str] = []

    async def asks_once() -> None:
        if not answers:
            answers.append(await planted.closes(client))

    with pytest.warns(SweepWarning, match=r"points that were not reached, each tried 3 times: 1, 2, 3, 4\."):
        await sweep_faults(asks_once, client, faults=[Truncate])


async def test_tool_call_is_broken_within_its_arguments(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(ToolCall("look", {"city": "Paris"}), chunking=4)

    result = await sweep_faults(lambda: planted.Waits(mock_stream_client).on_stream(), mock_stream_client)

    assert result.points == 5 * (1 + 5 + 1)


async def test_frame_is_a_place_to_break(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one ", Frame({"x": 1}), Frame({"y": 1}, chunks=0), "two", End(), KeepAlive())

    result = await failed(lambda: planted.closes(mock_stream_client), mock_stream_client, faults=[Truncate])

    assert [visit.chunk for visit in result.bad] == [1, 2, 3, 4]


async def test_default_text_is_broken_too(mock_stream_client: MockStreamClient) -> None:
    result = await sweep_faults(
        lambda: planted.Waits(mock_stream_client).on_stream(), mock_stream_client, faults=[Malformed]
    )

    assert result.points == 12


async def test_reply_that_is_not_streamed_is_broken_once(client: MockStreamClient) -> None:
    result = await sweep_faults(lambda: client.acomplete("hi"), client, faults=[Disconnect, ErrorEvent("no {")])

    assert [visit.what.format(visit.chunk) for visit in result.visits] == [
        "Disconnect instead of answer 1",
        "ErrorEvent(message='no {', type=None, code=None) instead of answer 1",
    ]


async def test_status_comes_before_the_first_chunk_only(client: MockStreamClient) -> None:
    result = await sweep_faults(lambda: planted.closes(client), client, faults=[HTTPError(503)])

    assert result.points == 1


async def test_broken_stream_that_nobody_closes_is_a_leak(client: MockStreamClient) -> None:
    async def holds() -> None:
        stream = client.complete_stream("hi")
        async with asyncio.timeout(0.1):
            await stream.aread()
        await stream.aclose()

    result = await failed(holds, client, faults=[Stall])

    assert "opened at" in result.report()


@pytest.mark.filterwarnings("ignore::pytest_mockstream.UnclosedStreamWarning")
async def test_leak_in_the_first_run_is_reported(client: MockStreamClient) -> None:
    async def leaves() -> None:
        await client.complete_stream("hi").__anext__()

    result = await failed(leaves, client)

    assert result.bad[0].what == "the first run, whose streams are whole:"


async def test_request_that_no_script_is_left_for_is_a_failure(client: MockStreamClient) -> None:
    async def asks_elsewhere() -> None:
        try:
            await planted.Waits(client).on_stream()
        except ConnectionError:
            async with client.complete_stream("another question"):
                pass

    result = await failed(asks_elsewhere, client, faults=[Truncate], raises=UnexpectedRequestError)

    assert "it made more requests than in its first run" in result.report()


async def test_record_is_that_of_the_first_run(client: MockStreamClient) -> None:
    await sweep_faults(lambda: planted.Waits(client).on_stream(), client)

    assert [request.state for request in client.requests] == ["exhausted"]


async def test_pacing_up_to_the_fault_is_that_of_the_whole_script(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("a b c", delay=0.001, jitter=0.001, seed=7)
    instants: list[list[float]] = []

    async def notes() -> None:
        seen: list[float] = []
        instants.append(seen)
        async with mock_stream_client.complete_stream("hi") as stream:
            async for chunk in stream:
                seen.append(chunk.timestamp)  # noqa: PERF401 - what came before the fault is what is wanted

    await sweep_faults(notes, mock_stream_client, faults=[Disconnect])

    whole, *broken = instants
    assert broken == [whole[:number] for number in range(4)]


async def test_one_place_is_run_alone(client: MockStreamClient) -> None:
    result = await sweep_faults(lambda: planted.Waits(client).on_stream(), client, point=7)

    assert [visit.point for visit in result.visits] == [7]


async def test_stall_that_ends_is_no_end(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("a b", Wait(0))

    result = await sweep_faults(
        lambda: planted.closes(mock_stream_client), mock_stream_client, faults=[Stall(0.001)], allow_completion=True
    )

    assert result.points == 3


@pytest.mark.mockstream(unused="allow")
async def test_client_that_the_code_does_not_read_from_is_named(client: MockStreamClient) -> None:
    with pytest.raises(ScriptError) as caught:
        await sweep_faults(planted.step, client)

    assert str(caught.value) == (
        "sweep_faults of step: there is nothing to break, for its first run read no stream of <MockStreamClient mock, 0"
        " requests>. Give the client, or the fixture, that the code under test asks, and read what it answers"
    )


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([Wait(1)], "is not a fault; give some of Truncate, Disconnect, Stall"),
        ([HTTPError], "it needs a status, such as HTTPError(503)"),
        (["close"], "is not a fault"),
        ([], "faults=[]: give at least one fault"),
        (Truncate, "give a list of faults"),
    ],
)
async def test_what_is_no_fault_is_named(faults: Any, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        await sweep_faults(planted.step, MockStreamClient(), faults=faults)

    assert message in str(caught.value)


@pytest.mark.mockstream(unused="allow")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"raises": ()}, "raises=(): give an exception class, or a tuple of them"),
        ({"raises": "all"}, "raises='all': give an exception class, or a tuple of them"),
        ({"point": 21}, "point=21: the code under test has 20 points; give 1 to 20"),
        ({"max_points": 0}, "max_points=0: give a whole number >= 1"),
        ({"max_points": 2.5}, "max_points=2.5: give a whole number >= 1"),
        ({"max_points": "all"}, "max_points='all': give a whole number >= 1"),
    ],
)
async def test_argument_that_is_not_legal_is_named(
    client: MockStreamClient, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScriptError) as caught:
        await sweep_faults(lambda: planted.closes(client), client, **options)

    assert str(caught.value) == message


async def test_budget_is_spread_evenly(client: MockStreamClient) -> None:
    result = await sweep_faults(lambda: planted.Waits(client).on_stream(), client, max_points=3)

    assert [visit.point for visit in result.visits] == [1, 11, 20]
    left_out = "17 of 20 points were left out (max_points=3); visited: 1, 11, 20."
    assert str(result).endswith(f"{left_out} max_points=None visits all, point=N one alone.")


async def test_client_that_plays_no_scripts_is_named() -> None:
    with pytest.raises(ScriptError, match="plays no scripts"):
        await sweep_faults(planted.step, object())
