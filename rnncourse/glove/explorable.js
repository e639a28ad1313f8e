/* Which cells of X count: meetings by distance make X, x_max and the exponent turn X into weights. */
export function compute({ meetings, window, weighting, x_max, exponent }) {
  const near = meetings.slice(0, window);
  const X = near[0].map((row, i) => row.map((_, j) =>
    near.reduce((sum, table, d) => sum + table[i][j] * (weighting === "harmonic" ? 1 / (d + 1) : 1), 0)));
  const f = X.map((row) => row.map((x) => Math.min(x / x_max, 1) ** exponent));
  const counts = X.flat(), weights = f.flat().sort((a, b) => b - a);
  const total = weights.reduce((a, b) => a + b, 0);
  let half = 0;
  for (let sum = 0; half < weights.length; half++) {
    sum += weights[half];
    if (!(sum < (total / 2) * (1 - 1e-12))) break;
  }
  const share = (values, test) => values.filter(test).length / values.length;
  return {
    X, f, half: half + 1,
    empty: share(counts, (x) => x === 0),
    full: share(f.flat(), (w) => w === 1),
  };
}

function render({ model, el }) {
  const { el: html, svg, short, number } = kit;
  const { words, meetings, start, chosen } = model.get("data");
  const input = { ...start };
  const at = { i: chosen[0], j: chosen[1] };
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const box = html("div", { class: "xp-stage" });
  const [beside, legend] = [html("div", { class: "xp-row" }), html("p", { class: "xp-note" })];
  stage.append(box, legend, beside);
  kit.sideways(box);
  const X_MAX = [0.1, 1, 2, 5, 10, 20, 50, 100, 200, 500];

  function set(changes) {
    Object.assign(input, changes);
    for (const [name, control] of Object.entries(settings))
      control.set(name === "x_max" ? X_MAX.indexOf(input.x_max) : input[name]);
    draw();
  }
  const settings = {
    x_max: kit.slider({
      label: "x_max", min: 0, max: X_MAX.length - 1, value: X_MAX.indexOf(input.x_max),
      format: (place) => String(X_MAX[place]), oninput: (place) => set({ x_max: X_MAX[place] }),
    }),
    exponent: kit.slider({
      label: "exponent", min: 0.05, max: 1, step: 0.05, value: input.exponent,
      format: (value) => number(value, 2), oninput: (exponent) => set({ exponent }),
    }),
    window: kit.slider({
      label: "window", min: 1, max: meetings.length, value: input.window, oninput: (window) => set({ window }),
    }),
    weighting: kit.choice({
      label: "a pair at distance d adds", options: [["harmonic", "1/d"], ["flat", "1"]],
      value: input.weighting, oninput: (weighting) => set({ weighting }),
    }),
  };
  controls.append(...Object.values(settings).map((control) => control.node),
    kit.button("all cells alike", () => set({ x_max: 0.1 })),
    kit.button("start again", () => set(start)));

  function choose(i, j) {
    Object.assign(at, { i, j });
    draw();
    box.querySelector("button[aria-pressed='true']").focus({ preventScroll: true });
  }

  function move(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const inside = (k) => Math.min(Math.max(k, 0), words.length - 1);
    choose(inside(at.i + step[0]), inside(at.j + step[1]));
  }

  /* Half of the colour at most, so that ink reads on it. */
  const paint = (f) => `color-mix(in srgb, var(--xp-warm) ${number(50 * f, 1)}%, var(--xp-paper))`;

  function grid({ X, f }) {
    const label = (role, text, align) => html("div", {
      role, style: `font-size: 12px; align-self: ${role === "columnheader" ? "end" : "center"}; text-align: ${align}`,
    }, text);
    const button = (i, j) => {
      const pressed = i === at.i && j === at.j;
      return html("button", {
        type: "button", class: "xp-cell", "aria-pressed": String(pressed), tabindex: pressed ? 0 : -1,
        "data-key": `${i},${j}`, "data-out": X[i][j] === 0, onclick: () => choose(i, j), onkeydown: move,
        style: `font-size: 12px; min-height: 26px; background: ${X[i][j] === 0 ? "none" : paint(f[i][j])}`,
        "aria-label": `${words[i]}, ${words[j]}: count ${short(X[i][j])}, weight ${number(f[i][j], 2)}`,
      }, X[i][j] === 0 ? "" : X[i][j] >= 100 ? number(X[i][j], 0) : number(X[i][j], 1));
    };
    return html("div", {
      role: "grid", "aria-label": "Counts of pairs of words; arrow keys move",
      style: `grid-template-columns: 52px repeat(${words.length}, minmax(44px, 1fr)); min-width: 640px`,
    },
      html("div", { role: "row" }, label("columnheader", "", "left"),
        words.map((word) => label("columnheader", word, "center"))),
      words.map((word, i) => html("div", { role: "row" }, label("rowheader", word, "right"),
        words.map((_, j) => html("div", { role: "gridcell" }, button(i, j))))));
  }

  /* f against the count, logarithmic, with the chosen pair. */
  function curve({ X, f }) {
    const [width, height, left, right, top, bottom] = [336, 170, 44, 22, 12, 40];
    const [low, high] = [0.1, 1000];
    const x = (v) => left + (Math.log(v / low) / Math.log(high / low)) * (width - left - right);
    const y = (v) => height - bottom - v * (height - top - bottom);
    const points = [...Array(81).keys()].map((k) => low * (high / low) ** (k / 80))
      .map((v) => `${x(v)},${y(Math.min(v / input.x_max, 1) ** input.exponent)}`);
    const small = "font-size: 12px";
    const count = X[at.i][at.j];
    const text = (px, py, content, anchor = "middle", style = small) =>
      svg("text", { x: px, y: py, "text-anchor": anchor, style }, content);
    return svg("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Weight against count: it rises to 1 at x_max = ${input.x_max}`,
    },
      [0, 0.5, 1].flatMap((v) => [
        svg("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), stroke: "var(--xp-line)" }),
        text(left - 6, y(v) + 4, number(v, 1), "end")]),
      [1, 10, 100, 1000].map((v) => text(x(v), height - bottom + 16, String(v))),
      text((left + width - right) / 2, height - 6, "count X (logarithmic)"),
      text(12, (height - bottom) / 2 + 8, "f"),
      svg("line", { x1: x(input.x_max), x2: x(input.x_max), y1: y(0), y2: y(1), stroke: "var(--xp-soft)", "stroke-dasharray": "4 4" }),
      svg("polyline", { points: points.join(" "), fill: "none", stroke: "var(--xp-cold)", "stroke-width": 2.5 }),
      count ? svg("circle", { cx: x(Math.min(Math.max(count, low), high)), cy: y(f[at.i][at.j]), r: 6, fill: "var(--xp-warm)" }) : "");
  }

  function pair({ X, f }) {
    const { i, j } = at;
    const met = meetings.slice(0, input.window).map((table) => table[i][j]);
    const parts = met.map((n, d) => [n, d + 1]).filter(([n]) => n)
      .map(([n, d]) => (input.weighting === "harmonic" && d > 1 ? `${n} \u00d7 1/${d}` : `${n} \u00d7 1`));
    const line = (...content) => html("p", { class: "xp-note" }, ...content);
    const count = X[i][j];
    return html("div", { style: "flex: 1 1 230px" },
      line(html("strong", {}, `${words[i]}, ${words[j]}`)),
      line(`meetings at distance 1 to ${input.window}: ${met.join(", ")}${i === j ? " (each from both sides)" : ""}`),
      line(count ? `X = ${parts.join(" + ")} = ${short(count)}` : "X = 0: the two never meet"),
      line(count
        ? `f = ${count < input.x_max ? `(${short(count)} / ${input.x_max})` : "1"}` +
          `${count < input.x_max ? ` to the ${number(input.exponent, 2)} = ${number(f[i][j], 3)}` : ", at or above x_max"}`
        : "f = 0: the cell has no say at all, whatever x_max and the exponent are"));
  }

  function draw() {
    const result = compute({ ...input, meetings });
    kit.swap(box, grid(result));
    const percent = (value) => `${Math.round(100 * value)}%`;
    legend.replaceChildren("Numbers: counts X. Colour: the weight f, from 0 (none) to 1 (deepest). Dashed: zero, out of the cost.");
    beside.replaceChildren(curve(result), pair(result));
    say.textContent = `Of ${words.length ** 2} cells, ${percent(result.empty)} are zero and weigh nothing, ` +
      `${percent(result.full)} weigh 1, and the ${result.half} heaviest hold half of the weight.`;
  }
  draw();
  /* On a narrow page the chosen cell may lie outside the box. */
  requestAnimationFrame(() => {
    const cell = box.querySelector("button[aria-pressed='true']").getBoundingClientRect();
    const around = box.getBoundingClientRect();
    box.scrollLeft += Math.max(0, cell.right - around.right + 8);
  });
}

export default { render };
