// The lanes of one run on a time line, with a cursor over them.
import { announce, badge, button, count, div, duration, el, fill, plain, put, set, span } from "./common.js";
import { draw, palette, ROW, signOf, signView } from "./trace_drawing.js";
import { kindOf, manner, titleOf } from "./trace_model.js";

const PAD = 14; // px at both ends of a track, so that a sign at an end is whole
const NEAR = 9; // px in which a click means a thing
const MOST_ZOOM = 100_000;

const svg = tag => document.createElementNS("http://www.w3.org/2000/svg", tag);

/** Return how a lane ended, as a badge. */
export function stateOf(lane) {
  if (lane.raw.leaked) return badge("bad", "leaked");
  return badge(manner(lane.raw.state), lane.raw.state);
}

/**
 * The time line of a run. `choose(lane, item, enter)` is called for what one chooses, `moved()` as
 * the cursor moves.
 */
export class Timeline {
  constructor(run, { order, choose, moved }) {
    this.run = run;
    this.order = order;
    this.choose = choose;
    this.moved = moved;
    this.cursor = { t: run.end, n: run.lastN };
    this.lane = null;
    this.item = null;
    this.hidden = new Set(); // kinds of lanes
    this.text = "";
    this.rows = new Map();
    this.#build();
  }
  #frame = 0;
  #ticks;
  #handle;
  #axis;
  #line;
  #links;
  #tip;
  #none;
  #list;
  #body;
  #now;
  #seen;
  #sized;
  #visible = new Set(); // rows
  #from = 0; // the part of the axis that is seen
  #to = 1;
  width = 0; // of a track, in px

  #build() {
    this.#ticks = div({ class: "ticks", "aria-hidden": true });
    this.#handle = div({ class: "handle", role: "slider", tabindex: 0, "aria-label": "Cursor over the time line", "aria-valuemin": 0 });
    this.#axis = div("axis", this.#ticks, this.#handle);
    this.#line = div({ class: "cursor", "aria-hidden": true });
    this.#links = svg("svg");
    this.#links.classList.add("links");
    this.#links.setAttribute("aria-hidden", "true");
    this.#tip = div({ class: "tip", "aria-hidden": true, hidden: true });
    this.#none = el("p", { class: "muted none", hidden: true }, "No lane is like that.");
    this.#list = el("ul", { class: "lanes", "aria-label": "Lanes. Up and down choose one, left and right what happened on it." });
    for (const lane of this.run.lanes) this.#list.append(this.#row(lane));
    this.#body = div("tracks", this.#list, this.#none, this.#links, this.#line, this.#tip);
    this.#now = div("now");
    this.element = div("timeline", div("axis-row", this.#now, this.#axis), this.#body);
    set(this.#list, "onkeydown", event => this.#keys(event));
    set(this.#handle, "onkeydown", event => this.#sliderKeys(event));
    this.#pointer(this.#axis);
    this.#seen = new IntersectionObserver(entries => {
      for (const { target, isIntersecting } of entries)
        if (isIntersecting) this.#visible.add(target);
        else this.#visible.delete(target);
      this.refresh();
    }, { rootMargin: "300px", scrollMargin: "300px" });
    for (const row of this.rows.values()) this.#seen.observe(row);
    this.#sized = new ResizeObserver(() => this.refresh());
    this.#sized.observe(this.#body);
  }

  #row(lane) {
    const { raw } = lane;
    const label = button(
      [span("lane-name", raw.name), span("lane-kind", span("muted", raw.kind), stateOf(lane))],
      () => this.pick(lane), { class: "lane-label", tabindex: -1 },
    );
    label.style.paddingInlineStart = `calc(var(--s2) + ${Math.min(lane.depth, 5) * 12}px)`;
    const canvas = el("canvas", { "aria-hidden": true });
    canvas.style.height = ROW + "px";
    const said = lane.chunks.length ? div({ class: "said", "aria-hidden": true }) : null;
    const track = div("track", canvas, said);
    const row = el("li", { class: "lane", "data-lane": lane.id }, label, track);
    Object.assign(row, { lane, label, canvas, said });
    this.#pointer(track, row);
    this.rows.set(lane, row);
    return row;
  }

  /** Let go of what watches the page. */
  close() {
    this.#seen.disconnect();
    this.#sized.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  // Where things are.

  /** Where the cursor is, as the axis counts. */
  get place() {
    return this.order ? this.cursor.n : this.cursor.t;
  }

  get length() {
    return this.order ? this.run.lastN : this.run.end || 1;
  }

  #x(value) {
    return PAD + ((value / this.length - this.#from) / (this.#to - this.#from)) * (this.width - 2 * PAD);
  }

  /** Where an instant is, in px from the left of the tracks. */
  xAt(t, n) {
    return this.#x(this.order ? n : t);
  }

  /** Where a thing is. */
  x(item) {
    return this.xAt(item.at, item.n);
  }

  #value(x) {
    return (((x - PAD) / (this.width - 2 * PAD)) * (this.#to - this.#from) + this.#from) * this.length;
  }

  // What the person does.

  /** Choose a lane and what happened on it; `enter` goes on to the details. */
  pick(lane, item = null, enter = false) {
    this.show(lane, item);
    this.choose(lane, item, enter);
  }

  /** Show a lane and a thing as chosen. */
  show(lane, item = null) {
    const row = this.rows.get(this.lane);
    if (row) {
      set(row.label, "aria-current", null);
      row.label.tabIndex = -1;
    }
    this.lane = lane;
    this.item = item;
    const now = this.rows.get(lane);
    if (now) {
      set(now.label, "aria-current", "true");
      now.label.tabIndex = 0;
    }
    if (item) this.moveTo({ t: item.at, n: item.n });
    this.refresh();
  }

  /** Scroll the lanes, though not the page, so that the chosen one is seen. */
  reveal() {
    this.element.scrollTop = (this.rows.get(this.lane)?.offsetTop ?? 0) - this.element.clientHeight / 2;
  }

  /** Put the cursor somewhere; what is seen follows. */
  moveTo(cursor) {
    this.cursor = cursor;
    const place = this.place / this.length;
    const part = this.#to - this.#from;
    if (place < this.#from || place > this.#to) this.#window(place - part / 2, place + part / 2);
    this.refresh();
    this.moved();
  }

  /** Choose between the time and the order of events. */
  setOrder(order) {
    this.order = order;
    this.fit();
  }

  /** Show more (above 1) or less of the axis, around the cursor or a value. */
  zoom(factor, around = this.place) {
    const middle = around / this.length;
    const part = Math.min(Math.max((this.#to - this.#from) * factor, 1 / MOST_ZOOM), 1);
    const share = (middle - this.#from) / (this.#to - this.#from);
    this.#window(middle - part * share, middle + part * (1 - share));
    this.refresh();
  }

  /** Show the whole axis. */
  fit() {
    this.#window(0, 1);
    this.refresh();
  }

  #window(from, to) {
    const part = Math.min(to - from, 1);
    this.#from = Math.min(Math.max(from, 0), 1 - part);
    this.#to = this.#from + part;
  }

  /** Show only the lanes that a text, the kinds and "with problems" leave. */
  filter() {
    let number = 0;
    for (const [lane, row] of this.rows) {
      const fits = !this.hidden.has(kindOf(lane)) && (!this.text || lane.matches(this.text));
      row.hidden = !fits;
      number += fits;
    }
    this.#none.hidden = number > 0 || !this.rows.size;
    this.refresh();
    return number;
  }

  get #shownLanes() {
    return this.run.lanes.filter(lane => !this.rows.get(lane).hidden);
  }

  /** Choose the next lane or the last one. */
  stepLane(by) {
    const lanes = this.#shownLanes;
    const index = lanes.indexOf(this.lane);
    const lane = lanes[index < 0 ? 0 : Math.min(Math.max(index + by, 0), lanes.length - 1)];
    if (!lane) return;
    this.pick(lane);
    this.rows.get(lane).label.focus();
  }

  /** Choose the next thing on the lane, or the last one; from the cursor, where none is chosen. */
  stepItem(by) {
    const items = this.lane?.items(this.order) ?? [];
    const next = items.indexOf(this.item) + by;
    const after = one => (this.order ? one.n : one.at) > this.place;
    const item = items.includes(this.item) ? items[next] : by > 0 ? items.find(after) : items.findLast(one => !after(one));
    if (!item) return announce(by > 0 ? "Nothing more on this lane" : "Nothing before on this lane");
    this.pick(this.lane, item);
    announce(`${this.clock(item)}: ${titleOf(item)}`);
  }

  #keys(event) {
    if (!event.target.classList.contains("lane-label")) return;
    const { key } = event;
    if (key === "ArrowDown") this.stepLane(1);
    else if (key === "ArrowUp") this.stepLane(-1);
    else if (key === "ArrowRight") this.stepItem(1);
    else if (key === "ArrowLeft") this.stepItem(-1);
    else if (key === "Home" || key === "End") this.pick(this.lane, this.lane.items(this.order).at(key === "Home" ? 0 : -1));
    else if (key === "Enter") this.pick(this.lane, this.item, true);
    else return;
    event.preventDefault();
  }

  #sliderKeys(event) {
    const far = (this.length * (this.#to - this.#from)) / 10;
    const to = {
      PageUp: this.place + far, PageDown: this.place - far, Home: 0, End: this.length,
    }[event.key];
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (to === undefined && !by) return;
    event.preventDefault();
    this.moveTo(by ? this.run.step(this.cursor, by, this.order) : this.run.at(to, this.order));
    announce(this.#told());
  }

  #told() {
    const item = this.run.under(this.cursor, this.order);
    const stream = this.lane?.chunks.length ? this.lane : this.run.lanes.find(lane => lane.chunks.length);
    const text = stream?.textAt(this.cursor, this.order)[0].slice(-80);
    return this.clock(this.cursor) + (item ? `: ${item.lane.raw.name}, ${titleOf(item)}` : "") + (text ? ". Read so far: " + text : "");
  }

  /** Return an instant as the axis says it. */
  clock({ t, at = t, n }) {
    return this.order ? `event ${n}` : duration(at);
  }

  #pointer(area, row = null) {
    let down = null;
    const x = event => event.clientX - this.#axis.getBoundingClientRect().left;
    const scrub = event => this.moveTo(this.run.at(this.#value(x(event)), this.order));
    set(area, "onpointerdown", event => {
      if (event.button !== 0) return;
      down = { x: x(event), moved: false };
      area.setPointerCapture(event.pointerId);
      if (row) return;
      this.#handle.focus({ preventScroll: true });
      scrub(event);
    });
    set(area, "onpointermove", event => {
      if (down) {
        if (Math.abs(x(event) - down.x) > 3) down.moved = true;
        if (down.moved) scrub(event);
      } else if (row && event.pointerType === "mouse") this.#hover(row, x(event));
    });
    set(area, "onpointerup", event => {
      if (down && !down.moved && row) this.#click(row, x(event));
      down = null;
    });
    set(area, "onpointercancel", () => (down = null));
    set(area, "onpointerleave", () => (this.#tip.hidden = true));
    area.addEventListener("wheel", event => {
      if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#value(x(event)));
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        const by = (((event.deltaX || event.deltaY) / this.width) * (this.#to - this.#from));
        this.#window(this.#from + by, this.#to + by);
        this.refresh();
      } else return;
      event.preventDefault();
    }, { passive: false });
  }

  #click(row, x) {
    const item = this.#nearest(row.lane, x);
    if (!item) this.moveTo(this.run.at(this.#value(x), this.order));
    this.pick(row.lane, item);
    row.label.focus({ preventScroll: true });
  }

  #nearest(lane, x) {
    let best = null;
    let distance = NEAR;
    for (const item of lane.items(this.order)) {
      const away = Math.abs(this.x(item) - x) - (item.event && item.kind !== "wait" ? 2 : 0);
      if (away < distance) [best, distance] = [item, away];
    }
    return best ?? lane.events.find(({ at, until }) => !this.order && until != null && this.#x(at) <= x && x <= this.#x(until));
  }

  #hover(row, x) {
    const item = this.#nearest(row.lane, x);
    this.#tip.hidden = !item;
    if (!item) return;
    fill(this.#tip, el("b", "", this.clock(item)), " ", titleOf(item));
    this.#tip.style.top = middleOf(row) + ROW / 2 + 4 + "px";
    this.#tip.style.left = this.#left + Math.max(Math.min(x, this.width - 240), 0) + "px";
  }

  get #left() {
    return this.#axis.offsetLeft;
  }

  // Drawing, once for whatever changed since the last frame.

  /** Draw again before the next frame. */
  refresh() {
    this.#frame ||= requestAnimationFrame(() => this.drawNow());
  }

  /** Draw now: what is in view, or all lanes. */
  drawNow(all = false) {
    this.#frame = 0;
    this.width = this.#axis.clientWidth;
    if (!this.width) return;
    const ink = palette();
    for (const row of all ? this.rows.values() : this.#visible) {
      if (row.hidden) continue;
      draw(row.canvas, row.lane, this, ink);
      if (row.said) this.#say(row);
    }
    this.#drawAxis();
    this.#drawLinks();
    const x = this.#x(this.place);
    const inside = x >= 0 && x <= this.width;
    this.#line.hidden = !inside;
    this.#handle.style.left = Math.min(Math.max(x, 0), this.width) + "px";
    this.#line.style.left = this.#left + x + "px";
    set(this.#handle, "aria-valuemax", this.length);
    set(this.#handle, "aria-valuenow", this.place);
    set(this.#handle, "aria-valuetext", this.#told());
    fill(this.#now, el("b", "", this.clock(this.cursor)), this.order ? ` · ${duration(this.cursor.t)}` : "");
  }

  #say(row) {
    const [read, waiting] = row.lane.textAt(this.cursor, this.order);
    const tail = (text, most) => (text.length > most ? "…" + text.slice(-most) : text);
    const line = text => text.replaceAll("\n", " ");
    fill(row.said, el("bdi", "", line(tail(read, 160)), waiting ? span("unread", line(tail(waiting, 80))) : null));
  }

  #drawAxis() {
    const [from, to] = [this.#from * this.length, this.#to * this.length];
    const step = niceStep((to - from) / Math.max(this.width / 90, 1), this.order);
    const marks = [];
    for (let i = Math.ceil(from / step - 1e-9); i * step <= to * (1 + 1e-9); i += 1) {
      if (this.#x(i * step) > this.width - 50) break; // its label has no room
      const mark = span("tick", this.order ? String(i * step) : duration(Number((i * step).toPrecision(12))));
      mark.style.left = this.#x(i * step) + "px";
      marks.push(mark);
    }
    fill(this.#ticks, marks);
  }

  #drawLinks() {
    this.#links.replaceChildren();
    const left = this.#left;
    for (const { kind, from, to } of this.run.raw.links ?? []) {
      const rows = [from, to].map(id => this.rows.get(this.run.byId.get(id)));
      if (rows.some(row => !row || row.hidden)) continue;
      const [first, second] = rows.sort((a, b) => a.lane.raw.first - b.lane.raw.first);
      const { raw } = first.lane;
      const x1 = left + this.xAt(raw.end ?? this.run.end, raw.last ?? this.run.lastN);
      const x2 = left + this.xAt(second.lane.raw.start, second.lane.raw.first);
      const [y1, y2] = [middleOf(first), middleOf(second)];
      const path = svg("path");
      const middle = (y1 + y2) / 2;
      path.setAttribute("d", `M${x1} ${y1 + 10} C${x1} ${middle} ${x2} ${middle} ${x2} ${y2 - 10} m-4 -6 l4 6 l4 -6`);
      path.setAttribute("data-kind", plain(kind));
      this.#links.append(path);
    }
  }
}

/** The height at which the canvas of a row has its middle, in px from the top of all rows. */
function middleOf(row) {
  return row.canvas.getBoundingClientRect().top - row.closest(".tracks").getBoundingClientRect().top + ROW / 2;
}

/** Return a step of an axis that people like: 1, 2 or 5 times a power of ten, of seconds, minutes or hours. */
function niceStep(least, whole) {
  const unit = whole || least <= 30 ? 1 : least <= 1800 ? 60 : 3600;
  const power = 10 ** Math.floor(Math.log10(Math.max(least / unit, whole ? 1 : 1e-9)));
  return unit * [1, 2, 5, 10].map(factor => factor * power).find(step => step * unit >= least * 0.999);
}

/** Return the tools over a time line: its axis, zoom, search, and kinds of lanes. */
export function toolbar(line, axis) {
  const found = span({ class: "muted small", role: "status" });
  const filter = () => {
    const number = line.filter();
    const all = line.run.lanes.length;
    fill(found, number === all ? count(all, "lane") : `${number} of ${count(all, "lane")}`);
  };
  const search = el("input", {
    class: "field search", type: "search", placeholder: "Find lanes", "aria-label": "Find lanes by what they say",
    oninput: () => {
      line.text = search.value.trim();
      filter();
    },
  });
  const kinds = [...Map.groupBy(line.run.lanes, kindOf)].map(([kind, lanes]) => {
    const one = button(count(lanes.length, kind), () => {
      const on = line.hidden.delete(kind) || !line.hidden.add(kind);
      set(one, "aria-pressed", on);
      filter();
    }, { "aria-pressed": true });
    return one;
  });
  filter();
  return put(div("row tools no-print"),
    axis,
    div({ class: "group", role: "group", "aria-label": "Zoom" },
      button("−", () => line.zoom(1.6), { class: "button icon", "aria-label": "Zoom out" }),
      button("+", () => line.zoom(0.625), { class: "button icon", "aria-label": "Zoom in" }),
      button("Fit", () => line.fit())),
    div({ class: "group", role: "group", "aria-label": "Kinds of lanes that are shown" }, kinds),
    search, found);
}

/** Return what the signs on the lanes mean. */
export function legend(kinds) {
  return el("ul", "legend small", kinds.filter(kind => kind !== "phase").map(kind =>
    el("li", "", signView(kind), span("", signOf(kind)[2]))));
}
