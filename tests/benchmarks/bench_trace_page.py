"""How fast the page of a trace of 200 streams with 10,000 chunks is written, shown, and answers, in a real browser.

Run it by hand: ``PYTHONPATH=tests python tests/benchmarks/bench_trace_page.py`` in an environment with the extra
``browser``, and Chromium on the PATH. It prints medians of a few rounds; nothing here is a test.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages.conftest import FLAGS, chromium, until
from pages.traces import large
from playwright.sync_api import sync_playwright

from pytest_mockstream.pages import page, write

ROUNDS = 5
ACTS = {
    "click on a lane": "document.querySelectorAll('.lane-label')[20].click()",
    "click on another": "document.querySelectorAll('.lane-label')[40].click()",
    "order of events": "document.querySelector('[data-value=order]').click()",
    "zoom in": "dispatchEvent(new KeyboardEvent('keydown', { key: '+' }))",
    "cursor, one step": "document.querySelector('.handle')"
    ".dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }))",
    "find lanes": "const box = document.querySelector('.search'); box.value = 'word49';"
    " box.dispatchEvent(new Event('input'))",
}


def milliseconds(run: Callable[[], object]) -> float:
    """Return how long a run takes."""
    before = time.perf_counter()
    run()
    return (time.perf_counter() - before) * 1000


def show(name: str, values: list[float], limit: str, computed: list[float] | None = None) -> None:
    """Print the median of some milliseconds, the greatest, and the median of what the page's thread computed of it."""
    thread = f"computed {statistics.median(computed):4.0f} ms" if computed else ""
    median, most = statistics.median(values), max(values)
    print(f"{name:<24} {median:6.0f} ms   most {most:6.0f} ms   {thread:<16}   (limit {limit})")


class Computed:
    """Counts what the thread of a page computes, which other processes do not make more."""

    def __init__(self, tab: Any) -> None:
        self._session = tab.context.new_cdp_session(tab)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._before = 0.0

    def since(self) -> float:
        """Return the milliseconds since it was asked last."""
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        now = next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration") * 1000
        before, self._before = self._before, now
        return now - before


def until_painted(tab: Any, act: str) -> float:
    """Do something, and return the milliseconds until the frame that shows it is painted."""
    return float(
        tab.evaluate(
            f"""() => new Promise((done) => {{
                const began = performance.now();
                {act};
                requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
            }})"""
        )
    )


def opened(browser: Any, path: Path) -> dict[str, tuple[float, float]]:
    """Open the page anew, and return how long it and what one does with it take, and how much of it is computing."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    computed = Computed(tab)
    tab.goto(path.as_uri())
    until(tab, "performance.getEntriesByName('first-contentful-paint').length")
    first = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    found = {"first contentful paint": (first, computed.since())}
    for name, act in ACTS.items():
        found[name] = until_painted(tab, act), computed.since()
    context.close()
    return found


def main() -> None:
    """Print every figure."""
    trace = large()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "trace.html")
        show(
            "written",
            [milliseconds(lambda: write(path, page("trace", trace, title="t"))) for _ in range(ROUNDS)],
            "1 s",
        )
        print(f"{'size':<24} {path.stat().st_size / 2**20:6.2f} MiB   (limit 3 MiB)")
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        rounds = [opened(browser, path) for _ in range(ROUNDS)]
        browser.close()
    for name in rounds[0]:
        times, computed = (list(column) for column in zip(*(found[name] for found in rounds), strict=True))
        show(name, times, "1 s" if "paint" in name else "100 ms", computed)


if __name__ == "__main__":
    main()
