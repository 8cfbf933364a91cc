"""A server that lives in threads.

Starts nothing before it is made.
"""

from __future__ import annotations

import queue
import threading


class Server:
    """Answers each question in a thread of its own, which stays until the server stops."""

    def __init__(self) -> None:
        self._questions: queue.Queue[queue.Queue[int] | None] = queue.Queue()
        self._over = threading.Event()
        self._handlers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def ask(self) -> int:
        answers: queue.Queue[int] = queue.Queue()
        self._questions.put(answers)
        return answers.get()

    def stop(self) -> None:
        self._questions.put(None)
        self._over.set()
        for thread in [self._thread, *self._handlers]:
            thread.join()

    def _serve(self) -> None:
        while (answers := self._questions.get()) is not None:
            handler = threading.Thread(target=self._handle, args=(answers,))
            handler.start()
            self._handlers.append(handler)

    def _handle(self, answers: queue.Queue[int]) -> None:
        answers.put(42)
        self._over.wait()
