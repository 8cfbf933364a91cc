// The page of a trace: what happened while a test ran, beginning at what broke.
import { announce, badge, button, choice, count, div, download, duration, el, fill, pageData, put, set, shortcuts, span, themeSwitch } from "./common.js";
import { aloneView, Detail, fold, longText, onPaper, placeText, placeView, whatBroke } from "./trace_detail.js";
import { checked, manner, readTrace, Run, titleOf } from "./trace_model.js";
import { legend, Timeline, toolbar } from "./trace_timeline.js";

const wide = matchMedia("(min-width: 1000px)");

/** The place that a line of a failure names. */
function placeIn(text) {
  const found = /^(\S+?):(\d+): /.exec(text);
  return found && { file: found[1], line: Number(found[2]) };
}

const MOST_BAD = 20; // runs that are listed; the strip has them all
const BESIDES = "what the test did besides"; // a run without a name, of a sweep

/** One attempt of one trace: what broke, its runs, and the lanes of the chosen one. */
class Pane {
  constructor(trace, attempt, { changed, close = null, label }) {
    this.trace = trace;
    this.changed = changed;
    this.order = null; // as the clock of the run suggests, until one chooses
    this.detail = new Detail({ go: (lane, item) => this.line.pick(lane, item) });
    set(this.detail.element, "onkeydown", event => {
      if (event.key !== "Escape") return;
      this.line.rows.get(this.line.lane)?.label.focus();
    });
    this.inline = el("li", "lane-detail");
    this.element = el("section", { class: "pane", "aria-label": label });
    this.close = close;
    this.label = label;
    this.#showAttempt(attempt);
  }

  #showAttempt(index, run) {
    this.attempt = index;
    this.raw = this.trace.attempts[index];
    this.bad = [...this.raw.runs.keys()].filter(i => this.raw.runs[i].outcome === "failed");
    this.heading = div("row pane-head");
    this.broken = div("card broke");
    this.strip = div("card strip");
    this.view = div("view");
    this.#head();
    this.failures = div("stack");
    fill(this.element, this.heading, this.broken, this.failures, this.raw.sweep && this.strip, this.view);
    if (this.raw.sweep) this.#sweep();
    this.showRun(this.raw.runs[run] ? run : this.bad[0] ?? 0);
  }

  /** Show what a link names; what it does not name is what the page would begin with. */
  showLinked({ attempt, run, lane, event }) {
    this.#showAttempt(this.trace.attempts[attempt - 1] ? attempt - 1 : this.attempt, run - 1);
    const found = this.run.lanes.find(one => String(one.id) === lane);
    const item = found?.items(true).find(one => String(one.n) === event);
    if (found) this.line.pick(found, item);
  }

  #head() {
    const { attempts } = this.trace;
    const options = attempts.map((attempt, i) => [String(i), `Attempt ${i + 1}: ${attempt.outcome}`]);
    fill(this.heading,
      this.close && el("h2", "", this.label),
      choice("Attempt", options, String(this.attempt), value => {
        this.#showAttempt(Number(value));
        this.heading.querySelector('[aria-pressed="true"]').focus();
      }),
      span("muted", "took " + duration(this.raw.duration)),
      this.close && button("Close", this.close, { class: "button no-print" }));
    this.heading.hidden = !this.close && attempts.length < 2;
  }

  #failures() {
    const failures = this.raw.failures ?? [];
    if (!failures[0]) return [];
    return [el("details", { class: "card fold failure", open: !this.raw.sweep && !this.run.troubles.length },
      el("summary", "", failures[1] ? `${failures.length} failures, as pytest shows them` : `The failure in ${failures[0].phase}, as pytest shows it`),
      failures.map(({ phase, text }) =>
        longText(text, { tabindex: 0, class: "text report", "aria-label": "Failure in " + phase })))];
  }

  /** Show a run of the attempt. */
  showRun(index) {
    this.index = index;
    const raw = this.raw.runs[index];
    this.line?.close();
    this.run = new Run(raw ?? {}, this.trace.sources ?? {});
    const order = this.order ?? this.run.end === 0;
    this.line = new Timeline(this.run, {
      order,
      choose: (lane, item, enter) => this.#chosen(lane, item, enter),
      moved: () => this.detail.moved(),
    });
    this.axis = choice("Axis", [["time", raw?.clock === "virtual" ? "Virtual time" : "Time"], ["order", "Order of events"]],
      order ? "order" : "time", value => {
        this.order = value === "order";
        this.line.setOrder(this.order);
        this.detail.show(this.line, this.line.lane, this.line.item);
      });
    this.slot = el("aside", { class: "slot", "aria-label": "Details of what is chosen" });
    const kinds = [...new Set(this.run.lanes.flatMap(lane => lane.events.map(item => item.kind)))];
    this.paper = div("papers");
    fill(this.view, div("body",
      toolbar(this.line, this.axis),
      raw?.omitted ? el("p", "warn", `${count(raw.omitted, "event")} left out: there were too many.`) : null,
      this.line.element, legend(kinds), this.paper), this.slot);
    this.#markCell();
    this.#broke();
    fill(this.failures, this.#failures());
    const [lane, item] = this.run.start;
    this.line.show(lane, item);
    this.detail.show(this.line, lane, item);
    this.place();
    this.line.reveal();
    this.changed(this);
  }

  #chosen(lane, item, enter) {
    this.detail.show(this.line, lane, item);
    this.place();
    this.line.rows.get(lane).scrollIntoView({ block: "nearest" });
    if (enter) this.detail.element.focus();
    this.changed(this);
  }

  /** Put the details beside the lanes where there is room, and below the chosen lane where there is none. */
  place() {
    const beside = wide.matches && !document.body.classList.contains("two");
    this.view.classList.toggle("beside", beside);
    this.slot.hidden = !beside;
    const row = this.line.rows.get(this.line.lane);
    if (beside || !row) {
      this.inline.remove();
      this.slot.append(this.detail.element);
    } else {
      this.inline.append(this.detail.element);
      if (row.nextSibling !== this.inline) row.after(this.inline);
    }
    this.line.refresh();
  }

  /** Go to the next thing that went wrong, or to the first again. */
  nextTrouble() {
    const { troubles } = this.run;
    if (!troubles.length) return announce("Nothing went wrong here");
    const item = troubles[(troubles.indexOf(this.line.item) + 1) % troubles.length];
    this.line.pick(item.lane, item);
    announce(`${item.lane.raw.name}: ${titleOf(item)}`);
  }

  // What broke.

  #broke() {
    const raw = this.raw.runs[this.index];
    const [first, ...others] = this.run.troubles;
    const outcome = this.raw.sweep ? raw?.outcome : this.raw.outcome;
    const parts = [];
    if (this.raw.sweep && raw) parts.push(...this.#ofRun(raw));
    if (first && !first.ofPhase) parts.push(whatBroke(first, this.#others(others)));
    else if (!this.raw.sweep && this.raw.failures?.[0]) {
      parts.push(this.#errorOf(first), this.#others(others));
    }
    this.broken.hidden = !parts.length;
    this.broken.className = `card broke ${outcome === "failed" || first ? "is-bad" : outcome === "passed" ? "is-good" : ""}`;
    fill(this.broken, parts);
  }

  #ofRun(raw) {
    return [div("stack tight",
      div("row", badge(manner(raw.outcome), raw.outcome), el("h2", "", `Run ${this.index + 1} of ${this.raw.runs.length}: ${raw.name || BESIDES}`)),
      raw.problem ? longText(raw.problem, { class: "text report" }) : null,
      placeView(this.run, "at", raw.at, 2),
      aloneView(raw.alone))];
  }

  #others(items) {
    if (!items.length) return null;
    return div("row no-print", span("muted", count(items.length, "other problem") + ":"),
      items.slice(0, 8).map(item => button(item.event.label || item.kind, () => this.line.pick(item.lane, item), { class: "button also" })));
  }

  /** What a failure that no event tells of says itself, and the last place in it of which there is the source. */
  #errorOf(first) {
    const { failures } = this.raw;
    const { text, phase } = failures.find(failure => failure.phase === first?.lane.raw.name) ?? failures.at(-1);
    const lines = text.split("\n");
    const said = (text.match(/(^E\s.*\n?)+/gm)?.at(-1) ?? "").trim().split("\n").map(line => line.replace(/^E\s*/, ""));
    const place = first?.event.place ?? lines.map(placeIn).findLast(one => this.run.source(one));
    return div("stack",
      div("row", badge("bad", "failed in " + phase), el("h2", "grow", said[0] || lines.findLast(line => line.trim()))),
      said.length > 1 ? longText(said.slice(1).join("\n").trim(), { class: "text report" }) : null,
      placeView(this.run, "at", place, 2));
  }

  // The runs of a sweep.

  #sweep() {
    const { bad, raw: { sweep, runs: list } } = this;
    const points = list.map(run => run.alone).filter(Boolean); // other runs are the first, the last, and the test itself
    const what = { __proto__: null, cancel: "cancellation", faults: "faults", orders: "orders", threads: "threads" }[sweep.kind] ?? sweep.kind;
    this.cells = list.map((run, i) => {
      const failed = run.outcome === "failed";
      const label = `${i + 1}: ${run.name || BESIDES}, ${run.outcome}`;
      return button(failed ? "✕" : run.alone ? "·" : "○", () => this.showRun(i), {
        class: "cell " + (failed ? "is-bad" : "is-good"), role: "option", tabindex: -1, title: label + (run.problem ? ": " + run.problem.split("\n")[0] : ""), "aria-label": label,
      });
    });
    const box = div({ class: "cells", role: "listbox", "aria-label": "Runs" }, this.cells);
    set(box, "onkeydown", event => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -list.length, End: list.length }[event.key];
      if (!by) return;
      event.preventDefault();
      this.stepRun(by);
      this.cells[this.index].focus();
    });
    fill(this.strip,
      div("row",
        el("h2", "", `Sweep of ${what}`),
        badge(bad.length ? "bad" : "good", bad.length ? `${bad.length} of ${list.length} runs failed` : `all ${list.length} runs passed`),
        sweep.at ? span("muted mono small", placeText(sweep.at)) : null),
      el("p", "muted small",
        `A cell is a run, · passed or ✕ failed: ${count(points.length, "run")} for ${count(new Set(points).size, sweep.kind === "orders" ? "order" : "point")}`,
        points.length < list.length && `, and ${list.length - points.length} without one (○), to which nothing was done`),
      box,
      (bad.length > 0 || sweep.text) && fold(bad.length ? "Which runs failed, and why" : "The sweep's report", false,
        el("ol", "events", bad.slice(0, MOST_BAD).map(i => el("li", "",
          button(this.cells[i].title, () => this.showRun(i), { class: "event" })))),
        bad[MOST_BAD] && el("p", "muted small", `and ${bad.length - MOST_BAD} more`),
        sweep.text && longText(sweep.text, { class: "text report", tabindex: 0 })));
  }

  #markCell() {
    this.cells?.forEach((cell, i) => {
      if ((i === this.index) === (cell.tabIndex === 0) && cell.hasAttribute("aria-selected")) return;
      set(cell, "aria-selected", i === this.index);
      cell.tabIndex = i === this.index ? 0 : -1;
    });
  }

  /** Show the next run, or the last; of the bad ones only, or of all. */
  stepRun(by, badOnly = false) {
    const list = this.raw.runs;
    const index = badOnly ? this.bad.find(i => i > this.index) ?? this.bad[0] ?? this.index : Math.min(Math.max(this.index + by, 0), list.length - 1);
    this.showRun(index);
    announce(`Run ${index + 1} of ${list.length}: ${list[index].name}, ${list[index].outcome}`);
  }

  // Paper.

  beforePrint() {
    fill(this.paper, this.run.lanes.filter(lane => !this.line.rows.get(lane).hidden).map(lane => onPaper(this.line, lane)));
    this.line.drawNow(true);
  }

  afterPrint() {
    fill(this.paper);
    this.line.drawNow(true);
  }
}

/** The whole page. */
class Page {
  constructor(trace) {
    this.trace = trace;
    this.panesBox = div("panes");
    this.problem = el("p", { class: "bad", role: "alert" });
    const failed = trace.attempts.findLastIndex(attempt => ["failed", "rerun"].includes(attempt.outcome));
    const options = { changed: () => this.#remember(), label: "This trace" };
    const help = shortcuts(this.#keys());
    put(document.body,
      this.#header(help),
      el("main", "", this.problem, this.panesBox));
    const linked = linkOf(); // before the pane writes its own
    this.pane = new Pane(trace, failed < 0 ? trace.attempts.length - 1 : failed, options);
    this.other = null;
    this.#arrange();
    this.pane.showLinked(linked);
    addEventListener("hashchange", () => this.pane.showLinked(linkOf()));
    addEventListener("beforeprint", () => this.#beforePrint());
    addEventListener("afterprint", () => this.#afterPrint());
    set(wide, "onchange", () => this.#panes.forEach(pane => pane.place()));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#recolour());
  }
  #recolour() {
    for (const pane of this.#panes) pane.line.refresh();
  }

  get #panes() {
    return [this.pane, this.other].filter(Boolean);
  }

  #header(help) {
    const { test } = this.trace;
    const started = test.started ? test.started.replace("T", " ").replace(/\.\d+/, "").replace("+00:00", " UTC") : "";
    const several = this.trace.attempts.length;
    const about = [
      `${test.file}:${test.line}`, several > 1 ? `${several} attempts` : `took ${duration(this.trace.attempts[0]?.duration)}`,
      test.python && `Python ${test.python}`, test.platform, test.worker, started,
    ].filter(Boolean);
    const file = el("input", { type: "file", accept: ".html,.json", class: "only-heard", onchange: () => this.#compare(file) });
    return el("header", "page-head",
      div("grow",
        div("row", badge(manner(test.outcome), test.outcome), el("h1", "", test.id)),
        el("p", "muted small about", about.map(one => span("", one)))),
      div("row no-print",
        several > 1 ? button("Attempts side by side", () => this.sideBySide()) : null,
        el("label", "button", "Compare with a file", file),
        button("Download the data", () => download(`${(test.function || "trace").replace(/\W+/g, "_")}.json`, JSON.stringify(this.trace))),
        themeSwitch(() => this.#recolour()),
        button("?", () => help(), { class: "button icon", "aria-label": "Keyboard", title: "Keyboard" })));
  }

  #keys() {
    const of = run => () => run(this.active);
    return [
      [["j"], "Next lane", of(pane => pane.line.stepLane(1))],
      [["k"], "Lane before", of(pane => pane.line.stepLane(-1))],
      [["ArrowLeft", "ArrowRight"], "What happened before, next; on the time line: the cursor", () => false],
      [["Enter"], "From a lane to its details", () => false],
      [["Escape"], "Back to the lane", () => false],
      [["n"], "Next thing that went wrong", of(pane => pane.nextTrouble())],
      [["r"], "Next run of a sweep", of(pane => pane.raw.sweep && pane.stepRun(1))],
      [["b"], "Next bad run of a sweep", of(pane => pane.raw.sweep && pane.stepRun(1, true))],
      [["o"], "Time, or order of events", of(pane => pane.axis.querySelector('[aria-pressed="false"]').click())],
      [["+", "="], "Zoom in, around the cursor", of(pane => pane.line.zoom(0.625))],
      [["-"], "Zoom out", of(pane => pane.line.zoom(1.6))],
      [["0"], "The whole time line", of(pane => pane.line.fit())],
      [["/"], "Find lanes", of(pane => pane.view.querySelector(".search").focus())],
      [["c"], "Attempts side by side", () => this.trace.attempts.length > 1 && this.sideBySide()],
    ];
  }

  /** The pane in which the focus is, or the first one. */
  get active() {
    return this.other?.element.contains(document.activeElement) ? this.other : this.pane;
  }

  /** Show the attempt before the chosen one beside it, or stop that. */
  sideBySide() {
    if (this.other) this.#setOther(null);
    else this.#setOther(this.trace, this.pane.attempt ? this.pane.attempt - 1 : 1, "Another attempt");
  }

  async #compare(file) {
    const [chosen] = file.files;
    if (!chosen) return;
    try {
      const trace = readTrace(await chosen.text());
      this.#setOther(trace, trace.attempts.length - 1, `${chosen.name}: ${trace.test.id}`);
      fill(this.problem);
      announce(`Compared with ${trace.test.id}`);
    } catch (error) {
      fill(this.problem, `${chosen.name}: ${error.message}`);
    }
    file.value = "";
  }

  #setOther(trace, attempt, label) {
    this.other?.line.close();
    this.other = null;
    document.body.classList.toggle("two", Boolean(trace));
    if (trace) this.other = new Pane(trace, attempt, { changed: () => this.#remember(), close: () => this.#setOther(null), label });
    this.#arrange();
    this.#remember();
  }

  #arrange() {
    fill(this.panesBox, this.#panes.map(pane => pane.element));
    for (const pane of this.#panes) pane.place();
  }

  // The part of the address that says what is chosen.

  #remember() {
    if (!this.pane) return;
    const { pane } = this;
    const { lane, item } = pane.line;
    const said = new URLSearchParams();
    if (this.trace.attempts.length > 1) said.set("attempt", pane.attempt + 1);
    if (pane.raw.runs.length > 1) said.set("run", pane.index + 1);
    if (lane) said.set("lane", lane.id);
    if (item) said.set("event", item.n);
    try {
      history.replaceState(null, "", "#" + said);
    } catch {
      // In a frame of another page, which may have no address.
    }
  }

  // Paper is white, and nothing can be unfolded on it.

  #beforePrint() {
    if (this.printed) return;
    this.printed = { theme: document.documentElement.dataset.theme };
    set(document.documentElement, "data-theme", "light");
    for (const fold of document.querySelectorAll("details")) fold.open = true;
    for (const pane of this.#panes) pane.beforePrint();
  }

  #afterPrint() {
    set(document.documentElement, "data-theme", this.printed?.theme);
    this.printed = null;
    for (const pane of this.#panes) pane.afterPrint();
  }
}

/** What the address names: attempt, run, lane, event. */
function linkOf() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

try {
  new Page(checked(pageData()));
} catch (error) {
  put(document.body, el("main", "", el("h1", {}, "This page cannot show its data"), el("p", {}, error.message)));
}
