/* The triangle of contributions: losses are rows, uses of the weight are columns; both count from 0 here. */
function backFactors({ nonlinearity, w }, h) {
  const slope = h.slice(1).map((value) => (nonlinearity === "linear" ? 1 : 1 - value * value));
  return { slope, edge: slope.map((value) => w * value) };
}

/* The losses that there are, and each one's immediate gradient. */
const hasLoss = ({ loss, T }, s) => loss !== "last" || s === T - 1;
const lossGradient = (input, h, s) => (!hasLoss(input, s) ? 0 : input.loss === "squares" ? h[s + 1] : 1);

const firstKept = ({ T, k1 }, s, window) => Math.min(s - (s % k1) + k1, T) - window;

export function compute(input) {
  const { nonlinearity, T, w, u, h_0, x, k1, k2 } = input;
  const h = [h_0];
  for (let t = 0; t < T; t++) {
    const a = w * h[t] + u * x[t];
    h.push(nonlinearity === "linear" ? a : Math.tanh(a));
  }
  const { slope } = backFactors(input, h);
  const steps = [...Array(T).keys()];
  const triangle = steps.map(() => Array(T).fill(0));
  for (const s of steps) {
    let dh = lossGradient(input, h, s);
    for (let t = s; t >= 0; t--) {
      const da = dh * slope[t];
      triangle[s][t] = da * h[t];
      dh = da * w;
    }
  }
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const kept = (s, t, window) => (t <= s && t >= firstKept(input, s, window) ? 1 : 0);
  const truncated = (window) => sum(steps.map((s) => sum(triangle[s].filter((_, t) => kept(s, t, window)))));
  return {
    h,
    triangle,
    rows: triangle.map(sum),
    columns: steps.map((t) => sum(triangle.map((row) => row[t]))),
    total: sum(triangle.map(sum)),
    kept: steps.map((s) => steps.map((t) => kept(s, t, k2))),
    truncated: truncated(k2),
    windows: steps.slice(k1 - 1).map((window) => truncated(window + 1)),
  };
}

function render({ model, el }) {
  const { el: html, svg, short } = kit;
  const data = model.get("data");
  const input = { ...data.start };
  const chosen = { s: input.T - 1, t: 0 };
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const [before, after] = [html("p", { class: "xp-note" }), html("div")];
  const box = html("div", { class: "xp-stage" });
  stage.append(before, box, after);
  kit.sideways(box);
  const sub = (i) => String(i).replace(/\d/g, (d) => String.fromCharCode(0x2080 + +d));
  /* Change settings; the controls follow. */
  function set(changes) {
    Object.assign(input, changes);
    // A truncated pass covers at least its own losses, at most the whole sequence.
    input.k1 = Math.min(input.k1, input.T);
    input.k2 = Math.min(Math.max(input.k2, input.k1), input.T);
    k1.limit(1, input.T);
    k2.limit(input.k1, input.T);
    for (const [name, control] of Object.entries(settings)) control.set(input[name]);
    if ("T" in changes || "loss" in changes) Object.assign(chosen, { s: input.T - 1, t: 0 });
    draw();
  }
  const slider = (name, label, min, max, step, format = String) =>
    kit.slider({ label, min, max, step, format, value: input[name], oninput: (value) => set({ [name]: value }) });
  const choice = (name, label, options) =>
    kit.choice({ label, options, value: input[name], oninput: (value) => set({ [name]: value }) });
  const k1 = slider("k1", "pass every k\u2081", 1, input.T, 1);
  const k2 = slider("k2", "window k\u2082", 1, input.T, 1);
  const two = (value) => kit.number(value, 2);
  const settings = {
    nonlinearity: choice("nonlinearity", "f", [["linear", "linear"], ["tanh", "tanh"]]),
    loss: choice("loss", "loss", [
      ["last", "the last h only"], ["states", "each step: L\u209b = h\u209b"], ["squares", "each step: L\u209b = h\u209b\u00b2/2"],
    ]),
    T: slider("T", "length T", 2, 12, 1),
    w: slider("w", "weight w", -2, 2, 0.05, two),
    u: slider("u", "input weight u", 0, 1, 0.1, two),
    k1, k2,
  };
  controls.append(...Object.values(settings).map((control) => control.node),
    kit.button("see it fade", () => set(data.fade)), kit.button("start again", () => set(data.start)));

  function move(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const s = Math.min(Math.max(chosen.s + step[0], 0), input.T - 1);
    choose(s, Math.min(Math.max(chosen.t + step[1], 0), s));
  }

  function choose(s, t) {
    Object.assign(chosen, { s, t });
    draw();
    box.querySelector("button[aria-pressed='true']").focus();
  }

  const LEFT = 58, RIGHT = 66, GAP = 2;

  function chain({ h }, { slope, edge }, column) {
    const { s, t } = chosen;
    const lit = { colour: "var(--xp-good)", width: 4 };
    const at = (i) => LEFT + i * column - GAP / 2;
    const half = Math.min(column - 14, 58) / 2;
    const size = `font-size: ${column < 70 ? 12 : 14}px`;
    const limit = Math.max(...h.map(Math.abs), 1e-9);
    const text = (x, y, content, style = size) =>
      svg("text", { x, y, "text-anchor": "middle", style }, content);
    const line = (x1, x2, stroke, width) =>
      svg("line", { x1, y1: 72, x2, y2: 72, stroke, "stroke-width": width });
    const parts = [];
    for (let i = 0; i < input.T; i++) {
      const through = i > t && i <= s;
      const middle = at(i) + column / 2;
      if (through) parts.push(kit.arrow(at(i + 1) - half, 72, at(i) + half, 72, lit));
      else if (i === t) parts.push(line(at(i) + half, middle, "var(--xp-soft)", 1.5));
      else parts.push(kit.arrow(at(i) + half, 72, at(i + 1) - half, 72));
      parts.push(text(middle, 52, `${through && column > 80 ? "\u00d7 " : ""}${short(edge[i])}`,
        through ? `${size}; font-weight: 700` : `${size}; fill: var(--xp-soft)`));
      if (i === t) {
        parts.push(line(at(i + 1) - half, middle - 2, lit.colour, 4),
          kit.arrow(middle, 72, middle, 130, lit),
          svg("text", { x: middle + 7, y: 123, style: `${size}; font-weight: 700` },
            `\u00d7 ${column > 80 ? `f\u2032 h${sub(i)} = ` : ""}${short(slope[i] * h[i])}`));
      }
      if (hasLoss(input, i)) {
        parts.push(text(at(i + 1), 16, `L${sub(i + 1)}`, i === s ? "font-weight: 700" : ""));
        parts.push(kit.arrow(at(i + 1), 22, at(i + 1), 58, i === s ? lit : {}));
      }
    }
    h.forEach((value, i) => {
      const on = i > t && i <= s + 1;
      parts.push(svg("rect", {
        x: at(i) - half, y: 58, width: 2 * half, height: 28, rx: 6, fill: kit.signed(value, limit),
        stroke: on ? "var(--xp-good)" : "var(--xp-line)", "stroke-width": on ? 3 : 1,
      }), text(at(i), 77, short(value)), text(at(i), 103, `h${sub(i)}`, "fill: var(--xp-soft)"));
    });
    if (hasLoss(input, s)) {
      const first = firstKept(input, s, input.k2);
      const [start, end] = [at(Math.max(first, 0)) + 3, at(first + input.k2) - 3];
      parts.push(...[
        svg("path", {
          d: `M ${start} 38 v -8 M ${start} 34 H ${end} M ${end} 38 v -8`,
          fill: "none", stroke: "var(--xp-warm)", "stroke-width": 3,
        }),
        ["window", `of L${sub(s + 1)}`].map((line, i) =>
          svg("text", { x: 0, y: 24 + 14 * i, style: "font-size: 12px; fill: var(--xp-warm)" }, line)),
      ].flat());
    }
    parts.push(svg("text", { x: 0, y: 53, style: "font-size: 12px; fill: var(--xp-soft)" }, "w f\u2032"));
    const width = LEFT + input.T * column + RIGHT;
    return svg("svg", {
      width, height: 132, viewBox: `0 0 ${width} 132`, style: "max-width: none", role: "img",
      "aria-label": `The chain of states: ${h.map(short).join(", ")}`,
    }, parts);
  }

  /* Truncation leaves out cells of losses only that there are. */
  const leftOut = (result, s, t) => t <= s && hasLoss(input, s) && !result.kept[s][t];

  function triangle(result, column) {
    const { T } = input;
    const limit = Math.max(...result.triangle.flat().map(Math.abs), 1e-9);
    const steps = [...Array(T).keys()];
    const centre = "text-align: center; align-self: center";
    const cell = (role, content, attributes = {}) =>
      html("div", { role, style: `${centre}; font-size: 13px`, ...attributes }, content);
    const size = column < 70 ? 12 : 13;
    const button = (s, t) => {
      const value = result.triangle[s][t];
      const out = leftOut(result, s, t);
      const pressed = s === chosen.s && t === chosen.t;
      return html("button", {
        type: "button", class: "xp-cell", "aria-pressed": String(pressed), tabindex: pressed ? 0 : -1,
        "data-key": `${s},${t}`, "data-out": out, onclick: () => choose(s, t), onkeydown: move,
        style: `font-size: ${size}px; background: ${out ? "none" : kit.signed(value, limit)}`,
        "aria-label": `loss ${s + 1}, use ${t + 1}: ` +
          `${hasLoss(input, s) ? `${short(value)}${out ? ", left out" : ""}` : "no such loss"}`,
      }, short(value));
    };
    const keptSum = (t) => steps.reduce((sum, s) => sum + (result.kept[s][t] ? result.triangle[s][t] : 0), 0);
    const bold = `${centre}; font-weight: 700; font-size: 15px`;
    return html("div", {
      role: "grid",
      "aria-label": "Contribution of each loss (row) through each use of w (column); arrow keys move",
      style: `grid-template-columns: ${LEFT - GAP}px repeat(${T}, ${column - GAP}px) ${RIGHT}px`,
    },
      html("div", { role: "row" }, cell("columnheader", ""),
        steps.map((t) => cell("columnheader", `use ${t + 1}`)), cell("columnheader", "row sum")),
      steps.map((s) => html("div", { role: "row" },
        cell("rowheader", `loss ${s + 1}`),
        steps.map((t) => (t <= s ? html("div", { role: "gridcell" }, button(s, t)) : cell("gridcell", ""))),
        cell("gridcell", short(result.rows[s])))),
      html("div", { role: "row" }, cell("rowheader", "full"),
        result.columns.map((value) => cell("gridcell", short(value))),
        cell("gridcell", short(result.total), { style: bold })),
      html("div", { role: "row" }, cell("rowheader", "kept"),
        steps.map((t) => cell("gridcell", short(keptSum(t)))),
        cell("gridcell", short(result.truncated), { style: bold })));
  }

  function legend() {
    const swatch = (style) => html("span", {
      style: `display: inline-block; width: 18px; height: 12px; border-radius: 3px; margin-right: 6px; box-sizing: border-box; ${style}`,
    });
    const entry = (style, text) => html("span", {}, swatch(style), text);
    return html("div", { class: "xp-row xp-label", style: "font-size: 13px; gap: 2px 18px; margin: 4px 0" },
      entry("border: 1px dashed var(--xp-soft)", "dashed, grey: left out by truncation"),
      entry("border: 3px solid var(--xp-good)", "the path shown above"),
      entry(`background: ${kit.signed(1)}`, "positive"), entry(`background: ${kit.signed(-1)}`, "negative"));
  }

  function draw() {
    const x = data.x.slice(0, input.T);
    const result = compute({ ...input, x });
    const factors = backFactors(input, result.h);
    const { s, t } = chosen;
    const room = (box.clientWidth || 660) - LEFT - RIGHT;
    const column = Math.max(64, Math.min(110, Math.floor(room / input.T)));
    const windows = result.windows.flatMap((value, i) => {
      const window = input.k1 + i;
      const tag = window === input.k2 ? "strong" : "span";
      return [i ? ", " : "", html(tag, {}, `${window} \u2192 ${short(value)}`)];
    });
    const inputs = input.u ? `; x = ${x.map(short).join(", ")}` : "";
    const below = (content) => html("sub", {}, content);
    before.replaceChildren("h", below("t"), " = f(w h", below("t\u22121"),
      " + u x", below("t"), `), h\u2080 = ${short(input.h_0)}${inputs}`);
    kit.swap(box, chain(result, factors, column), triangle(result, column));
    after.replaceChildren(legend(),
      html("p", { class: "xp-note" }, "Gradient by window k\u2082: ", ...windows,
        `; the full gradient is ${short(result.total)}.`));

    const between = factors.edge.slice(t + 1, s + 1).reverse();
    const product = [lossGradient(input, result.h, s), ...between, factors.slope[t], result.h[t]];
    const bracket = (value) => (value < 0 ? `(${short(value)})` : short(value));
    const middle = ["", "one factor w f\u2032, "][s - t] ?? `${s - t} factors w f\u2032, `;
    const left = !hasLoss(input, s)
      ? `There is no loss at step ${s + 1}, so its row is zero. `
      : `From loss ${s + 1} back to use ${t + 1} of w: ` +
        `\u2202\u207aL${sub(s + 1)}/\u2202h${sub(s + 1)}, ` +
        `${middle}then f\u2032 and h${sub(t)}: ` +
        `${product.map(bracket).join(" \u00d7 ")} = ${short(result.triangle[s][t])}` +
        `${result.kept[s][t] ? ". " : ", which truncation leaves out. "}`;
    const pairs = result.triangle.flatMap((_, i) => [...Array(i + 1).keys()].map((j) => [i, j]));
    const cells = pairs.filter(([i]) => hasLoss(input, i)).length;
    const missing = pairs.filter(([i, j]) => leftOut(result, i, j)).length;
    say.textContent = left + (missing
      ? `Truncation leaves out ${missing} of ${cells} cells: ` +
        `${short(result.truncated)} instead of ${short(result.total)}.`
      : `Nothing is left out: the gradient is ${short(result.total)}.`);
  }

  draw();
  let width = box.clientWidth;
  const observer = new ResizeObserver(() => {
    if (box.clientWidth !== width) { width = box.clientWidth; draw(); }
  });
  observer.observe(el);
  return () => observer.disconnect();
}

export default { render };
