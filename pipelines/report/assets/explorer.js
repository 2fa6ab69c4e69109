"use strict";

const LISTED = 40;

/** The map of samples with its controls: projection, colour, search, lasso, legend, list. */
class Explorer {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.find = (name) => root.querySelector(`[data-role="${name}"]`);
    this.columns = data.columns.map((column) => this.unpack(column));
    this.projections = data.projections.map((p) => ({ ...p, x: Packed.unit(p.x), y: Packed.unit(p.y) }));
    this.scatter = new Scatter(this.find("points"), this.find("marks"), data.count);
    this.query = "";
    this.hidden = new Set();
    this.picked = null;
    this.lassoing = false;
    this.listed = LISTED;
    this.offer("projection", this.projections, this.projections.length - 1, (key) => this.project(key));
    this.offer("colour", this.columns, 0, (key) => this.colour(key));
    this.listen();
    this.followTheme();
    const first = this.projections.at(-1);
    this.scatter.place(first.x, first.y);
    this.find("note").textContent = first.note;
    new ResizeObserver(() => this.scatter.resize()).observe(this.find("stage"));
    this.scatter.resize();
    this.colour(this.columns[0].key);
    root.dataset.ready = String(Math.round(performance.now()));
  }

  unpack(column) {
    if (column.kind === "number") return { ...column, values: Packed.shares(column.values) };
    const codes = Packed.shorts(column.codes);
    const counts = new Uint32Array(column.names.length);
    for (const code of codes) counts[code]++;
    return { ...column, codes, counts };
  }

  /** Fill a group of choices. */
  offer(role, entries, chosen, choose) {
    const group = this.find(role);
    for (const [number, entry] of entries.entries()) {
      const control = make("button", { type: "button", value: entry.key, "aria-pressed": String(number === chosen) }, entry.title);
      control.addEventListener("click", () => {
        for (const other of group.children) other.setAttribute("aria-pressed", String(other === control));
        choose(entry.key);
      });
      group.append(control);
    }
  }

  project(key) {
    const to = this.projections.find((projection) => projection.key === key);
    const from = { x: this.scatter.x, y: this.scatter.y };
    this.find("note").textContent = to.note;
    this.hide();
    cancelAnimationFrame(this.moving);
    if (this.data.count > 30000 || window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.scatter.place(to.x, to.y);
      return this.scatter.schedule();
    }
    const began = performance.now();
    const step = (now) => {
      const share = Math.min(1, Math.max(0, (now - began) / 450));
      const eased = share * share * (3 - 2 * share);
      this.scatter.x = from.x.map((value, i) => value + (to.x[i] - value) * eased);
      this.scatter.y = from.y.map((value, i) => value + (to.y[i] - value) * eased);
      this.scatter.draw();
      if (share < 1) this.moving = requestAnimationFrame(step);
      else {
        this.scatter.place(to.x, to.y);
        this.scatter.schedule();
      }
    };
    this.moving = requestAnimationFrame(step);
  }

  colour(key) {
    this.column = this.columns.find((column) => column.key === key);
    this.hidden.clear();
    const { column, scatter } = this;
    if (column.kind === "number") {
      column.values.forEach((value, i) => (scatter.colours[i] = rampColour(value)));
    } else {
      column.colours = categoryColours(column);
      const packed = column.colours.map(packColour);
      column.codes.forEach((code, i) => (scatter.colours[i] = packed[code]));
    }
    this.showLegend();
    this.filter();
  }

  showLegend() {
    const legend = this.find("legend");
    const { column } = this;
    if (column.kind === "number") {
      const bar = make("div", { className: "ramp", style: `background: linear-gradient(90deg, ${RAMP.join(",")})` });
      legend.replaceChildren(bar, make("div", { className: "ends" }, make("span", {}, column.low), make("span", {}, column.high)));
      const unknown = column.values.reduce((sum, value) => sum + Number.isNaN(value), 0);
      if (unknown) legend.append(make("p", { className: "unknown" }, make("i", { style: `background: ${REST}` }), `${count(unknown)} without one`));
      return;
    }
    const order = column.names.map((_, code) => code).sort((a, b) => column.counts[b] - column.counts[a]);
    const shown = order.filter((code) => column.counts[code]).slice(0, 24);
    const rows = shown.map((code) => {
      const swatch = make("i", { style: `background: ${column.colours[code]}` });
      const name = make("span", { className: "name", dir: "auto" }, column.names[code]);
      const control = make("button", { type: "button", "aria-pressed": "true", title: "Show or hide; double-click for this alone" });
      control.append(swatch, name, make("small", {}, count(column.counts[code])));
      control.addEventListener("click", () => this.toggle(code));
      control.addEventListener("dblclick", () => this.isolate(code));
      control.dataset.code = code;
      return control;
    });
    if (order.length > shown.length) rows.push(make("p", {}, `and ${count(order.length - shown.length)} more`));
    legend.replaceChildren(...rows);
  }

  toggle(code) {
    if (!this.hidden.delete(code)) this.hidden.add(code);
    this.showHidden();
  }

  isolate(code) {
    this.hidden = new Set(this.column.names.keys());
    this.hidden.delete(code);
    this.showHidden();
  }

  showHidden() {
    for (const control of this.find("legend").querySelectorAll("button")) {
      control.setAttribute("aria-pressed", String(!this.hidden.has(Number(control.dataset.code))));
    }
    this.filter();
  }

  /** Show the samples that the search, the legend and the lasso all let through. */
  filter() {
    const { shown } = this.scatter;
    const { codes } = this.column;
    const wanted = this.query.toLowerCase();
    if (wanted && !this.lowered) this.lowered = this.data.texts.map((text, i) => `${text}\n${this.data.ids[i]}`.toLowerCase());
    for (let i = 0; i < shown.length; i++) {
      shown[i] =
        (!codes || !this.hidden.has(codes[i])) && (!this.picked || this.picked[i]) && (!wanted || this.lowered[i].includes(wanted)) ? 1 : 0;
    }
    this.listed = LISTED;
    this.scatter.marked = -1;
    this.hide();
    this.scatter.schedule();
    this.list();
  }

  get chosen() {
    const rows = [];
    this.scatter.shown.forEach((is, i) => is && rows.push(i));
    return rows;
  }

  list() {
    const rows = this.chosen;
    const answer = this.columns.find((column) => column.key === "answer");
    let said = `${count(rows.length)} of ${count(this.data.count)} samples`;
    if (answer) {
      const [right, wrong] = ["right", "wrong"].map((name) => answer.names.indexOf(name));
      let [good, bad] = [0, 0];
      for (const i of rows) {
        if (answer.codes[i] === right) good++;
        else if (answer.codes[i] === wrong) bad++;
      }
      if (good + bad) said += ` · ${((100 * good) / (good + bad)).toFixed(1)}% answered right`;
    }
    this.find("count").textContent = said;
    const place = this.find("list");
    place.replaceChildren(...rows.slice(0, this.listed).map((i) => this.item(i)));
    this.find("more").hidden = rows.length <= this.listed;
    this.find("clear").disabled = !(this.picked || this.query || this.hidden.size);
  }

  item(i) {
    const control = make("button", { type: "button" }, ...this.describe(i));
    control.addEventListener("click", () => {
      this.scatter.marked = i;
      this.scatter.centre(i);
      this.find("stage").scrollIntoView({ block: "nearest" }); // on a phone the list is below the map
    });
    return make("li", {}, control);
  }

  /** Return elements that show a sample: picture, text, what is known of it. */
  describe(i) {
    const parts = [];
    const picture = this.data.pictures[i];
    if (picture) parts.push(make("img", { src: `data:image/jpeg;base64,${picture}`, alt: "", loading: "lazy" }));
    parts.push(make("span", { className: "text", dir: "auto" }, this.data.texts[i]));
    const facts = this.columns.map((column) => {
      if (column.kind === "number") return [column.title, this.number(column, i)];
      return [column.title, column.names[column.codes[i]]];
    });
    const line = make("span", { className: "facts" });
    for (const [title, value] of facts) {
      if (value === "—" || value === "") continue;
      line.append(make("span", {}, make("small", {}, title), " ", make("b", { dir: "auto" }, value)));
    }
    line.append(make("span", {}, make("small", {}, "id"), " ", make("b", { dir: "auto" }, this.data.ids[i])));
    parts.push(line);
    return parts;
  }

  number(column, i) {
    const value = Number(column.from) + column.values[i] * (Number(column.to) - Number(column.from));
    return Number.isFinite(value) ? value.toFixed(3) : "—";
  }

  hover(px, py) {
    const i = this.scatter.at(px, py);
    if (i === this.scatter.marked && !this.find("tip").hidden) return;
    if (i < 0) return this.hide();
    this.scatter.marked = i;
    this.scatter.drawOverlay();
    const tip = this.find("tip");
    tip.replaceChildren(...this.describe(i));
    tip.hidden = false;
    const [x, y] = this.scatter.toScreen(this.scatter.x[i], this.scatter.y[i]);
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = `${Math.max(6, Math.min(x + 14, this.scatter.width - width - 6))}px`;
    tip.style.top = `${y + 18 + height < this.scatter.height ? y + 18 : Math.max(6, y - height - 14)}px`;
  }

  hide() {
    this.find("tip").hidden = true;
    if (this.scatter.marked >= 0 && this.scatter.x) {
      this.scatter.marked = -1;
      this.scatter.drawOverlay();
    }
  }

  followTheme() {
    const style = getComputedStyle(this.root);
    const hex = (name) => style.getPropertyValue(name).trim();
    this.scatter.background = packColour(hex("--card"));
    this.scatter.faint = packColour(hex("--faint"));
    this.scatter.ink = hex("--ink");
    this.scatter.draw(); // at once, since nothing waits for a page that is about to be printed
  }

  listen() {
    document.addEventListener("themechange", () => this.followTheme());
    const search = this.find("search");
    search.addEventListener("input", () => {
      this.query = search.value.trim();
      this.filter();
    });
    this.find("more").addEventListener("click", () => {
      this.listed += 4 * LISTED;
      this.list();
    });
    this.find("clear").addEventListener("click", () => this.clear());
    this.find("save").addEventListener("click", () => this.save());
    this.find("lasso").addEventListener("click", () => this.setLasso(!this.lassoing));
    const middle = () => [this.scatter.width / 2, this.scatter.height / 2];
    this.find("in").addEventListener("click", () => this.scatter.zoomAt(...middle(), 1.6));
    this.find("out").addEventListener("click", () => this.scatter.zoomAt(...middle(), 1 / 1.6));
    this.find("fit").addEventListener("click", () => this.scatter.reset());
    new Pointers(this, this.find("marks"));
  }

  setLasso(on) {
    this.lassoing = on;
    this.find("lasso").setAttribute("aria-pressed", String(on));
    this.find("marks").classList.toggle("lassoing", on);
  }

  pick(polygon) {
    if (polygon.length > 2) {
      this.picked = this.scatter.within(polygon);
      this.filter();
    }
    this.setLasso(false);
  }

  clear() {
    this.picked = null;
    this.query = this.find("search").value = "";
    this.hidden.clear();
    this.showHidden();
  }

  /** Save the ids of the samples that are shown, as CSV. */
  save() {
    const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
    const lines = this.chosen.map((i) => quoted(this.data.ids[i]));
    const url = URL.createObjectURL(new Blob([["id", ...lines].join("\n") + "\n"], { type: "text/csv" }));
    make("a", { href: url, download: "samples.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}
