// The text of the script on the server's page: edited, checked while one types, played, saved.

import { announce, badge, button, count, el, fill, set } from "./common.js";

const PAUSE = 400; // milliseconds without a key before a text is checked
const DRAFT = "pytest-mockstream draft";

export class Editor {
  /** @param command gives the server a command; null where it takes none */
  constructor(command) {
    this.command = command;
    this.has = false;
    this.known = null;
    this.isWrong = false;
    this.base = null;
    this.path = el("span", "mono muted small");
    this.playing = el("span");
    this.changed = el("div", { class: "stack", role: "status" });
    this.problems = el("ol", { class: "problems", id: "problems" });
    this.verdict = el("p", { class: "small", id: "verdict", role: "status" });
    this.numbers = el("pre", { class: "numbers", "aria-hidden": true });
    this.area = el("textarea", {
      class: "text", id: "script-text", rows: 16, spellcheck: "false", autocapitalize: "none", autocomplete: "off", wrap: "off",
      "aria-label": "Text of the script", "aria-describedby": "problems", readonly: !command,
      oninput: () => this.#edited(), onscroll: () => this.#scroll(),
      onkeydown: (event) => {
        if (!(event.ctrlKey || event.metaKey)) return;
        if (event.key === "s") {
          event.preventDefault();
          this.save();
        } else if (event.key === "Enter") {
          event.preventDefault();
          this.play();
        }
      },
    });
    this.buttons = command && [
      button("Play from now on", () => this.play(), { title: "The file stays as it is (Ctrl Enter)", "aria-describedby": "verdict" }),
      button("Save", () => this.save(), { class: "button main", title: "Writes the file, and plays it (Ctrl S)", "aria-describedby": "verdict" }),
      button("Undo all", () => this.#take(), { title: "Back to what the file says" }),
    ];
    this.element = el("section", { class: "card stack", "aria-labelledby": "file", hidden: true },
      el("div", "row", el("h2", { id: "file" }, "Script file"), el("span", "grow", this.path), this.playing),
      this.changed,
      el("div", "editor", this.numbers, this.area),
      this.verdict, this.problems,
      this.buttons && el("div", "row", this.buttons));
  }

  /** Take in what the server tells of the file. */
  tell(file) {
    const first = !this.has;
    this.has = true;
    this.element.hidden = false;
    this.file = file;
    fill(this.path, file.path);
    fill(this.playing, file.edited ? badge("warn", "the page's text is played") : badge("good", "the file is played"));
    const draft = first ? this.#draft() : null;
    const isClean = this.known === null || this.area.value === this.known;
    if (draft !== null) {
      this.#show(draft.text, draft.base);
      this.known = file.text ?? "";
    } else if (first && file.edited) {
      this.#show(file.played, file.base);
      this.known = file.text ?? "";
    } else if (isClean) this.#take();
    const isOther = file.base !== this.base && this.area.value !== (file.text ?? "");
    fill(this.changed, isOther && el("div", "row warn-card",
      el("span", "grow", "The file has changed on disk."),
      button("Load it", () => this.#take()),
      button("Keep mine", () => this.#keepMine())));
    if (file.problems.length && isClean) this.#tellProblems(file.problems, "");
    this.#state();
  }

  #show(text, base) {
    this.area.value = text;
    this.base = base;
    this.#number();
  }

  /** Take the file's text for that of the page. */
  #take() {
    this.known = this.file.text ?? "";
    this.#show(this.known, this.file.base);
    fill(this.changed);
    this.#tellProblems(this.file.problems, "");
    this.#state();
    this.keepDraft();
  }

  #keepMine() {
    this.base = this.file.base;
    this.known = this.file.text ?? "";
    fill(this.changed);
    this.area.focus();
  }

  #edited() {
    this.#number();
    this.#state();
    this.keepDraft();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), PAUSE);
  }

  get #isDirty() {
    return this.area.value !== (this.file?.text ?? "");
  }

  #state() {
    if (!this.buttons) return;
    const [play, save, undo] = this.buttons;
    play.disabled = this.isWrong || this.area.value === this.file.played;
    save.disabled = this.isWrong || !this.#isDirty;
    undo.disabled = !this.#isDirty;
    if (!this.#isDirty) clearTimeout(this.timer);
  }

  #number() {
    const lines = this.area.value.split("\n").length;
    if (this.lines !== lines) this.numbers.textContent = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
    this.lines = lines;
    this.#scroll();
  }

  #scroll() {
    this.numbers.scrollTop = this.area.scrollTop;
  }

  /** Check the text; return whether it can be played. */
  async check() {
    const text = this.area.value;
    const told = await this.command("check", { text });
    if (text !== this.area.value) return false;
    if (told.refused) return false;
    this.#tellProblems(told.problems, told.problems.length ? "" : `${told.scripts}, no mistakes`);
    return !told.problems.length;
  }

  #tellProblems(problems, good) {
    this.isWrong = problems.length > 0;
    const text = this.isWrong ? `${count(problems.length, "mistake")}: the text can be neither played nor saved` : good;
    if (this.verdict.textContent !== text) fill(this.verdict, text);
    set(this.verdict, "class", this.isWrong ? "small bad" : "small good");
    set(this.area, "aria-invalid", this.isWrong);
    this.#state();
    fill(this.problems, problems.map((problem) => el("li", "", problem.line
      ? el("button", { type: "button", class: "problem", onclick: () => this.goTo(problem.line, problem.column) },
        el("b", "", `Line ${problem.line}${problem.column ? `, column ${problem.column}` : ""}`), " ", problem.text)
      : el("span", "problem", problem.text))));
  }

  /** Select a line, and show it. */
  goTo(line, column) {
    const lines = this.area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start + (column ?? 1) - 1, start + (lines[line - 1] ?? "").length);
    const height = this.area.scrollHeight / lines.length;
    this.area.scrollTop = Math.max(0, (line - 4) * height);
    this.#scroll();
  }

  focus() {
    this.area.focus();
  }

  async play() {
    if (!(await this.check())) return;
    const told = await this.command("play", { text: this.area.value });
    if (!told.refused) announce("Played from now on");
  }

  async save(overwrite = false) {
    if (!(await this.check())) return;
    const text = this.area.value;
    const told = await this.command("save", { text, base: this.base, overwrite });
    if (!told.refused) {
      this.known = text;
      announce("Saved");
    } else if (told.status === 409)
      fill(this.changed, el("div", "row warn-card", el("span", "grow", told.error), button("Save over it", () => this.save(true))));
  }

  // A text that is not saved outlives a reload of the page, as after a restart of the server.

  keepDraft() {
    try {
      if (this.file && this.#isDirty) sessionStorage.setItem(DRAFT, JSON.stringify({ path: this.file.path, text: this.area.value, base: this.base }));
      else sessionStorage.removeItem(DRAFT);
    } catch {
      // It is lost with the page.
    }
  }

  #draft() {
    try {
      const draft = JSON.parse(sessionStorage.getItem(DRAFT));
      return draft?.path === this.file.path && draft.text !== this.file.text ? draft : null;
    } catch {
      return null;
    }
  }
}
