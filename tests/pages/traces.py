"""Traces for the tests of their page, made by hand: in the form that the plugin writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

Trace = dict[str, Any]
BOT = {
    "first": 15,
    "lines": [
        "class Bot:",
        "    def start(self) -> None:",
        "        self.queue = asyncio.Queue(maxsize=2)",
        "        self.task = asyncio.create_task(self.pump(), name='pump')",
        "",
        "    async def pump(self) -> None:",
        "        async with self.client.complete_stream('hi') as stream:",
        "            async for chunk in stream:",
        "                await self.queue.put(chunk)",
        "",
        "    async def answer(self) -> str:",
        "        self.start()",
        "        first = await self.queue.get()",
        "        return first.delta",
    ],
}


def place(line: int, function: str, file: str = "app/bot.py") -> dict[str, Any]:
    """Return a place in a source file."""
    return {"file": file, "line": line, "function": function}


class Run:
    """A run as it is made, lane by lane; what happens gets its number in the order in which it is told here."""

    def __init__(self, end: float = 1.0, **more: Any) -> None:
        self.data: dict[str, Any] = {
            "name": "",
            "outcome": "failed",
            "clock": "real",
            "end": end,
            "lanes": [],
            "links": [],
            **more,
        }
        self._numbers = count()

    def lane(self, kind: str, name: str, start: float, end: float | None, state: str, /, **more: Any) -> dict[str, Any]:
        """Add a lane."""
        lane = {
            "id": len(self.data["lanes"]),
            "kind": kind,
            "name": name,
            "parent": None,
            "start": start,
            "end": end,
            "first": next(self._numbers),
            "last": None,
            "state": state,
            "at": None,
            "facts": [],
            "events": [],
            **more,
        }
        self.data["lanes"].append(lane)
        return lane

    def event(self, lane: dict[str, Any], at: float, kind: str, label: str, /, **more: Any) -> int:
        """Add an event to a lane, and return its number."""
        number = next(self._numbers)
        lane["events"].append({"n": number, "at": at, "kind": kind, "label": label, **more})
        lane["last"] = number
        return number

    def stream(
        self,
        lane: dict[str, Any],
        times: Sequence[float],
        texts: Sequence[str],
        *,
        read: int | None = None,
        late: float = 0.0,
        kinds: Sequence[str] = (),
    ) -> None:
        """Give a lane chunks, of which so many were read, each so late."""
        number = len(texts) if read is None else read
        lane["chunks"] = {
            "arrived": [*times],
            "read": [time + late for time in times[:number]],
            "n": [next(self._numbers) for _ in texts],
            "text": [*texts],
            "frame": [*frames(texts)],
            **({"kind": [*kinds]} if kinds else {}),
        }
        lane["last"] = lane["chunks"]["n"][-1]


def frames(texts: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Return a frame for each text, as a trace writes them: each as what differs from the one before."""
    head, tail = 'data: {"choices":[{"delta":{"content":', "}}]}\n\n"
    for index, text in enumerate(texts):
        said = '"' + text.replace("\n", "\\n") + '"'
        yield (len(head), len(tail), said) if index else (0, 0, head + said + tail)


def trace(*attempts: dict[str, Any], **test: Any) -> Trace:
    """Return a trace of attempts."""
    return {
        "format": "pytest-mockstream trace",
        "version": 1,
        "package": "0.1.0",
        "test": {
            "id": "tests/test_bot.py::test_answer[en]",
            "file": "tests/test_bot.py",
            "line": 12,
            "function": "test_answer",
            "outcome": attempts[-1]["outcome"],
            "python": "3.13.1",
            "platform": "linux",
            "started": "2026-11-28T17:00:00.123456+00:00",
            **test,
        },
        "attempts": [*attempts],
        "sources": {"app/bot.py": [BOT]},
    }


def attempt(*runs: Run, outcome: str = "failed", **more: Any) -> dict[str, Any]:
    """Return an attempt of some runs."""
    return {"outcome": outcome, "duration": 0.34, "failures": [], "runs": [run.data for run in runs], **more}


LEAK_TEXT = """\
LeakError: test_answer[en] left 1 thing running (tasks 1 -> 2, threads 1 -> 1), still there after 0.20 s:
  task 'pump' waits at app/bot.py:23 in Bot.pump: await self.queue.put(chunk)
    created at app/bot.py:18 in Bot.start
    It is blocked on a full queue (maxsize 2): its consumer stopped reading. Cancel and await it when the consumer ends.
  To exempt what is meant to live on: @pytest.mark.assert_no_leaks(ignore=['pump'])"""
RERUN_TEXT = """\
    def test_answer() -> None:
>       assert answer == 'Paris is lovely.'
E       AssertionError: assert 'ParisParis is lovely.' == 'Paris is lovely.'

app/bot.py:27: AssertionError"""
ASSERTION_TEXT = """\
    async def answer(self) -> str:
>       assert first.delta == 'x'
E       AssertionError: assert 'Paris ' == 'x'
E
E         - x
E         + Paris

app/bot.py:27: AssertionError"""


def leak_run(clock: str = "real") -> Run:
    """Return a run in which a task is left that waits at a full queue."""
    run = Run(0.62, clock=clock)
    run.lane("fixture", "fixture mock_stream_client", 0, 0.004, "passed")
    call = run.lane("test", "call", 0.004, 0.31, "passed", at=place(12, "test_answer", "tests/test_bot.py"))
    task = run.lane(
        "task",
        "'pump'",
        0.012,
        None,
        "running",
        parent=call["id"],
        leaked=True,
        at=place(18, "Bot.start"),
        facts=[["coroutine", "Bot.pump"], ["waits at", "app/bot.py:23 in Bot.pump"]],
    )
    run.event(task, 0.012, "started", "started by Bot.start")
    request = run.lane(
        "request",
        "openai /v1/chat/completions (request 1)",
        0.02,
        None,
        "open",
        parent=task["id"],
        at=place(21, "Bot.pump"),
        facts=[["wire format", "openai chat"], ["model", "gpt-5"], ["chunks", "3 of 9 read, 2 for nobody"]],
        request={
            "method": "POST",
            "path": "/v1/chat/completions",
            "headers": {"content-type": "application/json", "authorization": "Bearer [redacted]"},
            "body": {
                "model": "gpt-5",
                "stream": True,
                "messages": [{"role": "user", "content": "Tell me about Paris"}],
            },
        },
        response={
            "status": 200,
            "headers": {"content-type": "text/event-stream"},
            "text": "Paris is lovely in spring, and full of light.",
        },
    )
    run.event(request, 0.02, "request", "POST /v1/chat/completions")
    run.event(request, 0.03, "answered", "200 text/event-stream")
    run.event(request, 0.03, "wait", "Wait(0.05)", until=0.08)
    run.stream(
        request, [0.08, 0.13, 0.18, 0.23, 0.28], ["Paris ", "is ", "lovely ", "in ", "spring, "], read=3, late=0.004
    )
    run.event(request, 0.232, "pause", "the reader did not read for 388 ms", until=0.62)
    run.event(task, 0.31, "phase", "the test's call ended")
    run.event(
        request,
        0.62,
        "leak",
        "stream of POST /v1/chat/completions is still open",
        text="5 of 9 chunks were made, 3 were read. Nobody closed it.",
        remedy="Read it in an async with, or close it.",
        place=place(21, "Bot.pump"),
    )
    run.event(
        task,
        0.62,
        "leak",
        "task 'pump' is still running",
        text="It is blocked on a full queue (maxsize 2): its consumer stopped reading.",
        remedy="Cancel and await it when the consumer ends.",
        place=place(18, "Bot.start"),
        waits_at=place(23, "Bot.pump"),
        lane=request["id"],
    )
    return run


def leak() -> Trace:
    """Return the trace of a leak."""
    return trace(attempt(leak_run(), failures=[{"phase": "teardown", "text": LEAK_TEXT}]))


def retry_run(outcome: str = "passed") -> Run:
    """Return a run in which a broken stream is tried again."""
    run = Run(2.4, outcome=outcome)
    call = run.lane("test", "call", 0, 2.4, outcome)
    first = run.lane(
        "request",
        "anthropic /v1/messages (request 1)",
        0.1,
        0.9,
        "broken",
        parent=call["id"],
        at=place(21, "Bot.pump"),
        facts=[["wire format", "anthropic"], ["model", "claude-sonnet-5"]],
    )
    run.event(first, 0.1, "request", "POST /v1/messages")
    run.stream(first, [0.3, 0.5, 0.7], ["Let me ", "think. ", "Paris"], kinds=["reasoning", "reasoning", "text"])
    run.event(first, 0.9, "fault", "Disconnect()")
    second = run.lane(
        "request",
        "anthropic /v1/messages (request 2)",
        1.4,
        2.3,
        "exhausted",
        parent=call["id"],
        at=place(21, "Bot.pump"),
    )
    run.event(second, 1.4, "retry", "tries request 1 again after 500 ms", lane=first["id"])
    run.event(second, 1.45, "gate", "Gate() held it", until=1.8)
    run.stream(second, [1.8, 1.9, 2.1, 2.3], ["Paris is ", "lovely", ".", ""], kinds=["text", "text", "text", "end"])
    run.event(second, 2.3, "end", "exhausted")
    run.data["links"].append({"kind": "retry", "from": second["id"], "to": first["id"]})
    if outcome == "failed":
        run.event(
            second,
            2.3,
            "finding",
            "repeats_delivered: 'Paris' was given out twice",
            text="The retry began again from the start, and what had been read before was kept.",
            remedy="Forget what the broken stream said, or ask for the rest only.",
        )
    return run


def reruns() -> Trace:
    """Return the trace of a test that failed, was run again and passed."""
    return trace(
        attempt(retry_run("failed"), outcome="rerun", failures=[{"phase": "call", "text": RERUN_TEXT}]),
        attempt(retry_run(), outcome="passed"),
        outcome="passed",
    )


def plain_failure() -> Trace:
    """Return the trace of a test that failed with an assertion, where no event says why."""
    run = retry_run()
    run.data["outcome"] = "failed"
    return trace(attempt(run, failures=[{"phase": "call", "text": ASSERTION_TEXT}]))


def sweep(number: int = 40, bad: Sequence[int] = (6, 7, 23)) -> Trace:
    """Return the trace of a sweep of faults."""
    runs = []
    for index in range(number):
        run = retry_run("failed" if index in bad else "passed")
        run.data |= {
            "name": f"chunk {index // 4 + 1}: {('Disconnect()', 'Truncate()', 'Stall()', 'HTTPError(503)')[index % 4]}",
            "alone": f"await sweep_faults(make, only={index})",
        }
        if index in bad:
            run.data["problem"] = "AssertionError: assert 'ParisParis is lovely.' == 'Paris is lovely.'"
        runs.append(run)
    said = {
        "kind": "faults",
        "text": f"{len(bad)} of {number} faults broke it:\n  chunk 2: Stall()",
        "at": place(19, "test_faults", "tests/test_bot.py"),
    }
    return trace(attempt(*runs, sweep=said, outcome="failed" if bad else "passed"))


HOSTILE = (
    "</script><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "<!--<script>",
    "-->",
    "]]>",
    "\u202egnp.exe\u202c",
    "\u2066\u2067isolates\u2069",
    "\ud800 alone \udfff",
    "a\u200bb\u00adc\ufeffd",
    "\u2028\u2029",
    "\x00\x1b[31m\x7f",
    "&lt;b&gt; &amp;amp; &#x202e;",
    "${alert(1)} `x` \\u003c",
    "'\"><svg onload=document.title='pwned'>",
    "👩‍👩‍👧 ❤️ 🇫🇷",
    "ﷺ" * 50,
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L" * 20,
)


def hostile() -> Trace:
    """Return a trace in which every text wants to be something else."""
    run = Run(1.0)
    for index, text in enumerate(HOSTILE):
        lane = run.lane(
            "request",
            text,
            0.01 * index,
            None,
            text[:50],
            at=place(17, text, text),
            leaked=True,
            facts=[[text, text], ["__proto__", text]],
            request={
                "method": text,
                "path": text,
                "headers": {text: text, "__proto__": text},
                "body": {"__proto__": {"polluted": text}, "constructor": text, text: [text]},
            },
            response={"status": 200, "headers": {"toString": text}, "text": text},
        )
        run.stream(lane, [0.1, 0.2, 0.3], [text, text, text], read=2, kinds=["text", text, "constructor"])
        run.event(
            lane,
            0.9,
            "leak",
            text,
            text=text,
            remedy=text,
            place=place(17, text, "__proto__"),
            waits_at=place(17, text),
        )
        run.event(lane, 0.5, "__proto__", text, lane="constructor")
        run.event(lane, 0.6, text, text, until=0.7)
    long = "w" * 1_000_000
    lane = run.lane("request", long, 0, None, "open", facts=[[long[:5], long]])
    run.stream(lane, [0.1, 0.2], ["a ", long])
    run.event(lane, 0.9, "error", long, text=long)
    made = trace(
        attempt(run, failures=[{"phase": text, "text": text} for text in HOSTILE]),
        id="".join(HOSTILE),
        file=HOSTILE[0],
        function="__proto__",
    )
    made["sources"] |= {
        "__proto__": {"first": 15, "lines": [*HOSTILE]},
        HOSTILE[0]: [{"first": 15, "lines": [*HOSTILE]}],
    }
    return made


def large(lanes: int = 200, chunks: int = 50) -> Trace:
    """Return a trace of many streams."""
    run = Run(60.0, clock="virtual")
    call = run.lane("test", "call", 0, 60, "passed")
    for index in range(lanes):
        start = index * 0.2
        lane = run.lane(
            "request",
            f"openai /v1/chat/completions (request {index + 1})",
            start,
            start + 18,
            "exhausted",
            parent=call["id"],
            at=place(21, "Bot.pump"),
            facts=[["wire format", "openai chat"], ["model", "gpt-5"]],
        )
        run.event(lane, start, "request", "POST /v1/chat/completions")
        run.stream(
            lane, [start + 0.35 * (i + 1) for i in range(chunks)], [f"word{i} " for i in range(chunks)], late=0.01
        )
        run.event(lane, start + 18, "end", "exhausted")
    leaked = run.lane("task", "'pump'", 1, None, "running", leaked=True, at=place(18, "Bot.start"))
    run.event(
        leaked,
        60,
        "leak",
        "task 'pump' is still running",
        text="It sleeps.",
        remedy="Cancel and await it.",
        waits_at=place(23, "Bot.pump"),
    )
    return trace(attempt(run, failures=[{"phase": "teardown", "text": LEAK_TEXT}]))
