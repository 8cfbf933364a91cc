// What a trace says, ready to be looked at: lanes with what happened on them in order, and the text at any instant.

/** Return the trace that a file holds: a page, or its data alone. Throw what is wrong with another file. */
export function readTrace(text) {
  let json = text;
  if (/^\s*</.test(text)) {
    json = new DOMParser().parseFromString(text, "text/html").getElementById("data")?.textContent;
    if (json === undefined) throw new Error("This page carries no data of a trace.");
  }
  return checked(JSON.parse(json));
}

/** Return a trace that this page can show, or throw why it cannot. */
export function checked(trace) {
  if (trace?.format !== "pytest-mockstream trace") throw new Error("This is no trace of pytest-mockstream.");
  if (trace.version !== 1) throw new Error(`This trace has version ${trace.version}; this page shows version 1.`);
  return trace;
}

/** What people look for first: how bad an event is, the worst first. Others are part of a test that may be well. */
const TROUBLE = ["leak", "finding", "error"];

/** Return the kind of a lane, those of the test and of its fixtures as one. */
export const kindOf = ({ raw: { kind } }) => (kind === "test" || kind === "fixture" ? "phase" : kind);

/** Return how a state or outcome is shown: bad, good, warn or muted. */
export function manner(state) {
  if (["failed", "open", "running", "error"].includes(state)) return "bad";
  if (["broken", "dropped", "cancelled", "raised", "rerun"].includes(state)) return "warn";
  if (["passed", "exhausted", "returned"].includes(state)) return "good";
  return "muted";
}

/** The number of elements of a sorted list that are not above a value. */
function countUpTo(list, value, of = element => element) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(list[middle]) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Things by when they were, and by their numbers: what lasted is numbered when it was over. */
function bothWays(things) {
  return [things.toSorted((a, b) => a.at - b.at || a.n - b.n), things.toSorted((a, b) => a.n - b.n)];
}

/** One run of a test: its lanes, and all that happened in order. */
export class Run {
  constructor(raw, sources) {
    this.raw = raw;
    this.sources = sources;
    this.lanes = (raw.lanes ?? []).map(lane => new Lane(lane, this));
    this.byId = new Map(this.lanes.map(lane => [lane.id, lane]));
    for (const lane of this.lanes) lane.depth = this.#depth(lane);
    this.#happened = bothWays(this.lanes.flatMap(lane => lane.items(true)));
    this.end = Math.max(raw.end ?? 0, 0);
    this.lastN = Math.max(this.#happened[1].at(-1)?.n ?? 0, 1);
  }
  #happened;

  #depth(lane) {
    let depth = 0;
    for (let up = this.byId.get(lane.raw.parent); up && depth < 8; up = this.byId.get(up.raw.parent)) depth += 1;
    return depth;
  }

  /** The cursor at an instant of the axis: a time, and the number of the last thing that had happened. */
  at(value, order) {
    const place = Math.min(Math.max(value, 0), order ? this.lastN : this.end);
    const cursor = { t: place, n: Math.round(place) };
    const last = this.under(cursor, order);
    return order ? { ...cursor, t: last?.at ?? 0 } : { ...cursor, n: last?.n ?? 0 };
  }

  /** The next or last instant at which something happened. */
  step(cursor, by, order) {
    const [of, from] = order ? [item => item.n, cursor.n] : [item => item.at, cursor.t];
    const all = this.#happened[Number(order)];
    const to = by > 0 ? all[countUpTo(all, from, of)] : all.findLast(item => of(item) < from);
    return to ? this.at(of(to), order) : cursor;
  }

  /** What happened last at the cursor. */
  under({ t, n }, order) {
    const all = this.#happened[Number(order)];
    return all[(order ? countUpTo(all, n, item => item.n) : countUpTo(all, t, item => item.at)) - 1];
  }

  /** What went wrong: what the test itself failed of, and then the worst first. */
  get troubles() {
    const all = this.#happened[1].filter(item => TROUBLE.includes(item.kind) && item.event);
    const rank = item => (!item.ofPhase ? TROUBLE.indexOf(item.kind) : item.lane.raw.name === "teardown" ? 9 : -1);
    const own = all.filter(item => rank(item) < 9); // that a teardown failed says less than what it failed of
    return (own[0] ? own : all).sort((a, b) => rank(a) - rank(b) || a.n - b.n);
  }

  /** The lane and the item to begin with. */
  get start() {
    const trouble = this.troubles[0];
    if (trouble) return [trouble.lane, trouble];
    const { lanes } = this;
    const upset = lanes.find(lane => lane.raw.leaked) ?? lanes.findLast(lane => manner(lane.raw.state) === "warn");
    return [upset ?? lanes.find(lane => lane.raw.kind === "request") ?? lanes[0] ?? null, null];
  }

  /** The lines of source around a place: [[number, text]], or null where the trace has none. */
  source(place, around = 3) {
    if (!place || !Object.hasOwn(this.sources, place.file)) return null;
    for (const { first, lines } of [this.sources[place.file]].flat()) {
      const index = place.line - first;
      if (index < 0 || index >= lines.length) continue;
      const from = Math.max(index - around, 0);
      return lines.slice(from, index + around + 1).map((text, i) => [first + from + i, text]);
    }
    return null;
  }
}

/** One lane: a phase of the test, a request with its stream, a task or a thread. */
export class Lane {
  constructor(raw, run) {
    this.raw = raw;
    this.run = run;
    this.id = raw.id;
    const { arrived = [], read = [], n = [], text = [], kind = [] } = raw.chunks ?? {};
    const chunks = arrived.map((at, i) => ({
      lane: this, n: n[i] ?? 0, at, kind: kind[i] ?? "text", chunk: i, read: read[i] ?? null, text: text[i] ?? "",
    }));
    const ofPhase = kindOf(this) === "phase";
    const events = (raw.events ?? []).map(event => ({ ...event, lane: this, event, ofPhase }));
    this.chunks = chunks;
    this.events = events;
    const kinds = new Set(chunks.filter(chunk => chunk.text).map(chunk => chunk.kind));
    this.kinds = [...kinds].sort((a, b) => (b === "text") - (a === "text")); // that say something, the text first
    this.#items = bothWays([...chunks, ...events]);
    this.#reads = chunks.map(chunk => chunk.read ?? Infinity);
  }
  #items;
  #reads;
  #frames = [];

  /** What happened on it, by number or by time. */
  items(order) {
    return this.#items[Number(order)];
  }

  /** How many chunks had arrived, and how many were read, at the cursor. */
  progress(cursor, order) {
    const arrived = order
      ? countUpTo(this.raw.chunks?.n ?? [], cursor.n)
      : countUpTo(this.raw.chunks?.arrived ?? [], cursor.t);
    return { arrived, read: Math.min(arrived, countUpTo(this.#reads, cursor.t)) };
  }

  /** What chunks of a kind say, at the cursor: what was read, what waited to be read, what was still to come. */
  textAt(cursor, order, kind = this.kinds[0]) {
    const { arrived, read } = this.progress(cursor, order);
    const said = (from, to) => this.chunks.slice(from, to).map(chunk => (chunk.kind === kind ? chunk.text : "")).join("");
    return [said(0, read), said(read, arrived), said(arrived)];
  }

  /** The frame that carried a chunk. Each is written as what differs from the one before it. */
  frame(index) {
    const coded = this.raw.chunks?.frame ?? [];
    let last = this.#frames.findLast(frame => frame !== null) ?? "";
    for (let i = this.#frames.length; i <= index; i += 1) {
      if (coded[i]) {
        const [head, tail, middle] = coded[i];
        last = cut(last, 0, head) + middle + (tail ? cut(last, -tail) : "");
      }
      this.#frames.push(coded[i] ? last : null);
    }
    return this.#frames[index];
  }

  /** Whether a text is in what the lane says of itself. */
  matches(text) {
    this.haystack ??= [
      this.raw.name, this.raw.kind, this.raw.state, this.raw.leaked ? "leaked" : "", this.raw.at?.file, this.raw.at?.function,
      ...(this.raw.facts ?? []).flat(), ...this.events.flatMap(({ event }) => [event.kind, event.label, event.text]),
      this.chunks.map(chunk => chunk.text).join(""), JSON.stringify(this.raw.request?.body ?? ""),
    ].join("\n").toLowerCase();
    return this.haystack.includes(text.toLowerCase());
  }
}

/** A part of a text, counted in characters as Python counts them. */
function cut(text, from, to) {
  return /[\ud800-\udfff]/.test(text) ? [...text].slice(from, to).join("") : text.slice(from, to);
}

/** Return what something is, in a few words. */
export function titleOf(item) {
  if (item.event) return item.event.label || item.kind;
  const text = item.text.length > 60 ? item.text.slice(0, 60) + "…" : item.text;
  return `chunk ${item.chunk + 1}` + (item.kind === "text" ? "" : `, ${item.kind}`) + (text ? ` ${JSON.stringify(text)}` : "");
}
