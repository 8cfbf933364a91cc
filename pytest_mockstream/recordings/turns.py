"""Finds which parts of a reply came by turns, and where one ``Interleave`` cannot say them all.

Parts are told by their places; ``turns`` has the place of the part of each chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def end_of_turns(begin: int, count: int, first_of: Mapping[int, int], last_of: Mapping[int, int]) -> int:
    """Return the place behind all parts whose chunks come among those of others, from one part on.

    Args:
        begin: the place of that part.
        count: how many parts there are.
        first_of: the number of the first chunk of each part that has any.
        last_of: the number of the last one.
    """
    end, last = begin + 1, last_of.get(begin, -1)
    while end < count and first_of.get(end, last + 1) < last:
        last = max(last, last_of[end])
        end += 1
    return end


def cut_apart(turns: Sequence[int], kinds: Mapping[int, str]) -> Iterator[Sequence[int]]:
    """Cut turns where two blocks of one kind come, as an ``Interleave`` has one part of each kind.

    They can be cut between two neighbouring chunks of a block of prose while no other part goes on: the next step goes
    on with the block. Two blocks between which there is no such place stay uncut.

    Args:
        turns: the place of the part of each chunk.
        kinds: the kinds of those parts that are blocks of prose.
    """
    last = {place: number for number, place in enumerate(turns)}
    begin = cut = 0
    going_on: set[int] = set()
    seen: dict[str, int] = {}  # the last block of each kind since the last cut
    for number, place in enumerate(turns):
        kind = kinds.get(place)
        if kind is not None:
            if going_on == {place} and turns[number - 1] == place:
                cut = number
            other = seen.get(kind, place)
            if other not in {place, turns[cut]} and cut > begin:
                yield turns[begin:cut]
                begin = cut
                seen = {kinds[one]: one for one in turns[cut:number] if one in kinds}
            seen[kind] = place
        (going_on.add if number < last[place] else going_on.discard)(place)
    yield turns[begin:]


def by_turns(lengths: Sequence[int]) -> list[int]:
    """Return the order of chunks that come by turns: the first of each part, the second of each, and so on."""
    return [part for turn in range(max(lengths)) for part, length in enumerate(lengths) if turn < length]
