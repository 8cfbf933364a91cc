// One stream on the server's page: what is asked, what has been answered so far, and what one can do to it.

import { badge, button, count, duration, el, fill, openDialog, put, set, shown } from "./common.js";

const STATES = {
  exhausted: ["good", "read to its end"],
  closed: ["muted", "client left"],
  cancelled: ["warn", "cancelled"],
  broken: ["bad", "broken"],
  dropped: ["warn", "dropped"],
};
const RUN = { text: "", reasoning: "reasoning", refusal: "refusal", tool: "tool call", item: "" };
const WHOLE = 4000; // characters of a run that is shown anew with each piece, so that an emoji in two pieces is one

export class Stream {
  /**
   * @param told what the server told first
   * @param command gives the server a command; null where it takes none
   */
  constructor(told, command) {
    this.id = told.id;
    this.ordinal = told.ordinal;
    this.state = "open";
    this.command = command;
    this.runs = [];
    this.shownRuns = [];
    this.length = 0;
    this.frames = [];
    this.frameCount = 0;
    this.touched = false;
    this.badge = el("span");
    this.amount = el("span", "muted amount");
    this.text = el("div", "said");
    this.more = el("p", { class: "muted small", hidden: true }, "More is not shown.");
    this.reply = el("div", { class: "reply", tabindex: 0, role: "group", "aria-label": `Reply of stream ${told.ordinal}` },
      this.more, this.text);
    this.notes = el("ol", "notes");
    this.log = el("pre", { class: "log", tabindex: 0, "aria-label": `Frames of stream ${told.ordinal}` });
    this.request = el("div", "stack");
    this.summary = el("summary", { "data-key": `stream-${told.id}` },
      this.badge,
      el("b", "", `Stream ${told.ordinal}`),
      el("span", "asked grow", told.asked || "(nothing asked)"),
      el("span", "muted small about", [told.model, told.provider].filter(Boolean).join(", ")),
      this.amount);
    this.hold = this.#button("Hold", () => this.toggle(), "Nothing more passes, until it is let go");
    this.actions = el("div", { class: "row actions", role: "group", "aria-label": `Commands for stream ${told.ordinal}` },
      this.hold,
      this.#button("Step", () => this.step(), "One chunk passes, at once; then it is held"),
      this.#button("Stall…", () => this.#askStall(), "It falls silent, for some time or until it is let go"),
      this.#button("Error…", () => this.#askError(), "It ends with an error as its provider would send it"),
      this.#button("Cut", () => this.#do("cut"), "The connection is closed in the middle of the body (FIN)"),
      this.#button("Reset", () => this.#do("reset"), "The connection is reset (RST)"));
    if (!command) this.actions.hidden = true;
    const label = command ? "Request and frames" : "Frames";
    this.inside = el("details", { class: "more", ontoggle: () => this.inside.open && (this.#look(), this.#render()) },
      el("summary", { "aria-label": `${label} of stream ${told.ordinal}` }, label),
      el("div", "stack", this.request, el("h3", "", "Latest frames"), this.log));
    this.details = el("details", { class: "card stream", open: true, ontoggle: () => this.details.open && this.#render() },
      this.summary,
      el("div", "stack body",
        el("p", "muted small", `${told.method} ${told.path} from ${told.client} at ${new Date(told.began).toLocaleTimeString()}`),
        this.actions, this.reply, this.notes, this.inside)); // what is clicked stands above what grows
    this.summary.addEventListener("click", () => (this.touched = true));
    this.element = el("li", { "data-ordinal": told.ordinal }, this.details);
  }

  #button(label, run, title) {
    return button(label, run, { title, "data-key": `${label}-${this.id}`, "aria-label": `${label} stream ${this.ordinal}` });
  }

  /** Take in what the server tells. What is folded shows one line, and nothing else of it is made. */
  tell(told) {
    const wasOpen = this.state === "open";
    this.state = told.state;
    this.held = told.held;
    const isOpen = told.state === "open";
    const [kind, word] = isOpen ? waiting(told) ?? ["live", "playing"] : STATES[told.state];
    this.word = word;
    const status = told.status === 200 ? "" : ` (${told.status})`;
    if (this.badge.dataset.word !== word + status) {
      this.badge.dataset.word = word + status;
      fill(this.badge, kind === "live" ? el("span", "badge live", el("span", { "aria-hidden": true }, "▸"), word) : badge(kind, word + status));
      set(this.element, "class", isOpen ? (kind === "warn" ? "is-held" : "is-open") : "is-over");
      set(this.hold, "aria-pressed", isOpen && told.held);
      fill(this.hold, el("span", "", told.held ? "Let go" : "Hold"));
      set(this.hold, "aria-label", `${told.held ? "Let go" : "Hold"} stream ${this.ordinal}`);
    }
    this.amount.textContent = told.of === 0 ? "" : told.of === null ? count(told.chunks, "chunk") : `${told.chunks} of ${count(told.of, "chunk")}`;
    this.#hear(told);
    if (this.details.open) this.#render();
    if (!isOpen && wasOpen) {
      if (this.actions.contains(document.activeElement)) this.summary.focus();
      this.actions.hidden = true;
    }
  }

  /** Take in the text, the frames and the notes. */
  #hear({ at, add, cut, frames, frame_count: frameCount, notes }) {
    if (at < this.length) {
      this.runs = [];
      this.length = 0;
    }
    for (const [kind, text] of add) {
      if (this.runs.at(-1)?.kind !== kind) this.runs.push({ kind, text: "" });
      this.runs.at(-1).text += text;
      this.length += text.length;
    }
    const news = frameCount - this.frameCount;
    if (news > 0) this.frames = [...this.frames, ...frames.slice(-news)].slice(-20);
    this.frameCount = frameCount;
    this.cut = cut;
    this.happened = notes;
  }

  /** Show what is not shown yet. */
  #render() {
    if (this.shownRuns.length > this.runs.length || this.runs.some((run, i) => !run.text.startsWith(this.shownRuns[i]?.text ?? ""))) {
      this.shownRuns = [];
      this.text.replaceChildren();
    }
    for (const [i, run] of this.runs.entries()) {
      let there = this.shownRuns[i];
      if (!there) {
        there = { text: "", body: el("span") };
        this.shownRuns.push(there);
        put(this.text, el("p", `run ${run.kind}`, RUN[run.kind] && el("span", "label", RUN[run.kind]), there.body));
      }
      if (there.text.length === run.text.length) continue;
      if (run.text.length <= WHOLE) fill(there.body, shown(run.text, Infinity));
      else put(there.body, shown(run.text.slice(there.text.length), Infinity));
      there.text = run.text;
    }
    this.more.hidden = !this.cut;
    if (this.shownFrames !== this.frameCount && this.inside.open) {
      this.shownFrames = this.frameCount;
      fill(this.log, shown(this.frames.join("\n"), 20000));
    }
    const last = this.happened.length + String(this.happened.at(-1));
    if (this.lastNote !== last) {
      this.lastNote = last;
      fill(this.notes, this.happened.map(([time, text]) => el("li", "row", el("span", "muted number", duration(time)), el("span", "", text))));
    }
  }

  /** Whether it may be folded to make room: nobody holds it, has unfolded it, or is at it. */
  get isIdle() {
    return this.details.open && !this.held && !this.touched && !this.details.contains(document.activeElement);
  }

  fold() {
    this.details.open = false;
  }

  #do(name, said = {}) {
    return this.command(name, { stream: this.id, ...said });
  }

  /** Hold it, or let it go. */
  toggle() {
    if (this.state === "open") this.#do(this.held ? "let_go" : "hold");
  }

  /** Let one chunk pass. */
  step() {
    if (this.state === "open") this.#do("step");
  }

  #askStall() {
    const seconds = field("How long", { placeholder: "until it is let go", autocomplete: "off" });
    ask(`Stall stream ${this.ordinal}`, "Stall", [seconds, el("p", "muted small", "Seconds, or 500ms, 2m. Left empty, it is silent until you let it go.")],
      () => this.#do("stall", { seconds: amount(seconds.input.value) }));
  }

  #askError() {
    const message = field("Message", { placeholder: "The server had an error while processing your request" });
    const type = field("Type", { placeholder: "the usual one of this wire format, such as server_error", autocapitalize: "none" });
    const code = field("Code", { placeholder: "where the format has one", autocapitalize: "none" });
    ask(`Send an error to stream ${this.ordinal}`, "Send", [message, type, code],
      () => this.#do("error", { message: message.input.value, type: type.input.value, code: code.input.value }));
  }

  async #look() {
    if (!this.command || this.looked) return;
    this.looked = true;
    const told = await this.command("look", { stream: this.id });
    if (told.refused) return;
    const headers = Object.entries(told.headers);
    fill(this.request,
      el("h3", "", "Headers"),
      el("pre", { class: "log", tabindex: 0, "aria-label": `Headers of stream ${this.ordinal}` }, shown(headers.map(([name, value]) => `${name}: ${value}`).join("\n"), Infinity)),
      el("h3", "", "Body"),
      el("pre", { class: "log", tabindex: 0, "aria-label": `Body of stream ${this.ordinal}` }, shown(told.body, Infinity)),
      told.cut ? el("p", "muted small", `${count(told.cut, "character")} more`) : null);
  }
}

/** Return how a stream that plays shows that nothing comes: somebody holds it, or it stalls; null if neither. */
function waiting({ held, stalled }) {
  const words = [held && stalled !== "by hand" && "held", stalled && `stalled ${stalled}`].filter(Boolean);
  return words.length ? ["warn", words.join(", ")] : null;
}

/** Return what somebody has typed for a number of seconds, as the server takes it: a number, or text with a unit. */
function amount(text) {
  const trimmed = text.trim();
  return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

function field(label, properties) {
  const input = el("input", { class: "field wide", type: "text", spellcheck: "false", ...properties });
  const element = el("label", "stack tight", el("span", "small", label), input);
  element.input = input;
  return element;
}

/** Ask in a dialog; where the server refuses, it stays open and says why. */
function ask(title, label, fields, run) {
  const why = el("pre", { class: "bad", role: "alert" });
  const form = el("form", {
    class: "stack",
    onsubmit: async (event) => {
      event.preventDefault();
      const told = await run();
      if (told.refused) fill(why, told.error);
      else dialog.close();
    },
  }, fields, why, el("div", "row", el("button", { type: "submit", class: "button main" }, label)));
  const dialog = openDialog(title, form);
  form.querySelector("input").focus();
}
