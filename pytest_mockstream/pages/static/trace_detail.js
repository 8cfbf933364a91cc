// The detail of what is chosen: a lane, and a chunk or an event on it.
import { badge, button, copyButton, count, div, duration, el, fill, put, set, shown, span } from "./common.js";
import { signOf, signView } from "./trace_drawing.js";
import { kindOf } from "./trace_model.js";
import { stateOf } from "./trace_timeline.js";

const FULL = 20_000; // characters that are shown of a text before one asks for all

/** Return a text as it is; of a very long one the beginning, and a button that shows the rest. */
export function longText(text, properties = {}) {
  const pre = el("pre", { class: "text", ...properties });
  if (text.length <= FULL) return put(pre, shown(text, FULL));
  const all = () => fill(pre, shown(text, Infinity));
  return put(pre, shown(text.slice(0, FULL), FULL), "… ", button(`Show all ${text.length.toLocaleString("en")} characters`, all));
}

/** Return "app/bot.py:22 in start". */
export function placeText(place) {
  return place ? `${place.file}:${place.line}` + (place.function ? ` in ${place.function}` : "") : "";
}

/** Return a place with the source lines around it. */
export function placeView(run, label, place, around) {
  if (!place) return null;
  const lines = run.source(place, around);
  const indent = Math.min(...(lines ?? []).filter(([, text]) => text.trim()).map(([, text]) => text.search(/\S/)));
  return el("figure", "place",
    el("figcaption", "", span("muted", label), " ", span("mono", placeText(place))),
    lines && el("pre", { class: "source", tabindex: 0, "aria-label": `Source around ${placeText(place)}` }, lines.map(([number, text]) =>
      span({ class: number === place.line ? "here" : null },
        span("number", number === place.line ? `▸ ${number}` : String(number)), text.slice(indent) + "\n"))));
}

function madeAt(lane, place, around) {
  return placeView(lane.run, { request: "opened at", phase: "defined at" }[kindOf(lane)] ?? "created at", place, around);
}

function facts(list) {
  const rows = list.filter(([, value]) => value != null && value !== "");
  return rows.length ? el("dl", "facts", rows.map(([name, value]) => [el("dt", "", name), el("dd", "", value)])) : null;
}

/** Return what one can fold, with its title. */
export function fold(title, open, ...content) {
  return el("details", { class: "fold", open }, el("summary", "", title), content);
}

function message(title, first, { headers }, body) {
  const named = Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)]);
  return fold(title, false, el("p", "mono", first), facts(named), body ? longText(body) : null);
}

function remedyView(text) {
  return text ? el("p", "remedy", el("b", "", "What to do"), " ", text) : null;
}

/** The panel of details. `go(lane, item)` is called for what the person chooses in it. */
export class Detail {
  constructor({ go }) {
    this.go = go;
    this.element = div({ class: "detail", role: "group", "aria-label": "Details", tabindex: -1 });
  }

  /** Show a lane and a thing on it. */
  show(line, lane, item) {
    this.line = line;
    this.lane = lane;
    this.stream = lane?.chunks.length ? div("stack tight") : null;
    if (!lane) return fill(this.element, el("p", "muted", "Nothing is known of what happened in this run."));
    const { request, response } = lane.raw;
    const leak = lane.events.find(one => one.kind === "leak");
    const shown = item ?? (lane.raw.leaked ? leak : null);
    fill(this.element,
      el("header", "detail-head",
        el("h2", "", lane.raw.name),
        div("row", span("muted", lane.raw.kind), stateOf(lane), this.#length())),
      shown && (shown.event ? this.event(shown) : this.#chunk(shown)),
      madeAt(lane, lane.raw.at),
      facts(lane.raw.facts ?? []),
      this.stream,
      request && message("Request", `${request.method} ${request.path}`, request,
        typeof request.body === "string" ? request.body : JSON.stringify(request.body, null, 2)),
      response && message("Response", `status ${response.status}`, response, response.text),
      this.#events(item));
    this.moved();
  }

  #length() {
    const { start, end } = this.lane.raw;
    return span("muted", end == null
      ? `from ${duration(start)}, never ended` : `${duration(start)} to ${duration(end)}`);
  }

  /** Show the text of the stream as it stands at the cursor. */
  moved() {
    if (!this.stream) return;
    const { cursor, order } = this.line;
    const { arrived, read: number } = this.lane.progress(cursor, order);
    const end = text => shown(text.length > FULL ? "…" + text.slice(-FULL) : text, Infinity);
    const start = text => shown(text.length > FULL ? text.slice(0, FULL) + "…" : text, Infinity);
    fill(this.stream,
      el("h3", "", `Text at ${this.line.clock(cursor)}`),
      el("p", "muted small", `${count(number, "chunk")} read, ${arrived - number} more had arrived, ${this.lane.chunks.length - arrived} to come`),
      this.lane.kinds.map(kind => {
        const [read, waiting, rest] = this.lane.textAt(cursor, order, kind);
        return [kind === "text" ? null : el("p", "muted small", kind),
          el("pre", "text at", span("", end(read)), span("unread", start(waiting)), span("to-come", start(rest)))];
      }));
  }

  /** Return all that is known of an event. */
  event(item) {
    const { event } = item;
    const [, tone, name] = signOf(item.kind);
    const other = this.line.run.byId.get(event.lane);
    return div(`happening ${tone}`,
      el("p", "muted small", signView(item.kind), ` ${name} · ${duration(item.at)}`,
        item.until == null ? "" : ` to ${duration(item.until)} (${duration(item.until - item.at)})`, ` · event ${item.n}`),
      el("h3", "", event.label || item.kind),
      event.text ? longText(event.text, { class: "text prose" }) : null,
      remedyView(event.remedy),
      placeText(event.place) === placeText(this.lane.raw.at) ? null : placeView(this.line.run, "at", event.place),
      placeView(this.line.run, "waits at", event.waits_at),
      this.#neighbours(item, other && button(`Go to ${other.raw.name}`, () => this.go(other, null))));
  }

  #chunk(item) {
    const { lane } = item;
    const before = lane.chunks[item.chunk - 1];
    const frame = lane.frame(item.chunk);
    return div("happening accent",
      el("p", "muted small", `chunk ${item.chunk + 1} of ${lane.chunks.length} · ${item.kind} · event ${item.n}`),
      longText(item.text, { class: "text chunk" }),
      facts([
        ["arrived", duration(item.at) + (before ? `, ${duration(item.at - before.at)} after the one before` : "")],
        ["read", item.read === null ? "never: it was made for nobody"
          : duration(item.read) + (item.read > item.at ? `, it waited ${duration(item.read - item.at)}` : "")],
      ]),
      frame == null ? null : fold("Frame", true, longText(frame)),
      this.#neighbours(item));
  }

  #neighbours(item, more) {
    const items = item.lane.items(this.line.order);
    const index = items.indexOf(item);
    const to = (label, other) => button(label, () => this.go(item.lane, other), { disabled: !other });
    return div("row no-print", to("← Before", items[index - 1]), to("After →", items[index + 1]), more);
  }

  #events(item) {
    const { events } = this.lane;
    if (!events.length) return null;
    const most = 200;
    const list = el("ol", "events");
    const add = some => put(list, some.map(one => el("li", "", this.#eventButton(one, one === item))));
    add(events.slice(0, most));
    const more = events.length > most
      ? button(`Show all ${events.length} events`, () => {
        more.remove();
        add(events.slice(most));
      }) : null;
    return fold(`Events (${events.length})`, true, list, more);
  }

  #eventButton(one, chosen) {
    return button([
      span("when muted", this.line.clock(one)), signView(one.kind), span("", one.event.label || signOf(one.kind)[2]),
    ], () => this.go(this.lane, one), { class: "event", "aria-current": chosen ? "true" : null });
  }
}

/** Return all that is known of a lane, for paper. */
export function onPaper(line, lane) {
  const detail = new Detail({ go: () => {} });
  detail.show(line, lane, null);
  put(detail.element, lane.events.filter(({ kind, text, remedy }) => (text || remedy) && !(lane.raw.leaked && kind === "leak"))
    .map(one => detail.event(one)));
  for (const fold of detail.element.querySelectorAll("details")) fold.open = true;
  detail.element.className = "detail paper";
  set(detail.element, "tabindex", null);
  return detail.element;
}

/** Return what broke, in the largest letters: what, where, and what to do. */
export function whatBroke({ kind, event, lane }, more) {
  return div("stack",
    div("row", badge("bad", signOf(kind)[2]), el("h2", "grow", event.label || kind)),
    event.text ? longText(event.text, { class: "text prose" }) : null,
    div("places",
      madeAt(lane, event.place ?? lane.raw.at, 2),
      placeView(lane.run, "waits at", event.waits_at, 2)),
    remedyView(event.remedy), more);
}

/** Return how to run it alone. */
export function aloneView(text) {
  return text ? div("alone", span("muted small", "To run it alone"), el("pre", "", text), copyButton(text)) : null;
}
