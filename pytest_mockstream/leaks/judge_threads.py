"""Decides about threads, and about the jobs of pools. No thread is ever ended.

Theory of operation: new threads are found from the records of ``threading``, from the number of threads and from the
births that were noted. Stacks are only looked at for suspects, so a test that leaves nothing takes no frames.
"""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from pytest_mockstream._base.callsite import is_library
from pytest_mockstream._base.collector import collect

from . import internals, interpreter
from .births import BIRTHS, Birth, Job, birth_of
from .blame import blame
from .lasting import let_go, of_thread, spare
from .owner import IMPORT, OWNER, PLUGIN, SINGLETON, Owner
from .rules import THREAD_RULES, SeenThread, exception_for
from .scope import Scope, no_thread_came
from .settle import Deadline, settle_threads, watch
from .stacks import Snapshot, codes_of
from .suspects import queued_job_leak, raw_thread_leak, thread_leak
from .values import Leak

_AFTER_COLLECTION = 0.02
_BEGINNING = 0.02
_NOBODYS = {IMPORT, PLUGIN}
_EXITING = 0.005  # after a thread was joined, the operating system has it for some microseconds more


class _SuspectedJob(NamedTuple):
    job: Job
    future: Future[Any]
    label: str


class _SuspectedThread(NamedTuple):
    seen: SeenThread
    label: str


class _SuspectedRawThread(NamedTuple):
    ident: int
    birth: Birth | None
    label: str


# Jobs of pools: a worker that has none does no harm, and which one has which can be told from its frames only.


def pending_jobs(mark: int) -> list[tuple[Job, Future[Any]]]:
    """Return the jobs given to pools after a mark that are not done."""
    if not BIRTHS.jobs:
        return []
    jobs = [(job, job.future()) for job in list(BIRTHS.jobs.values()) if job.birth.serial > mark]
    return [(job, future) for job, future in jobs if future is not None and not future.done()]


def judge_jobs(scope: Scope, jobs: list[tuple[Job, Future[Any]]], deadline: Deadline) -> None:
    """Wait for jobs of the scope, and convict those that are not done then."""
    found = _blamed_jobs(scope, jobs)
    if not found:
        return
    concurrent.futures.wait([suspect.future for suspect in found], timeout=deadline.left)
    left = [suspect for suspect in found if not suspect.future.done()]
    snapshot = Snapshot()
    for suspect in left:
        scope.leaks.append(leak := _job_leak(suspect, snapshot))
        suspect.job.birth.report(fails=scope.policy.fails(leak))
        if (worker := _worker_at(suspect.job, suspect.future, snapshot)) is not None and (birth := birth_of(worker)):
            birth.report(fails=scope.policy.fails(leak))


def _blamed_jobs(scope: Scope, jobs: list[tuple[Job, Future[Any]]]) -> list[_SuspectedJob]:
    blamed = [
        _SuspectedJob(job, future, label)
        for job, future in jobs
        if not job.birth.reported and (label := blame(scope, job.birth.owner, job.birth.serial))
    ]
    snapshot = Snapshot()
    return [suspect for suspect in blamed if not scope.policy.ignored(_job_leak(suspect, snapshot))]


def _job_leak(suspect: _SuspectedJob, snapshot: Snapshot) -> Leak:
    job = suspect.job
    if (worker := _worker_at(job, suspect.future, snapshot)) is not None:
        return thread_leak(SeenThread(worker, snapshot, job.birth), suspect.label)
    return queued_job_leak(job.birth, suspect.label)


def _worker_at(job: Job, future: Future[Any], snapshot: Snapshot) -> threading.Thread | None:
    """Return the thread that is at work on a job, None where it is queued.

    A worker whose frames nobody sees, for gevent has made a greenlet of it, would have taken it from the queue.
    """
    pool = job.pool()
    seen = [] if pool is None else [(worker, snapshot.frame(worker)) for worker in internals.workers(pool)]
    at_work = (worker for worker, frame in seen if internals.runs_job(frame, future))
    return next(at_work, next((worker for worker, frame in seen if frame is None), None))


def _is_of_foreign_pool(scope: Scope, job: Job) -> bool:
    """Tell whether the workers of a job's pool are not among the suspects themselves."""
    pool = job.pool()
    birth = None if pool is None else birth_of(pool)
    if pool is None or birth is None:
        return pool is not None
    return birth.serial < scope.mark or blame(scope, birth.owner, birth.serial) is None


# Threads.


def let_threads_end(scope: Scope, deadline: Deadline) -> bool:
    """Wait for the threads and the jobs of a scope; return whether some have ended, which may have started others."""
    if no_thread_came(scope):
        return False
    threads = [found.thread for found, _ in thread_suspects(scope)]
    raw = [suspect for suspect in _raw_births(scope) if suspect.ident not in {thread.ident for thread in threads}]
    jobs = [job.future for job in _blamed_jobs(scope, pending_jobs(scope.mark))]
    workers = [thread for thread in threads if weakref.ref(thread) in BIRTHS.workers]
    others = [thread for thread in threads if thread not in workers]
    concurrent.futures.wait(jobs, timeout=deadline.left)
    watch(lambda: all(map(_is_at_rest, workers)), deadline)  # right after a result was set, a worker looks busy
    settle_threads(others, deadline)
    watch(lambda: not _alive(raw), deadline)
    return (
        any(future.done() for future in jobs)
        or any(_is_at_rest(thread) for thread in threads)
        or len(_alive(raw)) < len(raw)
    )


def judge_threads(scope: Scope, deadline: Deadline) -> None:
    """Wait for the threads of a scope, and convict those that do not end."""
    if no_thread_came(scope):
        return
    judge_jobs(scope, [job for job in pending_jobs(scope.mark) if _is_of_foreign_pool(scope, job[0])], deadline)
    _await_begun(deadline)
    _note_lasting(scope)
    suspects = thread_suspects(scope)
    raw = _raw_suspects(scope)
    if not suspects and not raw:
        return
    workers = [found.thread for found, _ in suspects if weakref.ref(found.thread) in BIRTHS.workers]
    watch(lambda: all(map(_is_at_rest, workers)), deadline)  # right after a result was set, a worker looks busy
    settle_threads([found.thread for found, _ in suspects if found.thread not in workers], deadline)
    watch(lambda: not _alive(raw), deadline)
    if any(found.thread.is_alive() for found, _ in suspects):
        collect()  # a pool that only a cycle keeps alive ends its workers now
        settle_threads([found.thread for found, _ in suspects], Deadline(_AFTER_COLLECTION))
    left = thread_suspects(scope)
    raw = _alive(raw)
    _convict_threads(scope, left)
    _convict_raw_threads(scope, raw)


def _await_begun(deadline: Deadline) -> None:
    """Wait until older workers have begun what they were just given: only then do their frames show who gave it."""
    if busy := internals.busy_workers(BIRTHS.workers):
        watch(lambda: not any(map(internals.has_job_to_begin, busy)), deadline)
        watch(lambda: all(map(_shows_its_job, busy)), Deadline(_BEGINNING))


def _shows_its_job(worker: threading.Thread) -> bool:
    is_idle = internals.is_kept_idle(worker) or not worker.is_alive()
    return is_idle or internals.context_of_job(Snapshot().frame(worker)) is not None


def _is_at_rest(worker: threading.Thread) -> bool:
    return not worker.is_alive() or exception_for(THREAD_RULES, _seen(worker, Snapshot())) is not None


def _seen(thread: threading.Thread, snapshot: Snapshot) -> SeenThread:
    return SeenThread(thread, snapshot, birth_of(thread))


def _convict_threads(scope: Scope, convicts: list[_SuspectedThread]) -> None:
    jobs = pending_jobs(0) if convicts else []
    snapshot = Snapshot()
    for found, label in convicts:
        leak = spare(scope, of_thread(found.thread, found.birth, found.stops), thread_leak(found, label))
        if leak is None:
            continue
        scope.leaks.append(leak)
        if found.birth is not None:
            found.birth.report(fails=scope.policy.fails(leak))
            if found.birth.owner is not None and found.birth.owner.over:  # of an earlier test, whose leak it is, too
                let_go(found.birth.owner)
        for job, future in jobs:  # a worker is reported with the job that keeps it
            if internals.runs_job(snapshot.frame(found.thread), future):
                job.birth.report(fails=scope.policy.fails(leak))


def thread_suspects(scope: Scope) -> list[_SuspectedThread]:
    """Return the threads that the scope would be blamed for."""
    suspects = []
    for found in _unreported(scope):
        if found.birth is not None and found.birth.owner in _NOBODYS:
            continue
        label = blame(scope, _owner_of(found), found.birth.serial) if found.birth else blame(scope, None)
        if label is None or exception_for(THREAD_RULES, found) is not None:
            continue
        if scope.policy.ignored(thread_leak(found, label)):
            let_go(found.birth.owner if found.birth else None)
        else:
            suspects.append(_SuspectedThread(found, label))
    return suspects


def _unreported(scope: Scope) -> Iterator[SeenThread]:
    """Yield the threads that came in this scope's time, or got work in it, and are in no report yet."""
    snapshot, busy = Snapshot(), internals.busy_workers(BIRTHS.workers)
    for thread in live_threads():
        found = _found(scope, thread, snapshot) or (_at_new_job(thread, snapshot) if thread in busy else None)
        if found is not None and (found.birth is None or not found.birth.reported):
            yield found


def _note_lasting(scope: Scope) -> None:
    """Note the threads of imports and plugins, once no worker among them is at a job that somebody is blamed for."""
    for found in _unreported(scope):
        if found.birth is not None and found.birth.owner in _NOBODYS:
            scope.lasting.append(thread_leak(found, found.birth.owner.label))
            found.birth.report(fails=False)


def _owner_of(found: SeenThread) -> Owner | None:
    """Return who is to blame for a thread; nobody knows that where a thread that a library keeps ran the user's code.

    Whoever gave it that job, the thread that came of it is no part of the library.
    """
    birth = found.birth
    if birth is None or birth.owner is not SINGLETON or interpreter.pool_of(found.thread) is not None:
        return None if birth is None else birth.owner
    is_users = any(not is_library(code.co_filename) for code in codes_of(birth.frames))
    return None if is_users else birth.owner


def live_threads() -> list[threading.Thread]:
    """Return all threads but the current one and those that only look like one."""
    current = threading.current_thread()
    return [
        thread
        for thread in threading.enumerate()
        if thread is not current and not isinstance(thread, threading._DummyThread)
    ]


def _found(scope: Scope, thread: threading.Thread, snapshot: Snapshot) -> SeenThread | None:
    """Return a thread that came in this scope's time."""
    birth = birth_of(thread)
    came = birth.serial > scope.mark if birth else thread.ident not in scope.idents
    return _seen(thread, snapshot) if came else None


def _at_new_job(thread: threading.Thread, snapshot: Snapshot) -> SeenThread | None:
    """Return an older worker of anyio or trio that is at work, as far as its frames show for whom."""
    context = internals.context_of_job(snapshot.frame(thread))
    owner = context.get(OWNER) if context is not None else None
    return None if owner is None else SeenThread(thread, snapshot, Birth(owner, (), BIRTHS.mark()))


def convicted_threads() -> list[threading.Thread]:
    """Return the threads that are alive, have failed a test, and would keep the process from exiting."""
    births = ((thread, birth_of(thread)) for thread in live_threads() if not thread.daemon)
    failed = [thread for thread, birth in births if birth is not None and birth.reported and birth.failed]
    return [thread for thread in failed if not _ends_at_exit(thread)]


def _ends_at_exit(thread: threading.Thread) -> bool:
    """Tell whether Python itself ends a thread as it exits, as it does with the idle workers of its pools."""
    pool = interpreter.pool_of(thread)
    return pool is not None and internals.is_idle(pool)


# Threads that have no object.


def _raw_births(scope: Scope) -> list[_SuspectedRawThread]:
    """Return the threads without objects whose births were seen, and that the scope would be blamed for."""
    return _blamed_raw_threads(scope, _raw_since(scope.mark))


def _raw_since(mark: int) -> list[tuple[int, Birth | None]]:
    return [
        (ident, birth)
        for ident, birth in BIRTHS.raw.copy().items()
        if birth.serial > mark and not birth.reported and ident != threading.get_ident()
    ]


def _raw_suspects(scope: Scope) -> list[_SuspectedRawThread]:
    found = _raw_since(scope.mark)
    if _may_be_unrecorded(scope):
        found += [(ident, None) for ident in _unrecorded()]
    return _blamed_raw_threads(scope, found)


def _blamed_raw_threads(scope: Scope, found: list[tuple[int, Birth | None]]) -> list[_SuspectedRawThread]:
    return [
        _SuspectedRawThread(ident, birth, label)
        for ident, birth in found
        if (label := blame(scope, birth.owner, birth.serial) if birth else blame(scope, None)) is not None
    ]


def _may_be_unrecorded(scope: Scope) -> bool:
    """Tell whether there are more threads than the records account for: started behind their back, or by no Python."""
    ended = len(scope.idents.difference(interpreter.ACTIVE))
    came = sum(thread.ident not in scope.idents for thread in live_threads())
    raw = len(BIRTHS.raw) - scope.raw
    if interpreter.count_started() > scope.alive - ended + came + raw:
        return True
    watch(lambda: BIRTHS.count_foreign() <= BIRTHS.foreign, Deadline(_EXITING))
    before, BIRTHS.foreign = BIRTHS.foreign, BIRTHS.count_foreign()
    return BIRTHS.foreign > before


def know_unrecorded() -> None:
    """Take note of the threads that nobody saw coming, and that are there before anybody is judged."""
    BIRTHS.foreign = interpreter.count_foreign()
    _unrecorded()


def _unrecorded() -> set[int]:
    """Return the threads that run Python, that no record has, and that nobody has come across before."""
    objects = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
    found = interpreter.frames().keys() - objects - BIRTHS.raw.keys() - {threading.get_ident()}
    new = found - BIRTHS.unrecorded
    BIRTHS.unrecorded = found
    return new


def _alive(raw: list[_SuspectedRawThread]) -> list[_SuspectedRawThread]:
    if not raw:
        return []
    alive = {*Snapshot(), *BIRTHS.raw}
    return [suspect for suspect in raw if suspect.ident in alive]


def _convict_raw_threads(scope: Scope, convicts: list[_SuspectedRawThread]) -> None:
    snapshot = Snapshot()
    for ident, birth, label in convicts:
        leak = raw_thread_leak(ident, snapshot.stops(ident), birth, label)
        if scope.policy.ignored(leak):
            let_go(birth.owner if birth else None)
        else:
            scope.leaks.append(leak)
        if birth is not None:
            birth.report(fails=scope.policy.fails(leak))
