"""The producer of a stream: puts what a schedule plays into the channel, each unit at its own instant.

It works out instants and waits for nothing itself; it starts no task and no thread.

Theory of operation: ``produce`` is the producer, written once as a generator. It yields whenever it has to wait: the
instant until which, or ``inf`` for "until something happens". Instants are worked out, not measured. With ``size`` the
size of the buffer, unit i arrives at

    due[i] = max(due[i - 1] + waits[i], reads[i - size])

where ``waits[i]`` is what the schedule waits between the units i - 1 and i, and ``reads[j]`` is when unit j was read: a
producer first sleeps, then waits for room. So whoever resumes the generator, and however late, the units and their
instants are the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TypeAlias, TypeVar

from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.steps import FAULTS, Frame, KeepAlive, Played, Stall, Wait

from .channel import Channel, End, Ending

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")

Producer: TypeAlias = Generator[float, None, None]
_MARKS = frozenset((Wait, Gate, KeepAlive, Frame, *FAULTS))  # the steps that are no units


def produce(channel: Channel[T], schedule: Iterator[Played[T]]) -> Producer:
    """Play a schedule into a channel; yield the instant until which there is nothing to do, ``inf`` for none such."""
    channel.finish((yield from _play(channel, schedule)))


def _play(channel: Channel[T], schedule: Iterator[Played[T]]) -> Generator[float, None, Ending]:
    due = 0.0
    now = 0.0  # by the last look at the clock, which takes too long to look at it for each unit
    buffer = channel.buffer
    for step in schedule:
        is_mark = type(step) in _MARKS
        # A stall of so many seconds is a wait; one without an end is a fault, below.
        if is_mark and (isinstance(step, Wait) or (isinstance(step, Stall) and step.seconds is not None)):
            if isinstance(step, Stall):
                channel.tell("stall", channel.produced)
            due += step.seconds or 0.0
            continue
        if due > now:
            now = channel.present()
        while due > now:
            if channel.is_over():
                return channel.ending_when_stopped()
            yield min(due, channel.limit)
            now = channel.present()
        if not is_mark:
            while len(buffer) >= channel.size:
                if channel.is_over():
                    return channel.ending_when_stopped()
                yield channel.limit
            if channel.produced >= channel.size:
                due = max(due, channel.reads.popleft())
            if due > channel.limit:
                return channel.ending_when_stopped()
            buffer.append((due, step))  # type: ignore[arg-type] # what is no mark is a unit
            channel.produced += 1
            if channel.is_background:
                channel.reader_wakeup.notify()
        elif isinstance(step, Gate):
            step.hold(channel)  # a script that came late has gates that nobody knew
            channel.hold_at(step)
            while not step.is_open:
                if channel.is_over():
                    return channel.ending_when_stopped()
                yield channel.limit
            channel.hold_at(None)
            due = max(due, channel.opened_at(step))
        elif isinstance(step, Stall):
            channel.tell("stall", channel.produced)
            while not channel.is_over():
                yield channel.limit
            return channel.ending_when_stopped()
        elif not isinstance(step, KeepAlive | Frame):
            return step  # type: ignore[return-value] # what is left is a fault
    return End.WHOLE
