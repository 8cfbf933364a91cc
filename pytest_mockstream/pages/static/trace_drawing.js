// Draws a lane on its canvas: its bar, chunks with their text, and a sign for each event.
import { el, plain, span } from "./common.js";

export const ROW = 30;
const MIDDLE = ROW / 2;
const BAR = 20;
const TOP = MIDDLE - BAR / 2;

/**
 * The sign of each kind of event, its colour, and its name where that is another; the worst first. Signs differ in shape,
 * so colour is never alone.
 */
const SIGNS = {
  __proto__: null, // what a trace names may be anything
  leak: ["!", "bad"],
  finding: ["?", "bad"],
  error: ["✕", "bad"],
  fault: ["▲", "warn"],
  timeout: ["T", "warn"],
  cancelled: ["⊘", "warn"],
  drop: ["◇", "warn", "dropped unclosed"],
  retry: ["↻", "violet"],
  gate: ["G", "violet", "held by a gate"],
  held: ["‖", "violet", "held by hand"],
  command: ["⌘", "violet"],
  pause: ["P", "warn", "the reader paused"],
  wait: ["w", "muted"],
  request: ["▸", "accent"],
  answered: ["◂", "accent"],
  started: ["▸", "muted"],
  close: ["■", "accent", "closed"],
  end: ["●", "accent"],
  phase: ["|", "muted"],
};

/** Return the sign of a kind of event, its colour, and its name. */
export function signOf(kind) {
  const [sign, tone, name = kind] = SIGNS[kind] ?? ["·", "muted"];
  return [sign, tone, name];
}

/** Return the sign of a kind of event as an element. */
export function signView(kind) {
  const [sign, tone] = signOf(kind);
  return span({ class: "sign " + tone, "aria-hidden": true }, sign);
}

const TONES = ["surface", "raised", "line", "edge", "ink", "muted", "accent", "wash", "bad", "bad-wash", "warn", "violet"];

/** Return the colours of the theme as it is now, as canvases need them. */
export function palette() {
  const probe = document.body.appendChild(el("span"));
  const style = getComputedStyle(probe);
  probe.style.forcedColorAdjust = "none"; // else all would be the same where a person chose the colours
  const ink = { mono: style.getPropertyValue("--mono") };
  for (const name of TONES) {
    probe.style.color = `var(--${name})`;
    ink[name] = style.color;
  }
  probe.remove();
  return ink;
}

/**
 * Draw a lane.
 *
 * @param canvas the canvas, as wide as the track.
 * @param lane the lane.
 * @param view the time line: its `width` in px, `x(item)`, `xAt(t, n)`, `order`, and `item`, which is chosen.
 * @param ink the palette.
 */
export function draw(canvas, lane, view, ink) {
  const scale = devicePixelRatio || 1;
  const { width } = view;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(ROW * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  drawBar(pen, lane, view, ink);
  drawSpans(pen, lane, view, ink);
  drawChunks(pen, lane, view, ink);
  drawSigns(pen, lane, view, ink);
}

function drawBar(pen, lane, view, ink) {
  const { raw, run } = lane;
  const from = Math.max(view.xAt(raw.start, raw.first ?? 0), -20);
  const open = raw.end == null;
  const to = Math.min(view.xAt(raw.end ?? run.end, raw.last ?? run.lastN), view.width + 20);
  const phase = raw.kind === "test" || raw.kind === "fixture";
  pen.beginPath();
  pen.roundRect(from, TOP, Math.max(to - from, 3), BAR, open ? [4, 0, 0, 4] : 4);
  pen.fillStyle = raw.leaked ? ink["bad-wash"] : phase ? ink.raised : ink.wash;
  pen.fill();
  pen.strokeStyle = raw.leaked ? ink.bad : phase ? ink.line : raw.kind === "request" ? ink.accent : ink.edge;
  pen.lineWidth = 1;
  pen.setLineDash(raw.kind === "task" ? [5, 2] : raw.kind === "thread" ? [1.5, 1.5] : []);
  pen.stroke();
  pen.setLineDash([]);
  if (raw.leaked) hatch(pen, from, to, ink.bad, 9);
}

/** Oblique lines from one x to another, as on what should not be there. */
function hatch(pen, from, to, colour, distance) {
  pen.save();
  pen.beginPath();
  pen.rect(from, TOP, to - from, BAR);
  pen.clip();
  pen.strokeStyle = colour;
  pen.globalAlpha = 0.3;
  pen.beginPath();
  for (let x = Math.max(from, 0) - BAR; x < to; x += distance) {
    pen.moveTo(x, TOP + BAR);
    pen.lineTo(x + BAR, TOP);
  }
  pen.stroke();
  pen.restore();
}

/** What lasted: waits are dotted lines, gates and pauses hatched. */
function drawSpans(pen, lane, view, ink) {
  if (view.order) return;
  for (const item of lane.events) {
    if (item.until == null) continue;
    const from = Math.max(view.x(item), 0);
    const to = Math.min(view.xAt(item.until, 0), view.width);
    if (to - from < 1) continue;
    const colour = ink[signOf(item.kind)[1]];
    if (item.kind === "wait") {
      pen.strokeStyle = colour;
      pen.setLineDash([1, 4]);
      pen.beginPath();
      pen.moveTo(from, MIDDLE);
      pen.lineTo(to, MIDDLE);
      pen.stroke();
      pen.setLineDash([]);
    } else hatch(pen, from, to, colour, 5);
  }
}

/** The colour of each kind of chunk, its top on the bar, and its height. */
const CHUNKS = { __proto__: null, text: ["accent", 2, 16], reasoning: ["violet", 2, 8], tool: ["warn", 10, 8] };

function drawChunks(pen, lane, view, ink) {
  pen.font = `11px ${ink.mono}`;
  pen.textBaseline = "middle";
  const end = view.xAt(lane.raw.end ?? lane.run.end, lane.raw.last ?? lane.run.lastN);
  const letter = pen.measureText("m").width;
  for (let i = 0; i < lane.chunks.length; i += 1) {
    const chunk = lane.chunks[i];
    const x = view.x(chunk);
    if (x < -200) continue;
    if (x > view.width + 2) break;
    const [tone, top, height] = CHUNKS[chunk.kind] ?? ["muted", 7, 6];
    if (chunk.read === null) {
      pen.strokeStyle = ink[tone];
      pen.strokeRect(x - 1.5, TOP + top + 0.5, 3, height - 1);
    } else {
      pen.fillStyle = ink[tone];
      pen.fillRect(x - 1, TOP + top, 2, height);
      const read = view.order ? x : view.xAt(chunk.read, chunk.n);
      if (read - x > 2) pen.fillRect(x, TOP + BAR - 3, read - x, 1);
    }
    const next = i + 1 < lane.chunks.length ? view.x(lane.chunks[i + 1]) : end;
    const room = Math.floor((next - x - 8) / letter);
    if (room >= 2 && chunk.text) {
      let text = plain(chunk.text.slice(0, 200)).replaceAll("\n", "⏎");
      if (text.length > room) text = text.slice(0, room - 1) + "…";
      pen.fillStyle = chunk.read === null ? ink.muted : ink.ink;
      pen.fillText(text, x + 4, MIDDLE + 0.5);
    }
  }
}

/** Signs of events; where they would cover one another, the worse one is above, and the others stay in the list. */
function drawSigns(pen, lane, view, ink) {
  pen.textAlign = "center";
  const order = Object.keys(SIGNS);
  const shown = lane.events
    .filter(item => item.kind !== "wait" && item.kind !== "phase")
    .sort((a, b) => order.indexOf(b.kind) - order.indexOf(a.kind));
  const chosen = view.item?.lane === lane ? view.item : null;
  if (chosen?.event && !shown.includes(chosen)) shown.push(chosen);
  for (const item of shown) {
    const x = view.x(item);
    if (x < -10 || x > view.width + 10) continue;
    if (item.kind === "pause" && !view.order && item !== chosen && view.xAt(item.until, 0) - x < 18) continue;
    const [sign, name] = signOf(item.kind);
    pen.beginPath();
    pen.arc(x, MIDDLE, 8, 0, 7);
    pen.fillStyle = name === "bad" ? ink.bad : ink.surface;
    pen.fill();
    pen.strokeStyle = ink[name];
    pen.lineWidth = 1.25;
    pen.stroke();
    pen.fillStyle = name === "bad" ? ink.surface : ink[name];
    pen.font = "bold 11px system-ui, sans-serif";
    pen.fillText(sign, x, MIDDLE + 0.75);
  }
  if (chosen) {
    pen.strokeStyle = ink.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    if (chosen.event) pen.arc(view.x(chosen), MIDDLE, 11, 0, 7);
    else pen.roundRect(view.x(chosen) - 4.5, 1.5, 9, ROW - 3, 3);
    pen.stroke();
  }
  pen.textAlign = "start";
}
