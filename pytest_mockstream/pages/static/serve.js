import { announce, badge, button, count, el, fill, pageData, put, set, shortcuts, themeSwitch } from "./common.js";
import { Editor } from "./serve_editor.js";
import { Stream } from "./serve_stream.js";

const data = pageData();
const obeys = data.token !== null;

const notice = el("div", { class: "notice", role: "alert" });

/** Say at the top of the page what went wrong; with nothing to say, be silent. */
function complain(text) {
  fill(notice, text ? el("div", "card row complaint", el("pre", "grow", text), button("Dismiss", () => complain(""))) : null);
}

/** Give the server a command; return what it answers, or null if it refused, which has been told then. */
async function command(name, said = {}) {
  let answered;
  try {
    answered = await fetch(data.command, {
      method: "POST",
      headers: { "content-type": "application/json", "x-mockstream-token": data.token },
      body: JSON.stringify({ command: name, ...said }),
    });
    const told = await answered.json();
    if (answered.ok) {
      complain("");
      return told;
    }
    complain(told.error);
    return { error: told.error, status: answered.status, refused: true };
  } catch (error) {
    complain(`The server did not answer: ${error.message}`);
    return { error: error.message, status: 0, refused: true };
  }
}

// The streams.

const streams = new Map();
const list = el("ol", { class: "streams", "aria-label": "Streams, the latest first" });
const nothing = el("p", "muted card", "No request has come yet. Point a client at ", el("code", "", data.address), " and ask something.");
const totals = el("span", "muted");
const forgotten = el("p", { class: "muted small", hidden: true });
const earlier = button("", () => {
  showsAll = true;
  tidy();
}, { hidden: true });
const holdNew = button("Hold new streams", () => command("hold_new", { on: holdNew.getAttribute("aria-pressed") !== "true" }), {
  "aria-pressed": false,
  title: "Each stream that begins is held before its first chunk",
});
const dropAll = button("Drop all connections", () => command("reset_all"), { class: "button danger", title: "Resets (RST) whatever is connected, but for this page" });

function tellStream(told) {
  let stream = streams.get(told.id);
  if (!stream) {
    stream = new Stream(told, obeys ? command : null);
    streams.set(told.id, stream);
    const after = [...list.children].find((item) => Number(item.dataset.ordinal) < told.ordinal) ?? null;
    list.insertBefore(stream.element, after);
    began += 1;
  }
  const before = stream.state;
  stream.tell(told);
  if (before === "open" && stream.state !== "open") ended.push(stream);
}

const SHOWN = 15; // streams that are over, unless somebody asks for all
let showsAll = false;

const UNFOLDED = 8; // streams that play, unless somebody unfolds more

/** Show the latest streams that are over, and all that play; unfold the latest ones. */
function tidy() {
  let unfolded = 0;
  for (const stream of [...streams.values()].reverse()) {
    if (!stream.isIdle) continue;
    unfolded += 1;
    if (unfolded > UNFOLDED || (unfolded > 1 && stream.state !== "open")) stream.fold();
  }
  let over = 0;
  for (const item of list.children) {
    if (!item.classList.contains("is-over") || item.contains(document.activeElement)) item.hidden = false;
    else item.hidden = ++over > SHOWN && !showsAll;
  }
  earlier.hidden = over <= SHOWN || showsAll;
  if (!earlier.hidden) fill(earlier, `Show ${count(over - SHOWN, "earlier stream")}`);
}

function forget(id) {
  streams.get(id)?.element.remove();
  streams.delete(id);
}

// What a screen reader hears: what has happened since it was told last, at most every two seconds.

let began = 0;
let ended = [];
let timer = null;

function hear() {
  if (timer !== null || (!began && !ended.length)) return;
  const say = () => {
    timer = null;
    const parts = [];
    if (began) parts.push(`${count(began, "stream")} began`);
    if (ended.length === 1) parts.push(`stream ${ended[0].ordinal} ended: ${ended[0].word}`);
    else if (ended.length) parts.push(`${ended.length} ended`);
    began = 0;
    ended = [];
    if (parts.length) announce(parts.join(", "));
  };
  say();
  timer = setTimeout(() => {
    say();
    hear();
  }, 2000);
}

// Scripts, connections, the file.

const scripts = el("div", "stack");
const connections = el("div", "stack");
const editor = new Editor(obeys ? command : null);

/** Fill an element anew, and leave the focus on what it was on, told by its data-key. */
function refill(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  fill(element, children);
  if (key) element.querySelector(`[data-key="${key}"]`)?.focus();
}

function tellScripts({ count: all, listed, default: text }) {
  if (!all) {
    refill(scripts, el("p", "muted", "There are no scripts: every request gets the default text."), el("p", "steps", (text ?? []).join(" ")));
    return;
  }
  const rows = listed.map((one) => {
    const times = one.times === null ? "any number of times" : `of ${count(one.times, "time")}`;
    const next = obeys && button(one.next ? "Is next" : "Play next", () => command("next", { script: one.next ? null : one.number }), {
      "aria-pressed": one.next,
      "aria-label": `${one.next ? "Is next" : "Play next"}: script ${one.number}`,
      "data-key": `next-${one.number}`,
      title: "The next request gets this script, whatever it asks",
    });
    const go = one.line && editor.has && button(`line ${one.line}`, () => editor.goTo(one.line), { class: "button plain small", "data-key": `line-${one.number}`, "aria-label": `Script ${one.number}: go to line ${one.line}` });
    return el("li", { class: "script" + (one.left ? "" : " used") },
      el("div", "row", el("b", "", `Script ${one.number}`), el("span", "muted", one.when), go),
      el("p", "steps", one.steps.map((step) => el("code", "", step))),
      el("div", "row", el("span", "grow muted small", `played ${one.played}, ${times}${one.left ? "" : ": used up"}`), next));
  });
  refill(scripts, el("ol", "stack", rows), all > listed.length && el("p", "muted", `and ${all - listed.length} more`));
}

function tellConnections({ count: all, listed, pages }) {
  const does = (what) => (typeof what === "number" ? `stream ${streams.get(what)?.ordinal ?? what}` : what);
  refill(connections,
    el("p", "muted", `${count(all, "connection")}, ${count(pages, "page")} following`),
    el("ul", "clients", listed.map((one) => el("li", "row", el("span", "mono grow", one.client), el("span", "muted", does(one.does))))),
    all > listed.length && el("p", "muted", `and ${all - listed.length} more`));
}

const link = el("span", { class: "link", role: "status" });

function tellLink(kind, word) {
  if (link.dataset.word !== word) fill(link, badge(kind, word));
  link.dataset.word = word;
}

// What the server tells.

function tell(news) {
  if (news.start !== data.start) {
    editor.keepDraft();
    location.reload();
    return;
  }
  if (isFresh) {
    isFresh = false;
    const there = new Set(news.streams.map((one) => one.id));
    for (const id of [...streams.keys()]) if (!there.has(id)) forget(id);
  }
  for (const id of news.gone ?? []) forget(id);
  for (const told of news.streams) tellStream(told);
  if (news.scripts) tellScripts(news.scripts);
  if (news.connections) tellConnections(news.connections);
  if (news.file) editor.tell(news.file);
  if (news.settings) set(holdNew, "aria-pressed", news.settings.hold_new);
  if (news.totals) {
    fill(totals, `${news.totals.playing} playing, ${news.totals.streams} in all`);
    const folded = news.totals.streams - news.totals.shown;
    forgotten.hidden = folded <= 0;
    fill(forgotten, `${count(folded, "earlier stream")} not shown any more.`);
    document.title = `${news.totals.playing ? `(${news.totals.playing}) ` : ""}${title}`;
  }
  nothing.hidden = streams.size > 0;
  tidy();
  hear();
}

let isFresh = true;
const title = document.title;

function follow() {
  const source = new EventSource(data.events);
  source.onopen = () => {
    isFresh = true;
    tellLink("good", "live");
  };
  source.onmessage = (event) => tell(JSON.parse(event.data));
  source.onerror = () => {
    tellLink("warn", "reconnecting");
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  };
}

// Keys.

function chosen() {
  const playing = [...streams.values()].filter((stream) => stream.state === "open").sort((a, b) => b.ordinal - a.ordinal);
  return [...streams.values()].find((stream) => stream.element.contains(document.activeElement)) ?? playing[0];
}

function move(by) {
  const all = [...list.children].filter((item) => !item.hidden);
  const at = all.findIndex((item) => item.contains(document.activeElement));
  all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]?.querySelector("summary").focus();
}

const help = shortcuts([
  [["j"], "The next stream below", () => move(1)],
  [["k"], "The stream above", () => move(-1)],
  ...(obeys
    ? [
        [["h"], "Hold the stream that has the focus, or the latest; let it go", () => chosen()?.toggle() ?? false],
        [["s"], "Let one chunk of it pass", () => chosen()?.step() ?? false],
        [["n"], "Hold new streams, or no longer", () => holdNew.click()],
      ]
    : []),
  ...(editor.has ? [[["e"], "Edit the script", () => editor.focus()]] : []),
]);

put(document.body,
  el("header", "page-head row",
    el("h1", "grow", data.name),
    el("span", "mono muted", data.address),
    link,
    button("Keyboard", help, { class: "button plain" }),
    themeSwitch()),
  el("main", "board",
    notice,
    data.why_no_commands && el("p", "card warn-card", `You can only look on here: ${data.why_no_commands}.`),
    el("section", { class: "stack side-a", "aria-labelledby": "streams" },
      el("div", "row", el("h2", { id: "streams" }, "Streams"), el("span", "grow", totals), obeys && [holdNew, dropAll]),
      nothing, list, earlier, forgotten),
    el("div", "stack side-b",
      el("section", { class: "card stack", "aria-labelledby": "scripts" }, el("h2", { id: "scripts" }, "Scripts"), scripts),
      editor.element,
      el("section", { class: "card stack", "aria-labelledby": "connections" }, el("h2", { id: "connections" }, "Connected"), connections))));
tellLink("muted", "connecting");
follow();
