/* One step: the ReLU state after a bit, and the output read from it. */
function step(bit, [h1, h2], { W_ih, W_hh, b, W_out }) {
  const unit = (i) => Math.max(0, W_ih[i][0] * bit + b[i] + (W_hh[i][0] * h1 + W_hh[i][1] * h2));
  const h = [unit(0), unit(1)];
  return { h, y: W_out[0][0] * h[0] + W_out[0][1] * h[1] };
}

/* An output says "odd" above 1/2. */
const right = (y, parity) => (y > 0.5) === (parity === 1);

export function compute({ bits, ...weights }) {
  const outputs = [];
  let [h, y, parity, first_wrong] = [[0, 0], 0, 0, null];
  bits.forEach((bit, i) => {
    ({ h, y } = step(bit, h, weights));
    parity ^= bit;
    if (!right(y, parity)) first_wrong ??= i + 1;
    outputs.push(Number.isFinite(y) ? y : null);
  });
  return { outputs, first_wrong };
}

/* Pseudo-random bits from a seed (mulberry32), so that every reader meets the same first wrong bit. */
function bitSource(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 31;
  };
}

const MILLION = 1e6, MILLION_MS = 1500, BIT_MS = 320, KEPT = 20;
const count = (n) => n.toLocaleString("en");
function short(v) {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v < 0 ? "\u2212\u221e" : "\u221e";
  return Math.abs(v) < 100 ? kit.number(v) : v.toExponential(0).replace("+", "");
}

function render({ model, el: root }) {
  const { el, button } = kit;
  const { weights: initial, seed } = model.get("data");
  const { controls, stage, say } = kit.frame(root, model.get("title"));
  let weights = structuredClone(initial);
  let nextBit, h, parity, read, errors, first, recent;
  let cancel = () => {};

  function restart() {
    nextBit = bitSource(seed);
    [h, parity, read, errors, first, recent] = [[0, 0], 0, 0, 0, null, []];
  }
  function take(bit) {
    const result = step(bit, h, weights);
    h = result.h;
    parity ^= bit;
    read += 1;
    const ok = right(result.y, parity);
    if (!ok) { errors += 1; first ??= read; }
    recent.push({ bit, h, y: result.y, parity, ok });
    if (recent.length > KEPT) recent.shift();
  }

  /* What is running, if anything, ends here; every action starts with it. */
  function halt() {
    cancel();
    cancel = () => {};
    random.textContent = kit.still() ? "1,000 random bits" : "random bits";
    million.textContent = "run a million";
    strip.style.opacity = 1;
  }
  function stream() {
    halt();
    field.value = "";
    if (kit.still()) {
      for (let i = 0; i < 1000; i++) take(nextBit());
      paint();
      report();
      return;
    }
    random.textContent = "pause";
    const id = setInterval(() => {
      const before = first;
      take(nextBit());
      paint();
      if (first !== before) report();
    }, BIT_MS);
    cancel = () => clearInterval(id);
  }
  /* Read a million bits in about a second, or only as far as the first wrong one. */
  function fast(untilWrong) {
    halt();
    restart();
    field.value = "";
    million.textContent = "stop";
    strip.style.opacity = 0.35;
    const begin = performance.now();
    let id;
    const done = () => read === MILLION || (untilWrong && first);
    const chunk = (now) => {
      const share = kit.still() ? 1 : Math.max(0, now - begin) / MILLION_MS;
      const target = Math.min(MILLION, Math.ceil(share * MILLION));
      while (read < target && !done()) take(nextBit());
      if (!done()) {
        if (!kit.still()) paintCounters();
        id = requestAnimationFrame(chunk);
        return;
      }
      halt();
      paint();
      report();
    };
    id = requestAnimationFrame(chunk);
    cancel = () => cancelAnimationFrame(id);
  }
  const isRunning = (node) => node.textContent === "pause" || node.textContent === "stop";
  function stop() {
    halt();
    paint();
    report();
  }

  function report(before = "") {
    const bits = `${count(read)} bit${read === 1 ? "" : "s"}`;
    say.textContent = before + (!read ? "No bit read yet."
      : first ? `Wrong at bit ${count(first)}. ${bits} read, ${count(errors)} output${errors === 1 ? "" : "s"} wrong.`
        : `${bits} read, every output right.`);
  }

  /* Controls. */
  const field = el("input", {
    type: "text", id: `parity-${Math.random().toString(36).slice(2)}`, inputmode: "numeric", placeholder: "10110",
    autocomplete: "off", size: 14,
    oninput() {
      halt();
      const bits = field.value.replace(/[^01]/g, "");
      const foreign = field.value.replace(/[01\s,]/g, "");
      restart();
      for (const bit of bits) take(+bit);
      paint();
      report(foreign ? `Bits are 0 and 1; \u201c${foreign}\u201d was left out. ` : "");
    },
  });
  const random = button("", () => {
    if (isRunning(random)) { stop(); return; }
    if (field.value) restart();
    stream();
  });
  const million = button("", () => (isRunning(million) ? stop() : fast(false)));
  controls.append(el("span", { class: "xp-control" }, el("label", { for: field.id }, "Type bits"), field), random, million);

  /* What was read last, newest on the right; the counters. */
  const strip = el("div");
  const counters = Object.fromEntries(["output", "parity", "bits read", "errors", "first wrong bit"].map((name) =>
    [name, el("b")]));
  const ROWS = [
    [["bit"], (c) => c.bit],
    [[el("i", {}, "h"), el("sub", {}, "1")], (c) => short(c.h[0]), (c) => c.h[0]],
    [[el("i", {}, "h"), el("sub", {}, "2")], (c) => short(c.h[1]), (c) => c.h[1]],
    [["output"], (c) => short(c.y), (c) => c.y],
    [["parity"], (c) => c.parity],
    [["right?"], (c) => (c.ok ? "\u2713" : "\u2717")],
  ];
  const colour = (v) => (Number.isFinite(v) ? kit.signed(v) : "var(--xp-panel)");
  function paintCounters() {
    const last = recent.at(-1);
    const show = (name, text, style = "") => { counters[name].textContent = text; counters[name].className = style; };
    const style = last && (last.ok ? "xp-good" : "xp-bad");
    // A bit that leaks ends close to 1/2, where two digits do not show the side.
    const close = last && Math.abs(last.y - 0.5) < 0.005;
    show("output", last ? (close ? kit.number(last.y, 4) : short(last.y)) : "\u2013", style);
    show("parity", last ? String(last.parity) : "\u2013", style);
    show("bits read", count(read));
    show("errors", count(errors), errors ? "xp-bad" : "xp-good");
    show("first wrong bit", first ? count(first) : "none", first ? "xp-bad" : "xp-good");
  }
  function paint() {
    paintCounters();
    const width = stage.clientWidth || 640;
    const shown = recent.slice(-Math.max(4, Math.min(KEPT, Math.floor((width - 60) / 40))));
    const row = ([head, text, value]) => el("tr", {},
      el("th", { scope: "row", style: "width: 56px; text-align: left; font-weight: 400; padding: 1px 0; white-space: nowrap" },
        head.map((part) => part.cloneNode?.(true) ?? part)),
      shown.map((c, i) => el("td", {
        class: c.ok ? text === ROWS[5][1] && "xp-good" : text !== ROWS[0][1] && !value && "xp-bad",
        style: "width: 38px; padding: 1px 0; text-align: center; font-variant-numeric: tabular-nums;"
          + (value ? `background: ${colour(value(c))};` : "")
          + (i === shown.length - 1 ? "border-inline: 2px solid var(--xp-soft);" : ""),
      }, String(text(c)))));
    strip.replaceChildren(el("table", { style: "table-layout: fixed; border-spacing: 0; font-size: 14px; margin: 0" },
      el("caption", { class: "xp-unseen" }, "The bits read last, the machine's two units and its output after each"),
      el("tbody", {}, ROWS.map(row))));
  }

  /* The ten numbers. */
  const fields = [];
  function numbers(name, symbol, rows) {
    const columns = initial[name][0].length ?? 1;
    const inputs = [initial[name]].flat(2).map((_, n) => {
      const [i, j] = [Math.floor(n / columns), n % columns];
      const at = () => (Array.isArray(weights[name][i]) ? [weights[name][i], j] : [weights[name], i]);
      const input = el("input", {
        type: "number", step: 0.01, "aria-label": `${symbol.join(" ").trim()}, row ${i + 1}, column ${j + 1}`,
        oninput() {
          const value = input.valueAsNumber;
          if (!Number.isFinite(value)) { say.textContent = "Type a number."; return; }
          const [row, place] = at();
          row[place] = value;
          fast(true);
        },
      });
      fields.push(() => { const [row, place] = at(); input.value = String(+row[place].toPrecision(10)); });
      return input;
    });
    return el("span", { style: "display: inline-flex; align-items: center; gap: 6px" },
      el("span", { "aria-hidden": "true" }, el("i", {}, symbol[0]), symbol[1] ? el("sub", {}, symbol[1]) : "", " ="),
      el("span", { class: "xp-matrix", style: `grid-template-columns: repeat(${columns}, auto)` }, inputs));
  }
  const showNumbers = () => fields.forEach((show) => show());
  function change(edit) {
    edit();
    showNumbers();
    fast(true);
  }
  const scale = (factor) => button(["W", el("sub", {}, "hh"), ` \u00d7 ${factor}`], () => change(() => {
    weights.W_hh = weights.W_hh.map((row) => row.map((v) => v * factor));
  }), { "aria-label": `W hh times ${factor}` });

  stage.append(
    el("div", { class: "xp-row", style: "margin-top: 0" }, Object.entries(counters).map(([name, node]) =>
      el("span", { class: "xp-counter", style: name === "bits read" && "min-width: 112px" }, node, name))),
    strip,
    el("div", { style: "margin-top: 12px" }, el("strong", {}, "Ten numbers. Now change one:")),
    el("div", { class: "xp-row", role: "group", "aria-label": "The ten numbers" },
      numbers("W_ih", ["W", "ih"]), numbers("W_hh", ["W", "hh"]), numbers("b", ["b", ""]), numbers("W_out", ["W", "out"])),
    el("div", { class: "xp-row" }, scale(1.01), scale(0.99),
      button("start again", () => change(() => { weights = structuredClone(initial); }))));

  restart();
  showNumbers();
  for (let i = 0; i < (kit.still() ? 1000 : KEPT); i++) take(nextBit());
  halt();
  paint();
  say.textContent = "The machine reads bits and says after each whether the ones so far are odd (1) or even (0)."
    + " Type bits, let it read a million, then change a number.";
  if (!kit.still()) stream();
  const observer = new ResizeObserver(() => paint());
  observer.observe(stage);
  return () => { cancel(); observer.disconnect(); };
}

export default { render };
