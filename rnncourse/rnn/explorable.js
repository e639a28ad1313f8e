/* A hidden state, folded and unrolled. Steps count from 1; h[0] is the state before the first input. */
const dot = (row, vector) => row.reduce((sum, value, j) => sum + value * vector[j], 0);

export function compute({ nonlinearity, weight_ih, weight_hh, bias, readout, x }) {
  const result = { from_input: [], from_state: [], a: [], h: [bias.map(() => 0)] };
  Object.assign(result, { o: null, parity: null, first_wrong: null });
  for (const x_t of x) {
    const from_input = weight_ih.map((row) => dot(row, x_t));
    const from_state = weight_hh.map((row) => dot(row, result.h.at(-1)));
    const a = bias.map((b, i) => from_input[i] + from_state[i] + b);
    result.from_input.push(from_input);
    result.from_state.push(from_state);
    result.a.push(a);
    result.h.push(a.map((value) => (nonlinearity === "tanh" ? Math.tanh(value) : Math.max(value, 0))));
  }
  if (readout) {
    let ones = 0;
    result.o = result.h.slice(1).map((h) => dot(readout, h));
    result.parity = x.map(([bit]) => (ones += bit) % 2);
    const wrong = result.o.findIndex((o, t) => (o > 0.5) !== (result.parity[t] === 1));
    result.first_wrong = wrong < 0 ? null : wrong + 1;
  }
  return result;
}

function render({ model, el }) {
  const { el: html, svg, short } = kit;
  const data = model.get("data");
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const figure = html("div", { class: "xp-stage" });
  const sum = html("div", { class: "xp-stage" });
  const hint = html("p", { class: "xp-note xp-label" });
  const heading = html("p", { class: "xp-note" });
  stage.append(hint, figure, heading, sum);
  kit.sideways(figure);
  kit.sideways(sum);

  const MOST = 12;
  const bits = [...data.bits];
  let word = data.word;
  let name = "parity";
  let machine, shown, t, update;

  const most = () => (name === "parity" ? MOST : word.length);
  const oneHot = (letter) => machine.weight_ih[0].map((_, j) => +(j === letter.charCodeAt(0) - 97));
  const inputs = () => (name === "parity"
    ? bits.slice(0, shown).map((bit) => [bit])
    : [...word.slice(0, shown)].map(oneHot));
  const symbol = (i) => (name === "parity" ? String(bits[i - 1]) : word[i - 1]);
  const vector = (values) => `(${values.map(short).join(", ")})`;

  /* Controls. */
  const choice = kit.choice({
    label: "network", value: name, oninput: start,
    options: [["parity", "parity machine, ReLU, 2 units"], ["word", "letters, tanh, 4 units"]],
  });
  const unroll = kit.slider({
    label: "unrolled steps", min: 0, max: MOST, value: 4, format: (n) => (n ? String(n) : "folded"),
    oninput(value) {
      shown = value;
      t = Math.min(Math.max(t, 1), shown);
      draw();
      reveal(shown);
    },
  });
  const step = kit.slider({ label: "step t", min: 1, max: 4, value: 4, oninput: go });
  const back = kit.button("\u25c0 one back", () => go(Math.max(t - 1, 1)));
  const forward = kit.button("one on \u25b6", () => {
    shown = Math.min(Math.max(shown, t + 1), most());
    go(Math.min(t + 1, shown));
  });
  const letters = html("input", {
    type: "text", value: word, maxlength: MOST, size: 12, "aria-label": "word to read, letters a to z",
    spellcheck: "false", autocomplete: "off", autocapitalize: "none",
    oninput() {
      word = letters.value.toLowerCase().replace(/[^a-z]/g, "");
      shown = word.length;
      go(shown);
    },
  });
  const spell = html("label", { class: "xp-control" }, "word", letters);
  const cut = kit.button(html("span", {}, "set W", html("sub", {}, "hh"), " to 0"), () => {
    for (const row of machine.weight_hh) row.fill(0);
    draw();
  });
  const restore = kit.button("restore weights", () => {
    machine = structuredClone(data.machines[name]);
    draw();
  });
  controls.append(choice.node, spell, unroll.node, step.node,
    html("span", { class: "xp-control" }, back, forward), cut, restore);

  function start(value) {
    name = value;
    machine = structuredClone(data.machines[name]);
    shown = t = Math.min(data.shown, most());
    spell.style.display = name === "word" ? "" : "none";
    update = buildSum();
    hint.replaceChildren(...(name === "parity"
      ? ["Click a bit, outlined in blue, to flip it; click a state to go to its step."]
      : ["The weights here are random, not trained, and there is no output: only the state is shown. ",
        "Click a state to go to its step."]));
    draw();
    // A new network starts at its left end, the folded cell.
    figure.scrollLeft = sum.scrollLeft = 0;
  }

  function go(value) {
    t = value;
    draw();
    reveal(t);
  }

  /* The figure. */
  const UNIT = 26, BOX = 58, PITCH = 94, FOLD = 192;
  const LIT = { colour: "var(--xp-good)", width: 3 };
  const SOFT = { style: "fill: var(--xp-soft)" };
  const START = { anchor: "start" };
  const green = (width, dash) =>
    ({ stroke: "var(--xp-good)", "stroke-width": width, "stroke-dasharray": dash });
  const strongest = (result) => Math.max(...result.h.flat().map(Math.abs), 1e-9);

  const label = (x, y, main, small = "", { style = "", anchor = "middle" } = {}) =>
    svg("text", { x, y, "text-anchor": anchor, style: `font-size: 13px; ${style}` },
      main, small && svg("tspan", { dy: 3, style: "font-size: 10px" }, small));

  /* A group of shapes that acts as a button. */
  function pressable(attributes, onpress, children) {
    const group = svg("g",
      { role: "button", tabindex: 0, class: "xp-press", ...attributes, onclick: onpress }, children);
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      onpress();
    });
    return group;
  }

  const stack = (x, y, texts, fills, outline = {}) => [
    ...texts.flatMap((text, i) => [
      svg("rect", { x, y: y + i * UNIT, width: BOX, height: UNIT, fill: fills[i], stroke: "var(--xp-line)" }),
      label(x + BOX / 2, y + i * UNIT + 18, text),
    ]),
    svg("rect", {
      x, y, width: BOX, height: UNIT * texts.length, rx: 4,
      fill: "none", stroke: "var(--xp-soft)", ...outline,
    }),
  ];

  const box = (x, y, content, attributes = {}) => [
    svg("rect", {
      x, y, width: BOX, height: UNIT, rx: 13,
      fill: "var(--xp-panel)", stroke: "var(--xp-soft)", ...attributes,
    }),
    label(x + BOX / 2, y + 18, content),
  ];

  function drawFigure(result) {
    const { o, parity } = result;
    const top = machine.readout ? 78 : 12;
    const bottom = top + UNIT * machine.bias.length;
    const middle = (top + bottom) / 2, below = bottom + 44, foot = below + 46;
    const limit = strongest(result);
    const parts = [];
    const state = (x, i, outline) =>
      stack(x, top, result.h[i].map(short), result.h[i].map((value) => kit.signed(value, limit)), outline);

    /* The weights of one copy of the cell: the same labels at each. */
    function weights(x, style) {
      const centre = x + BOX / 2;
      parts.push(kit.arrow(centre, below, centre, bottom, style),
        label(centre + 6, below - 16, "W", "ih", START));
      if (!machine.readout) return;
      parts.push(kit.arrow(centre, top, centre, 42, style), label(centre + 6, 64, "W", "", START));
    }

    /* Folded: the same cell, showing the state of the current step. */
    const x = 46;
    weights(x, {});
    parts.push(
      svg("path", {
        d: `M ${x + BOX} ${middle - 14} c 34 -22, 34 50, 8 30`,
        fill: "none", stroke: "var(--xp-soft)", "stroke-width": 1.5,
      }),
      kit.arrow(x + BOX + 12, middle + 18, x + BOX, middle + 12),
      label(x + BOX + 32, middle + 5, "W", "hh", START),
      label(0, middle + 5, "h", "t", START), label(0, below + 18, "x", "t", START),
      label(x + BOX / 2, foot, t ? `at t = ${t}` : "folded", "", SOFT),
      ...box(x, below, t ? symbol(t) : "x"),
      ...(t ? state(x, t) : stack(x, top, machine.bias.map(() => "h"), machine.bias.map(() => "none"))));
    if (machine.readout) parts.push(...box(x, 14, t ? short(o[t - 1]) : "o"), label(0, 32, "o", "t", START));

    /* Unrolled: the start state, then one copy of the cell for each step. */
    if (shown) {
      parts.push(label(FOLD - 16, middle + 6, "=", "", { style: "font-size: 20px" }),
        label(FOLD + BOX / 2, foot, "before", "", SOFT), ...state(FOLD, 0, { "stroke-dasharray": "4 3" }));
    }
    for (let i = 1; i <= shown; i++) {
      const x = FOLD + i * PITCH;
      const here = i === t;
      const same = name === "word" && !here && symbol(i) === symbol(t);
      weights(x, here ? LIT : {});
      parts.push(
        kit.arrow(x - PITCH + BOX, middle, x, middle, here ? LIT : {}),
        label(x - (PITCH - BOX) / 2 - 2, middle - 8, "W", "hh"),
        label(x + BOX / 2, foot, `t = ${i}`, "", here ? { style: "font-weight: 700" } : SOFT),
        pressable({
          "aria-label": `step ${i}: state ${vector(result.h[i])}`, "aria-pressed": String(here),
          tabindex: here ? 0 : -1, "data-key": `h${i}`, onkeydown: walk,
        }, () => go(i), state(x, i, here ? green(4) : same ? green(3, "5 3") : {})));
      if (name === "word") {
        parts.push(...box(x, below, symbol(i), here || same ? green(2) : {}));
        continue;
      }
      const right = (o[i - 1] > 0.5) === (parity[i - 1] === 1);
      const wrong = { stroke: "var(--xp-warm)", "stroke-width": 3, "stroke-dasharray": "4 2" };
      parts.push(
        pressable({ "aria-label": `bit ${i} is ${bits[i - 1]}: flip it`, "data-key": `x${i}` }, () => flip(i),
          box(x, below, symbol(i), { stroke: "var(--xp-cold)", "stroke-width": 2 })),
        ...box(x, 14, `${short(o[i - 1])} ${right ? "\u2713" : "\u2717"}`, right ? green(1) : wrong));
    }
    const width = FOLD + shown * PITCH + (shown ? BOX + 6 : 0), height = foot + 8;
    kit.swap(figure, svg("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, style: "max-width: none", role: "group",
      "aria-label": "The cell, folded with its loop and unrolled in time",
    }, parts));
  }

  /* Step i in view, with the arrow that leads to it. */
  function reveal(i) {
    if (i) kit.reveal(figure, FOLD + i * PITCH - (PITCH - BOX), FOLD + i * PITCH + BOX);
  }

  function walk(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    go(Math.min(Math.max(t + move, 1), shown));
    figure.querySelector(`[data-key="h${t}"]`).focus({ preventScroll: true });
  }

  function flip(i) {
    bits[i - 1] = 1 - bits[i - 1];
    go(i);
  }

  /* The sum of one step, whose weights are fields: built once per network, then only its numbers change. */
  function buildSum() {
    const units = machine.bias.map((_, i) => i);
    const updates = [];
    const line = (...children) => html("span", { style: "white-space: nowrap" }, ...children);
    const sub = (main, small, rest = "") => line(main, html("sub", {}, small), rest);
    const column = () => (name === "parity" ? 0 : t ? symbol(t).charCodeAt(0) - 97 : 0);
    /* `row` gives the list that holds the weight; asked each time, since "restore" brings new lists. */
    function field(label, row, column) {
      const node = html("input", {
        type: "number", step: 0.01, "aria-label": label,
        style: "width: 4.7em; padding: 3px 5px; text-align: right; appearance: textfield",
        oninput() {
          if (!Number.isFinite(node.valueAsNumber)) return;
          row()[column()] = node.valueAsNumber;
          draw();
        },
      });
      updates.push(() => {
        // A field that is being typed into keeps what was typed.
        if (node.valueAsNumber !== row()[column()]) node.value = row()[column()];
      });
      return node;
    }
    function text(get) {
      const node = html("span", { style: "white-space: nowrap; padding: 2px 3px" });
      updates.push((result) => { node.textContent = t ? get(result) : "\u2013"; });
      return node;
    }
    function state(get) {
      const node = html("span", { style: "padding: 2px 6px; border-radius: 4px" });
      updates.push((result) => {
        node.textContent = t ? short(get(result)) : "\u2013";
        node.style.background = t ? kit.signed(get(result), strongest(result)) : "none";
      });
      return node;
    }
    const head = (content, span = 1) => html("span",
      { style: `grid-column: span ${span}; align-self: end; color: var(--xp-soft)` }, content);
    const rows = [
      head(""), head(sub("W", "ih", " x")), head(sub("+ W", "hh", " h from the step before"), units.length),
      head("+ b"), head("= a"), head(`h = ${machine.nonlinearity}(a)`),
    ];
    for (const i of units) {
      rows.push(
        sub("h", i + 1),
        line(field(`W_ih, unit ${i + 1}`, () => machine.weight_ih[i], column),
          text(() => (name === "parity" ? `\u00b7 ${symbol(t)}` : `\u00b7 1 (${symbol(t)})`))),
        ...units.map((j) => line("+ ",
          field(`W_hh, to unit ${i + 1} from unit ${j + 1}`, () => machine.weight_hh[i], () => j),
          " \u00b7 ", state((result) => result.h[t - 1][j]))),
        line("+ ", field(`b, unit ${i + 1}`, () => machine.bias, () => i)),
        text((result) => `= ${short(result.a[t - 1][i])}`),
        line("\u2192 ", state((result) => result.h[t][i])));
    }
    const grid = html("div", {
      style: "display: grid; gap: 6px 10px; align-items: center; " +
        `grid-template-columns: repeat(${units.length + 5}, max-content)`,
    }, rows);
    updates.push(() => {
      heading.textContent = t
        ? `Step ${t} in numbers. The fields are the weights: the same at every step; change one.`
        : "Folded: one cell, one set of weights. Unroll it to see it read.";
    });
    const readout = machine.readout &&
      html("div", { style: "display: flex; gap: 10px; align-items: center; margin-top: 8px" },
        html("span", {}, html("span", {}, "o", html("sub", {}, "t")), " ="),
        units.map((j) => line(j ? "+ " : "",
          field(`W, from unit ${j + 1}`, () => machine.readout, () => j),
          " \u00b7 ", state((result) => result.h[t][j]))),
        text((result) => `= ${short(result.o[t - 1])}`));
    sum.replaceChildren(grid, readout || "");
    return (result) => { for (const change of updates) change(result); };
  }

  /* What one sees, in words. */
  function describeParity({ h, o, parity, first_wrong }) {
    const reads = `Step ${t} reads ${symbol(t)}: the state ${vector(h[t - 1])} becomes ${vector(h[t])} ` +
      `and the output ${short(o[t - 1])} says ${o[t - 1] > 0.5 ? "odd" : "even"}. `;
    if (machine.weight_hh.flat().every((weight) => weight === 0)) {
      const bit = o.every((value, i) => Math.abs(value - bits[i]) < 1e-9);
      return `Without the state each output ${bit ? "is the bit itself" : "depends on its own bit alone"}: ` +
        (first_wrong ? `first wrong at step ${first_wrong}. ` : "right on these bits. ") + reads;
    }
    if (first_wrong) {
      return `${reads}The output first goes wrong at bit ${first_wrong}: it is ` +
        `${short(o[first_wrong - 1])}, the true parity ${parity[first_wrong - 1]}.`;
    }
    const off = Math.max(...o.map((value, i) => Math.abs(value - parity[i])));
    const when = shown === 1 ? "after the one bit" : `after each of the ${shown} bits`;
    return reads + (off < 1e-9
      ? `The output equals the true parity ${when}.`
      : `The output is on the right side of 1/2 ${when}, but off by up to ${short(off)}.`);
  }

  function describeWord({ from_input, h }) {
    const letter = symbol(t);
    const places = [...Array(shown).keys()].map((i) => i + 1).filter((i) => symbol(i) === letter);
    if (places.length < 2) {
      return `Step ${t} reads ${letter}. ` +
        "Unroll or type a word in which a letter comes twice: same letter, same weights, another state.";
    }
    const distance = (p, q) => Math.max(...h[p].map((value, i) => Math.abs(value - h[q][i])));
    const far = Math.max(...places.flatMap((p) => places.map((q) => distance(p, q))));
    const where = `${places.slice(0, -1).join(", ")} and ${places.at(-1)}`;
    return [`Step ${t} reads ${letter}. The letter ${letter} stands at steps ${where}; each time W`,
      html("sub", {}, "ih"), ` x is ${vector(from_input[t - 1])}. ` + (far < 1e-9
      ? "The states there are equal: nothing came from the step before that could tell them apart."
      : `Yet the states there differ by up to ${short(far)}, because the state before differs: ` +
        "it is the only thing that passes from step to step.")];
  }

  function draw() {
    unroll.limit(0, most());
    unroll.set(shown);
    step.limit(Math.min(1, shown), shown);
    step.set(t);
    back.setAttribute("aria-disabled", String(t <= 1));
    forward.setAttribute("aria-disabled", String(t >= most()));
    const result = compute({ ...machine, x: inputs() });
    drawFigure(result);
    update(result);
    say.replaceChildren(...[t
      ? (name === "parity" ? describeParity(result) : describeWord(result))
      : "Folded: the state leaves the cell and comes back at the next step. Step forward to unroll the loop."].flat());
  }

  start(name);
}

export default { render };
