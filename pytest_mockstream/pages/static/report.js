// The page of a run: tables of leaks, streams, consumers, retries, findings and stale exemptions, which are sorted and
// searched together. Each row has the tests that it comes from, with links to their traces.

import { announce, badge, button, count, download, duration, el, fill, pageData, put, set, shortcuts, themeSwitch } from "./common.js";

const data = pageData();
const FIRST_ROWS = 100; // of a table, until somebody asks for more
const MORE_ROWS = 500;
const MOST_TESTS = 100; // below a row
const MOST_LINKS = 5; // to traces, of a row that is folded

const OUTCOMES = { error: "bad", warn: "warn", allowed: "muted", expected: "muted", known: "muted" };
const STATES = {
  exhausted: ["good", "read to its end"],
  closed: ["muted", "closed by its consumer, or with the event loop, before its end"],
  cancelled: ["muted", "cancelled, or out of time"],
  broken: ["warn", "ended by a fault of its script"],
  dropped: ["bad", "never closed: nobody held it any more"],
  open: ["bad", "still open when its test was over"],
};
const EXEMPTIONS = {
  allow_leaks: "allow_leaks: nothing leaked",
  expect_leak: "expect_leak: nothing leaked",
  ignore: "ignore: left nothing out",
  known: "known leak: it leaks no more",
};

const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);
const distinct = (rows) => new Set(rows.flatMap((row) => row.tests.map(({ test }) => test))).size;
const listed = (counts) =>
  Object.entries(counts)
    .sort((one, other) => other[1] - one[1])
    .map(([name, number]) => `${number.toLocaleString("en")} ${name}`)
    .join(", ");

// Cells.

function place(row) {
  return el("div", "", el("code", "", row.at ?? "a place that nobody saw"), row.in ? el("div", "muted small", `in ${row.in}`) : null);
}

const hasTrace = (test) => Object.hasOwn(data.traces, test);

function traceLink(test, number = "") {
  if (!hasTrace(test)) return null;
  return el("a", { class: "trace", href: data.traces[test], title: test, "aria-label": `trace of ${test}` }, "trace" + number);
}

/** Return links to the traces of several tests; each is below the row, too, beside the test's name. */
function traceLinks(tests) {
  const traced = tests.filter(({ test }) => hasTrace(test));
  const links = traced.slice(0, MOST_LINKS).map(({ test }, i) => [" ", traceLink(test, traced.length > 1 ? ` ${i + 1}` : "")]);
  const left = traced.length - links.length;
  return [links, left > 0 && ` and ${left.toLocaleString("en")} more`];
}

const number = (id, label, more = {}) => ({ id, label, number: true, value: (row) => row[id], show: (row) => row[id].toLocaleString("en"), each: true, ...more });
const time = (id, label, more = {}) => number(id, label, { show: (row) => duration(row[id]), ...more });
const line = { id: "line", label: "Line", value: (row) => row.at ?? "", show: place, main: true };

function leaker(owner) {
  const [what, name, scope] = owner.split(":");
  if (what === "fixture") return `by the fixture ${name} (${scope})`;
  return { test: "", import: "by an import", plugin: "by a plugin of a run inside this one", singleton: "by a library, for as long as the process lives" }[owner] ?? `by ${owner}`;
}

function whatLeaked(row) {
  const whose = [leaker(row.owner), row.kept_by ? `kept by ${row.kept_by}` : ""].filter(Boolean).join(", ");
  return el(
    "div",
    "",
    el("div", "", `${row.kind} `, el("code", "", row.name), row.count > 1 ? " and the like" : ""),
    row.waits_at ? el("div", "small", "waits at ", el("code", "", row.waits_at)) : null,
    [whose, row.diagnosis, row.remedy].filter(Boolean).map((text) => el("div", "muted small", text)),
  );
}

function stateCell(row) {
  const [kind, meaning] = STATES[row.state] ?? ["muted", ""];
  return el("div", "", badge(kind, row.state), " ", el("span", "muted small", meaning));
}

/** Return a bar in which each end has its share. */
function shares() {
  if (data.streams.length < 2) return null;
  const parts = data.streams.map((row) => {
    const part = el("span", { class: STATES[row.state]?.[0] ?? "muted" });
    part.style.flexGrow = row.count;
    return part;
  });
  return el("div", { class: "shares", "aria-hidden": true }, parts);
}

// The tables.

const blind = Object.keys(data.armed).filter((kind) => !data.armed[kind]);

const TABLES = [
  {
    id: "leaks",
    title: "Leaks",
    about: "What tests left running, by the line that made it.",
    empty: data.mode === "off" ? "The leak check was off in this run." : "Nothing leaked.",
    note: blind.length ? `The check could not see: ${blind.join(", ")}.` : "",
    rows: data.leaks_by_line,
    sort: "count",
    columns: [
      line,
      { id: "what", label: "What", value: (row) => `${row.kind} ${row.name}`, show: whatLeaked },
      { id: "outcome", label: "Outcome", value: (row) => row.outcome, show: (row) => badge(OUTCOMES[row.outcome] ?? "muted", row.outcome) },
      number("count", "Leaks"),
    ],
  },
  {
    id: "streams",
    title: "How streams ended",
    about: "Streams, and answers that come as one, by what became of them. Of a sweep, the first run counts.",
    empty: "No stream was opened.",
    rows: data.streams,
    above: shares(),
    sort: "count",
    columns: [{ id: "state", label: "End", value: (row) => row.state, show: stateCell, main: true }, number("count", "Streams")],
  },
  {
    id: "consumers",
    title: "Consumers",
    about: "The lines that opened streams. “For nobody” are chunks that had arrived and were never read. “Leaving” is the longest time from the last chunk that was read to the end. Times are those of the event loop’s clock, which may be virtual.",
    empty: "No stream was opened.",
    rows: data.consumers,
    sort: "wasted",
    columns: [
      line,
      number("count", "Requests"),
      { id: "states", label: "Ended", value: (row) => listed(row.states), show: (row) => listed(row.states), each: true },
      number("leaked", "Leaked"),
      number("read", "Read"),
      number("wasted", "For nobody"),
      time("lingered", "Leaving"),
      time("open", "Open"),
    ],
  },
  {
    id: "retries",
    title: "Retries",
    about: "Requests that asked the same again after a failure, by the line that asked.",
    empty: "Nothing was tried again.",
    rows: data.retries,
    sort: "count",
    columns: [
      line,
      { id: "by", label: "Whose", value: (row) => row.by ?? "", show: (row) => (row.by === null ? "your code’s" : `${row.by}’s own`) },
      number("count", "Retries"),
      { id: "why", label: "After", value: (row) => listed(row.why), show: (row) => listed(row.why), each: true },
      number("tries", "Most tries"),
    ],
  },
  {
    id: "findings",
    title: "Findings",
    about: "What is wrong with how code copes with failures.",
    empty: "Nothing was found.",
    rows: data.findings,
    sort: "count",
    columns: [
      line,
      {
        id: "what",
        label: "Finding",
        value: (row) => row.name,
        show: (row) => el("div", "", el("div", "", badge(row.by === null ? "bad" : "warn", row.name)), el("div", "", row.what), el("div", "muted small", row.remedy)),
      },
      number("count", "Times"),
    ],
  },
  {
    id: "stale",
    title: "Stale exemptions",
    about: "What is exempted from the leak check, and need not be.",
    empty: data.mode === "off" ? "The leak check was off in this run." : "All exemptions were needed.",
    note: data.mode !== "off" && !data.run.whole ? "Not all tests ran: what the ini file leaves out, and known leaks, are not judged." : "",
    rows: data.stale_exemptions,
    sort: "where",
    columns: [
      { id: "where", label: "Where", value: (row) => row.where, show: (row) => [el("code", "", row.where), " ", traceLink(row.where)], main: true },
      { id: "what", label: "What", value: (row) => row.what, show: (row) => el("code", "", row.what) },
      { id: "kind", label: "Why", value: (row) => EXEMPTIONS[row.kind] ?? row.kind },
    ],
  },
];

/** One table: what it shows depends on the words that are searched for, its order, and what is unfolded. */
class Table {
  constructor({ id, title, about, empty, note = "", above = null, rows, sort, columns }) {
    this.rows = rows;
    this.columns = columns;
    if (rows.some((row) => row.tests)) {
      const tests = { id: "tests", label: "Tests", value: (row) => row.tests.length, tests: true };
      this.columns = [...columns, tests];
    }
    this.sorted = this.columns.find((column) => column.id === sort);
    this.down = isNumber(this.sorted);
    this.words = [];
    this.unfolded = new Set();
    this.most = FIRST_ROWS;
    this.id = id;
    this.texts = new Map(rows.map((row) => [row, textOf(row, columns)]));
    this.number = el("span", "muted number-of");
    this.heads = this.columns.map((column) => this.head(column));
    this.top = el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, this.heads));
    this.body = el("table", { class: "report", role: "table", "aria-labelledby": `${id}-title` }, this.top);
    this.more = button("", () => this.showMore(), { class: "button no-print", hidden: true });
    this.none = el("p", { class: "muted", hidden: true });
    this.empty = empty;
    this.element = el(
      "section",
      { id, class: "card", "aria-labelledby": `${id}-title` },
      el("div", "row heading", el("h2", { id: `${id}-title` }, title), this.number),
      el("p", "muted small about", about),
      note ? el("p", "warn small about", note) : null,
      above,
      this.body,
      this.none,
      this.more,
    );
    this.draw();
  }

  head(column) {
    const by = button(column.label, () => this.sortBy(column), { class: "sort" });
    by.append(el("span", { class: "arrow", "aria-hidden": true }));
    return el("th", { role: "columnheader", scope: "col", class: column.number ? "number" : null }, by);
  }

  sortBy(column) {
    this.down = this.sorted === column ? !this.down : isNumber(column);
    this.sorted = column;
    this.draw();
    announce(`${column.label}: ${this.down ? "descending" : "ascending"}`);
  }

  search(words) {
    this.words = words;
    this.draw();
    return this.found.length;
  }

  showMore() {
    this.most += MORE_ROWS;
    this.draw();
  }

  unfold(all) {
    this.unfolded = new Set(all ? this.rows.filter((row) => (row.tests ?? []).length > 1) : []);
    this.draw();
  }

  draw() {
    this.found = this.rows.filter((row) => !this.missing(row).length || this.testsOf(row).length);
    this.found.sort((one, other) => this.order(one, other));
    const rows = this.found.slice(0, this.most);
    for (const [index, column] of this.columns.entries()) {
      set(this.heads[index], "aria-sort", column === this.sorted ? (this.down ? "descending" : "ascending") : null);
    }
    keepFirst(this.body); // whoever has the focus on its head keeps it
    put(this.body, rows.map((row, index) => this.group(row, `${this.id}-${index}`)));
    set(this.body, "hidden", this.found.length === 0);
    set(this.none, "hidden", this.found.length > 0);
    fill(this.none, this.rows.length === 0 ? this.empty : "No row has these words.");
    set(this.more, "hidden", rows.length === this.found.length);
    fill(this.more, `Show more of ${count(this.found.length, "row")}`);
    fill(this.number, this.words.length ? `${this.found.length} of ${this.rows.length}` : String(this.rows.length || ""));
  }

  /** Return the words that a row does not have itself; one of its tests may have them. */
  missing(row) {
    return this.words.filter((word) => !this.texts.get(row).includes(word));
  }

  order(one, other) {
    const [first, second] = [this.sorted.value(one), this.sorted.value(other)];
    if (first === null || second === null) return (first === null) - (second === null);
    const turn = this.down ? -1 : 1;
    return turn * (typeof first === "number" ? first - second : first.localeCompare(second, "en", { numeric: true }));
  }

  /** Return the tests of a row that are shown: those that have the words, or all of them where the row has these. */
  testsOf(row) {
    const tests = row.tests ?? [];
    const words = this.missing(row);
    return words.length ? tests.filter(({ test }) => words.every((word) => test.toLowerCase().includes(word))) : tests;
  }

  group(row, id) {
    const body = el("tbody", { role: "rowgroup", id });
    const tests = this.testsOf(row);
    const rows = () => (this.unfolded.has(row) ? this.testRows(row, tests) : []);
    const fold = () => {
      this.unfolded.has(row) ? this.unfolded.delete(row) : this.unfolded.add(row);
      set(toggle, "aria-expanded", this.unfolded.has(row));
      keepFirst(body);
      body.append(...rows());
    };
    const toggle = button(count(tests.length, "test"), fold, { class: "button fold", "aria-expanded": this.unfolded.has(row), "aria-controls": id });
    const ofTests = () => {
      if (tests.length > 1) return [toggle, traceLinks(tests)];
      return tests.map(({ test }) => [el("code", "", test), " ", traceLink(test)]);
    };
    const main = this.row("", this.columns, (column) => (column.tests ? ofTests() : (column.show ?? column.value)(row)));
    return put(body, main, rows());
  }

  testRows(row, tests) {
    const cell = (test) => (column) => {
      if (column.main) return [el("code", "", test.test), " ", traceLink(test.test)];
      return column.each ? (column.show ?? column.value)(test) : null;
    };
    const rows = tests.slice(0, MOST_TESTS).map((test) => this.row("test", this.columns, cell(test)));
    const left = tests.length - rows.length;
    return left > 0 ? [...rows, this.row("test", this.columns, (column) => (column.main ? `and ${left.toLocaleString("en")} more: search for them by name` : null))] : rows;
  }

  row(kind, columns, cell) {
    return el(
      "tr",
      { role: "row", class: kind || null },
      columns.map((column) => {
        const classes = [column.number ? "number" : "", column.main ? "main" : ""].filter(Boolean).join(" ");
        const inside = cell(column);
        return el("td", { role: "cell", class: inside === null ? `${classes} blank` : classes || null, "data-label": column.label }, inside);
      }),
    );
  }
}

const isNumber = (column) => Boolean(column.number || column.tests);

/** Remove all children of an element but the first. */
function keepFirst(element) {
  while (element.childNodes.length > 1) element.lastChild.remove();
}

/** Return what a row can be found by, but for its tests. */
function textOf(row, columns) {
  const own = Object.values(row).filter((value) => typeof value === "string");
  return [...own, ...columns.map((column) => String(column.value(row) ?? ""))].join("\n").toLowerCase();
}

// The page.

function figure(target, number, one, kind, more = "", many = one + "s") {
  const word = number === 1 ? one : many;
  return el(
    "a",
    { class: `figure ${number ? kind : ""}`, href: `#${target}` },
    el("span", "size", number.toLocaleString("en")),
    " ",
    el("span", "", more ? `${word} (${more})` : word),
  );
}

function figures() {
  const leaks = data.leaks_by_line.filter((row) => row.outcome === "error" || row.outcome === "warn");
  const wasted = sum(data.consumers, "wasted");
  const retries = sum(data.retries, "count");
  const stale = data.stale_exemptions.length;
  return el("nav", { class: "figures", "aria-label": "Summary" }, [
    figure("leaks", sum(leaks, "count"), "leak", "bad", leaks.length ? `${count(leaks.length, "line")}, ${count(distinct(leaks), "test")}` : ""),
    figure("streams", sum(data.streams, "count"), "stream", "plain"),
    figure("consumers", wasted, "chunk for nobody", "warn", "", "chunks for nobody"),
    figure("retries", retries, "retry", "plain", "", "retries"),
    figure("findings", data.findings.length, "finding", "bad"),
    figure("stale", stale, "stale exemption", "warn"),
  ]);
}

function facts() {
  const { run } = data;
  const started = new Date(run.started).toLocaleString("en", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  const tests = `${count(run.tests, "test")}, ${run.failed || "none"} failed`;
  return [tests, duration(run.seconds), `${started} UTC`, `Python ${run.python} on ${run.platform}`, `pytest-mockstream ${data.package}`].join(" · ");
}

const CUT_SHORT = { 2: "The run was interrupted", 3: "The run ended with an internal error", 4: "pytest was used wrongly" };

function show() {
  const tables = TABLES.map((table) => new Table(table));
  const field = el("input", { class: "field grow", type: "search", id: "search", "aria-label": "Search all tables", placeholder: "Search all tables: a file, a function, a test …", oninput: () => search() });
  const search = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = tables.map((table) => table.search(words)).reduce((one, other) => one + other);
    if (words.length) announce(count(found, "row"));
  };
  const unfold = (all) => {
    for (const table of tables) table.unfold(all);
    announce(all ? "Tests are shown" : "Tests are hidden");
  };
  const help = shortcuts([
    [["/"], "Search", () => field.focus()],
    [["t"], "Show the tests of all rows", () => unfold(true)],
    [["h"], "Hide them", () => unfold(false)],
  ]);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !field.value) return;
    field.value = "";
    search();
  });
  const cut = CUT_SHORT[data.run.status];
  put(
    document.body,
    el("a", { class: "skip", href: "#tables" }, "Skip to the tables"),
    el(
      "header",
      "top",
      el("div", "row", el("h1", "grow", document.title), themeSwitch(), button("?", help, { class: "button icon no-print", "aria-label": "Keyboard" })),
      el("p", "muted small", facts()),
      cut ? el("p", "cut bad", `${cut}: tests that had not ended by then are missing here.`) : null,
      figures(),
    ),
    el(
      "div",
      { class: "row tools no-print", role: "search" },
      field,
      button("Show tests", () => unfold(true)),
      button("Hide tests", () => unfold(false)),
      button("Download the data", () => download("report.json", JSON.stringify(data, null, 1))),
    ),
    el("main", { id: "tables", tabindex: -1 }, tables.map((table) => table.element)),
  );
  let before = null;
  addEventListener("beforeprint", () => {
    before = tables.map((table) => [table, table.unfolded, table.most]);
    for (const table of tables) {
      table.most = Infinity;
      table.unfold(true);
    }
  });
  addEventListener("afterprint", () => {
    for (const [table, unfolded, most] of before ?? []) {
      Object.assign(table, { unfolded, most });
      table.draw();
    }
  });
}

show();
