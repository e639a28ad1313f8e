/* Which inputs reach an output: a network of layers (rows) and steps (columns), both counted from 0 here. */
const goes = {
  forward: (k) => [true, false],
  backward: (k) => [false, true],
  bidirectional: (k) => [true, true],
  alternating: (k) => [k % 2 === 0, k % 2 === 1],
};

/* In how many ways input s of one layer reaches its result t. */
const ways = ([right, left], s, t) => (right && s <= t ? 1 : 0) + (left && s >= t ? 1 : 0);

export function compute({ direction, layers, n, pads, packed, output }) {
  const read = packed ? n : n + pads;
  const steps = [...Array(n + pads).keys()];
  const seen = steps.filter((s) => s < read);
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  /* Row t, followed down from the top layer to the inputs. */
  const down = (row, layer) => steps.map((s) =>
    (s < read ? sum(seen.map((t) => row[t] * ways(goes[direction](layer), s, t))) : 0));
  const follow = (t) => {
    const rows = [steps.map((s) => (s === t ? 1 : 0))];
    for (let k = layers - 1; k >= 0; k--) rows.unshift(down(rows[0], k));
    return rows;
  };
  const paths = steps.slice(0, n).map((t) => follow(t)[0]);
  return {
    paths,
    alive: follow(output).map((row) => row.map((count) => (count > 0 ? 1 : 0))),
    padding: paths[output].slice(n).filter((count) => count > 0).length,
    answer: output + 1 < n && paths[output][output + 1] > 0,
  };
}

function render({ model, el }) {
  const { el: html, svg } = kit;
  const input = { ...model.get("data").start };
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const box = html("div", { class: "xp-stage" });
  const note = html("p", { class: "xp-note" });
  stage.append(box, note);
  kit.sideways(box);

  function set(changes) {
    Object.assign(input, changes);
    input.output = Math.min(input.output, input.n - 1);
    for (const [name, control] of Object.entries(settings)) control.set(name === "packed" ? String(input.packed) : input[name]);
    draw();
  }
  const slider = (name, label, min, max) =>
    kit.slider({ label, min, max, value: input[name], oninput: (value) => set({ [name]: value }) });
  const settings = {
    direction: kit.choice({
      label: "layers read", value: input.direction, oninput: (value) => set({ direction: value }),
      options: [["forward", "forwards"], ["backward", "backwards"], ["bidirectional", "both ways"], ["alternating", "in turns"]],
    }),
    layers: slider("layers", "layers", 1, 4),
    n: slider("n", "real steps", 2, 7),
    pads: slider("pads", "padding", 0, 3),
    packed: kit.choice({
      label: "length", value: String(input.packed), oninput: (value) => set({ packed: value === "true" }),
      options: [["false", "not told"], ["true", "told (packed)"]],
    }),
  };
  controls.append(...Object.values(settings).map((control) => control.node));

  const LEFT = 52, RIGHT = 6, HIGH = 28;

  function move(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(Math.min(Math.max(input.output + step, 0), input.n - 1));
  }

  function choose(output) {
    set({ output });
    box.querySelector("[aria-pressed='true']").focus();
  }

  function draw() {
    const { layers, n, pads, packed, output } = input;
    const result = compute(input);
    const { alive } = result;
    const read = packed ? n : n + pads;
    const total = n + pads;
    const room = (box.clientWidth || 640) - LEFT - RIGHT;
    const column = Math.max(38, Math.min(84, Math.floor(room / total)));
    const W = Math.min(46, column - 14);  // of a node; the rest is for the arrows
    const small = column < 50 ? 11 : 13;
    const both = input.direction === "bidirectional";
    const ROW = both ? 84 : 52;
    const half = { width: Math.min(30, Math.floor((column - 10) / 2)), height: 20, bar: -34 };  // of both ways: two nodes a step
    const side = half.width / 2 + 2;
    const x = (t) => LEFT + t * column + column / 2;
    const y = (k) => 34 + (layers + 1 - k) * ROW;  // row 0: inputs, layers, then outputs
    const width = LEFT + total * column + RIGHT;
    const lit = (on, padding) => (on
      ? { colour: padding ? "var(--xp-warm)" : "var(--xp-good)", width: 3 } : { colour: "var(--xp-line)", width: 1.2 });
    const parts = [];
    const label = (k, text) =>
      parts.push(svg("text", { x: 0, y: y(k) + 5, style: "font-size: 13px; fill: var(--xp-soft)" }, text));
    label(0, "input");
    for (let k = 1; k <= layers; k++) label(k, `layer ${k}`);
    label(layers + 1, "output");
    const along = (k, t, dx, dy, w, right) => {
      const [from, to] = right ? [x(t) + w / 2, x(t + 1) - w / 2] : [x(t + 1) - w / 2, x(t) + w / 2];
      const on = alive[k].some((reached, s) => reached && (right ? s > t : s <= t));
      parts.push(kit.arrow(from + dx, y(k) + dy, to + dx, y(k) + dy, lit(on, t + 1 >= n)));
    };
    for (let k = 1; k <= layers; k++) {
      const [right, left] = goes[input.direction](k - 1);
      for (let t = 0; t + 1 < read; t++) {
        if (right) along(k, t, both ? -side : 0, both ? -10 : 0, both ? half.width : W, true);
        if (left) along(k, t, both ? side : 0, both ? 16 : 0, both ? half.width : W, false);
      }
    }
    const node = (t, k, on, text, padding) => parts.push(
      svg("rect", {
        x: x(t) - W / 2, y: y(k) - HIGH / 2, width: W, height: HIGH, rx: 6,
        fill: "var(--xp-paper)", "stroke-dasharray": padding ? "4 3" : undefined,
        stroke: on ? (padding ? "var(--xp-warm)" : "var(--xp-good)") : "var(--xp-line)", "stroke-width": on ? 3 : 1.2,
      }),
      svg("text", { x: x(t), y: y(k) + 5, "text-anchor": "middle", style: `font-size: ${small}px` }, text));
    /* A step of a layer that reads both ways: its two nodes, and the bar above that holds both their states. */
    const pair = (t, k, padding) => {
      const below = k === 1 ? y(0) - HIGH / 2 : y(k - 1) + half.bar - 3;
      for (const [sign, dy, text] of [[-1, -10, "\u2192"], [1, 16, "\u2190"]]) {
        const at = x(t) + sign * side, top = y(k) + dy - half.height / 2;
        const on = alive[k].some((reached, s) => reached && (sign < 0 ? s >= t : s <= t));
        const { colour, width } = lit(on, padding), up = lit(alive[k][t], padding);
        parts.push(
          kit.arrow(at, below, at, top + half.height, { colour, width }),
          svg("line", { x1: at, y1: top, x2: at, y2: y(k) + half.bar + 3, stroke: up.colour, "stroke-width": up.width }),
          svg("rect", {
            x: at - half.width / 2, y: top, width: half.width, height: half.height, rx: 5, fill: "var(--xp-paper)",
            stroke: colour, "stroke-width": width, "stroke-dasharray": padding ? "4 3" : undefined,
          }),
          svg("text", { x: at, y: top + 14, "text-anchor": "middle", style: `font-size: ${small}px` }, text));
      }
      parts.push(svg("rect", {
        x: x(t) - side - half.width / 2, y: y(k) + half.bar - 3, width: 2 * side + half.width, height: 6, rx: 3,
        fill: lit(alive[k][t], padding).colour,
      }));
    };
    for (let t = 0; t < total; t++) {
      const padding = t >= n;
      node(t, 0, alive[0][t], padding ? "pad" : `${t + 1}`, padding);
      if (t < read) {
        for (let k = 1; k <= layers; k++) {
          if (both) { pair(t, k, padding); continue; }
          parts.push(kit.arrow(x(t), y(k - 1) - HIGH / 2, x(t), y(k) + HIGH / 2, lit(alive[k - 1][t], padding)));
          node(t, k, alive[k - 1][t] || alive[k][t], "h", padding);
        }
      }
      if (padding) continue;
      const here = t === output;
      parts.push(kit.arrow(x(t), y(layers) + (both ? half.bar - 3 : -HIGH / 2), x(t), y(layers + 1) + HIGH / 2, lit(here, false)),
        svg("g", {
          class: "xp-press", role: "button", tabindex: here ? 0 : -1, "aria-pressed": String(here),
          "data-key": `output-${t}`, "aria-label": `output ${t + 1}`, onclick: () => choose(t),
          onkeydown: (event) => {
            if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(t); } else move(event);
          },
        },
          svg("rect", {
            x: x(t) - W / 2, y: y(layers + 1) - HIGH / 2, width: W, height: HIGH, rx: 6,
            fill: "var(--xp-panel)",
            stroke: here ? "var(--xp-good)" : "var(--xp-soft)", "stroke-width": here ? 3 : 1.2,
          }),
          svg("text", { x: x(t), y: y(layers + 1) + 5, "text-anchor": "middle", style: "font-size: 14px; font-weight: 600" },
            `${t + 1}`)));
    }
    const counts = result.paths[output];
    for (let t = 0; t < total; t++) {
      parts.push(svg("text", {
        x: x(t), y: y(0) + HIGH / 2 + 18, "text-anchor": "middle",
        style: `font-size: 13px; font-weight: ${counts[t] ? 700 : 400}`,
      }, `${counts[t]}`));
    }
    parts.push(svg("text", { x: 0, y: y(0) + HIGH / 2 + 18, style: "font-size: 13px; fill: var(--xp-soft)" }, "paths"));
    const height = y(0) + HIGH / 2 + 26;
    kit.swap(box, svg("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, style: "max-width: none", role: "group",
      "aria-label": "The network: choose an output with the arrow keys",
    }, parts), matrix(result, column));

    const reached = counts.map((count, s) => [count, s]).filter(([count, s]) => count && s < n).map(([, s]) => s + 1);
    const range = reached.length === 1 ? `input ${reached[0]} alone` : `inputs ${reached[0]} to ${reached.at(-1)}`;
    const next = output + 1 < n
      ? ` A language model at this output is asked for input ${output + 2}: ${result.answer ? "it sees the answer." : "it does not see it."}`
      : " It is the last: no input follows.";
    const padded = result.padding
      ? ` ${result.padding === 1 ? "One step" : `${result.padding} steps`} of padding reach it too: the output depends on how long the others in the batch are.`
      : "";
    say.textContent = `Output ${output + 1} is reached by ${range}.${padded}${next}`;
    note.replaceChildren("Click an output, or move with the arrow keys. Green: what can reach it. ",
      html("span", { class: "xp-bad" }, "Orange, dashed: padding that does."));
  }

  /* All outputs at once: rows are outputs, columns inputs. */
  function matrix({ paths }, column) {
    const { n, pads, output } = input;
    const centre = "text-align: center; align-self: center; font-size: 13px";
    const cell = (role, text, style = "") => html("div", { role, style: `${centre}; ${style}` }, text);
    const names = [...Array(n + pads).keys()].map((s) => (s < n ? `${s + 1}` : "pad"));
    return html("div", {
      role: "grid", "aria-label": "Paths from each input (column) to each output (row)",
      style: `grid-template-columns: ${LEFT - 2}px repeat(${n + pads}, ${column - 2}px); margin-top: 10px`,
    },
      html("div", { role: "row" }, cell("columnheader", "output"), names.map((name) => cell("columnheader", name))),
      paths.map((row, t) => html("div", { role: "row" },
        cell("rowheader", `${t + 1}`, t === output ? "font-weight: 700" : ""),
        row.map((count, s) => cell("gridcell", `${count}`,
          `padding: 3px 0; border-radius: 3px; border: 1px ${s < n ? "solid" : "dashed"} var(--xp-line); ` +
          `background: ${count ? kit.signed(s < n ? -0.7 : 0.9) : "none"}; ${t === output ? "font-weight: 700" : ""}`)))));
  }

  draw();
  let wide = box.clientWidth;
  const observer = new ResizeObserver(() => {
    if (box.clientWidth !== wide) { wide = box.clientWidth; draw(); }
  });
  observer.observe(el);
  return () => observer.disconnect();
}

export default { render };
