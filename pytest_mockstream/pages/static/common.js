// What all pages use: elements made without markup, text whose every character can be seen, theme, dialogs, keys.

/** Return what the page was made to show. */
export function pageData() {
  return JSON.parse(document.getElementById("data").textContent);
}

// Control and format characters (bidi marks among them), lone surrogates, separators of lines, and what Unicode says to
// show as nothing; but line ends and tabs, and what joins or shapes an emoji inside of one.
const INVISIBLE =
  /(?<![\p{Emoji}\u{1f3fb}-\u{1f3ff}])\ufe0f|(?<![\p{Emoji}\ufe0f])\u200d|\u200d(?!\p{Emoji})|[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}]--[\n\t\u200d\ufe0f]]/gv;

const codePoint = char => "U+" + char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

const LONG = 2000; // characters of a text where not all of it is asked for

function cropped(text, most) {
  text = String(text);
  return text.length > most ? `${text.slice(0, most)}… (${text.length.toLocaleString("en")} characters)` : text;
}

/** Return a text with the code points of invisible characters in their places: for attributes, titles, canvases. */
export function plain(text) {
  return cropped(text, LONG).replace(INVISIBLE, codePoint);
}

/** Return nodes that show a text, the invisible characters marked as code points. All text of data goes through here. */
export function shown(text, most = LONG) {
  text = cropped(text, most);
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(INVISIBLE)) {
    if (match.index > from) nodes.push(document.createTextNode(text.slice(from, match.index)));
    nodes.push(span("codepoint", codePoint(match[0])));
    from = match.index + match[0].length;
  }
  if (from < text.length) nodes.push(document.createTextNode(text.slice(from)));
  return nodes;
}

/**
 * Make an element. `el("button", { class: "button", "aria-pressed": false, onclick: run }, "Label", icon)`.
 * Properties that begin with "on" are listeners; true, false and null set or leave out an attribute, but for "aria-…",
 * where true and false are the words. A text in their place is the class. Children are nodes, lists of them, or text,
 * which is shown by `shown`.
 */
export function el(tag, properties = "", ...children) {
  const element = document.createElement(tag);
  if (typeof properties === "string") properties = { class: properties || null };
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  put(element, children);
  return element;
}

/** Make a div, as `el` does. */
export const div = (...given) => el("div", ...given);

/** Make a span, as `el` does. */
export const span = (...given) => el("span", ...given);

/** Set or remove an attribute, or add a listener, as `el` does. */
export function set(element, name, value) {
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (value == null || (value === false && !name.startsWith("aria-")))
    element.removeAttribute(name);
  else element.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : plain(value));
}

/** Append children to an element, as `el` does. */
export function put(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false) continue;
    element.append(...(child instanceof Node ? [child] : shown(child)));
  }
  return element;
}

/** Put children in the place of those that an element has. */
export function fill(element, ...children) {
  element.replaceChildren();
  return put(element, children);
}

/** Return "1 chunk", "2 chunks". */
export function count(number, one, many = one + "s") {
  return number.toLocaleString("en") + " " + (number === 1 ? one : many);
}

/** Return seconds as people read them: 250 µs, 12.5 ms, 1.25 s, 2 min 5 s, 10 h 0 min. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const size = Math.abs(seconds);
  const digits = (value, most) => String(Number(value.toFixed(most)));
  if (size === 0) return "0 s";
  if (size < 0.001) return digits(seconds * 1e6, 0) + " µs";
  if (size < 1) return digits(seconds * 1e3, size < 0.1 ? 2 : 1) + " ms";
  if (size < 120) return digits(seconds, size < 10 ? 3 : 2) + " s";
  if (size < 7200) return Math.floor(seconds / 60) + " min " + digits(seconds % 60, 0) + " s";
  return Math.floor(seconds / 3600) + " h " + digits((seconds % 3600) / 60, 0) + " min";
}

const SYMBOLS = { bad: "✕", good: "✓", warn: "!", muted: "–" };

/** Return a word that says how something ended, with a symbol: kind is bad, good, warn or muted. */
export function badge(kind, word) {
  return span({ class: "badge " + kind }, span({ "aria-hidden": true }, SYMBOLS[kind]), span("", word));
}

let region;

/** Let a screen reader say something; what is said in quick succession replaces one another. */
export function announce(text) {
  if (!region) document.body.append((region = div({ class: "only-heard", role: "status", "aria-live": "polite" })));
  region.textContent = plain(text);
}

/** Return a button, with a text or elements on it. */
export function button(label, run, properties = {}) {
  const face = Array.isArray(label) ? label : span("", label);
  return el("button", { type: "button", class: "button", onclick: run, ...properties }, face);
}

/** Return buttons of which one is on: `choice("Axis", [["time", "Time"], ["order", "Order"]], "time", value => …)`. */
export function choice(label, options, chosen, change) {
  const group = div({ class: "group", role: "group", "aria-label": label });
  for (const [value, text] of options) {
    const pick = () => {
      for (const one of group.children) set(one, "aria-pressed", one.dataset.value === value);
      change(value);
    };
    group.append(button(text, pick, { "data-value": value, "aria-pressed": value === chosen }));
  }
  return group;
}

/** Return what the browser kept of a choice, or "". */
function kept(name) {
  try {
    return localStorage.getItem("pytest-mockstream " + name) ?? "";
  } catch {
    return ""; // a page of a file may have no storage
  }
}

function keep(name, value) {
  try {
    localStorage.setItem("pytest-mockstream " + name, value);
  } catch {
    // It holds until the page is closed.
  }
}

const THEMES = [["", "Auto"], ["light", "Light"], ["dark", "Dark"]];

/** Return the switch between light, dark and what the system says. The choice is kept, where the browser lets it. */
export function themeSwitch(changed = () => {}) {
  const theme = kept("theme");
  const apply = value => set(document.documentElement, "data-theme", value || null);
  apply(theme);
  return choice("Theme", THEMES, theme, value => {
    apply(value);
    keep("theme", value);
    changed();
  });
}

/** Open a dialog, which the Escape key, its button, and a click beside it close. */
export function openDialog(title, ...body) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const close = button("Close", () => dialog.close());
  const dialog = el(
    "dialog",
    { "aria-labelledby": "dialog-title", closedby: "any", onclose: () => dialog.remove() },
    div("dialog-head", heading, close),
    div({ class: "dialog-body", tabindex: 0 }, body),
  );
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Listen to keys: a list of [keys, what they do, run], keys as in `KeyboardEvent.key`. "?" shows the list.
 * A key does nothing while one types, or while a dialog is open. `run` returns false where the key is not for it.
 */
export function shortcuts(list) {
  let on = kept("keys") !== "off";
  const help = () => {
    const single = el("input", { type: "checkbox", onchange: () => keep("keys", (on = single.checked) ? "on" : "off") });
    single.checked = on;
    openDialog(
      "Keyboard",
      div("keys", all.map(([keys, label]) => [
        span("", keys.map(key => [el("kbd", "", KEY_NAMES[key] ?? key), " "])),
        span("", label),
      ])),
      el("label", "row", single, "Keys that are a single character"),
    );
  };
  const all = [...list, [["?"], "Show this list", help]];
  addEventListener("keydown", event => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!on && event.key.length === 1) return;
    if (event.target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, dialog")) return;
    const found = all.find(([keys]) => keys.includes(event.key));
    if (found && found[2](event) !== false) event.preventDefault();
  });
  return help;
}

const KEY_NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc" };

/** Return a button that copies a text; none where the browser does not let a page copy. */
export function copyButton(text) {
  if (!navigator.clipboard) return null;
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(text);
    announce("Copied");
    copy.textContent = "Copied";
  });
  return copy;
}

/** Save a text as a file of the person who looks at the page. */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text]));
  el("a", { href: url, download: name }).click();
}
