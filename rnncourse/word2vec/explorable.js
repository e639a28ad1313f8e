/* One centre and three contexts in the plane: each pair pulls, the noise pushes, and the two balance. */
const sigmoid = (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];

export function compute({ pairs, contexts, total, k, rate, v, u, steps }) {
  const centre = pairs.reduce((a, b) => a + b, 0);
  const noise = contexts.map((c) => (k * centre * c) / total);
  const path = [];
  let x, pull, push;
  for (let step = 0; step <= steps; step++) {
    x = u.map((w) => dot(w, v));
    path.push(x);
    pull = x.map((s, j) => pairs[j] * sigmoid(-s));
    push = x.map((s, j) => noise[j] * sigmoid(s));
    if (step < steps) {
      const g = push.map((p, j) => p - pull[j]);
      const old = v;
      v = old.map((value, e) => value - rate * u.reduce((sum, w, j) => sum + g[j] * w[e], 0));
      u = u.map((w, j) => w.map((value, e) => value - rate * g[j] * old[e]));
    }
  }
  const target = pairs.map((n, j) => (n ? Math.log(n) - Math.log(noise[j]) : null));
  return { v, u, x, pull, push, target, path };
}

function render({ model, el }) {
  const { el: html, svg, number } = kit;
  const { start } = model.get("data");
  const NAMES = ["a", "b", "c"];
  const COLOURS = ["var(--xp-warm)", "var(--xp-good)", "var(--xp-cold)"];
  const DASHES = ["", "7 4", "2 4"];
  const LONGEST = 200;
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const figures = html("div", { style: "display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start" });
  const table = html("div", { style: "overflow-x: auto" });
  stage.append(figures, table);
  let input, chosen = 0, history;

  function restart(changes = {}) {
    input = { ...start, ...changes };
    history = [compute({ ...input, steps: 0 }).x];
    draw();
  }
  function set(changes) {
    Object.assign(input, changes);
    draw();
  }
  function go(steps) {
    const result = compute({ ...input, steps });
    history = [...history, ...result.path.slice(1)].slice(-LONGEST - 1);
    set({ v: result.v, u: result.u });
  }

  const k = kit.slider({ label: "negatives k", min: 1, max: 15, value: start.k, oninput: (value) => set({ k: value }) });
  const which = kit.choice({
    label: "arrows of context", options: NAMES.map((name, j) => [String(j), name]), value: "0",
    oninput: (value) => { chosen = +value; n.set(input.pairs[chosen]); draw(); },
  });
  const n = kit.slider({
    label: "its pairs with the centre", min: 0, max: 8, value: start.pairs[0],
    oninput: (value) => set({ pairs: input.pairs.map((old, j) => (j === chosen ? value : old)) }),
  });
  controls.append(k.node, which.node, n.node, kit.button("one step", () => go(1)), kit.button("50 steps", () => go(50)),
    kit.button("start again", () => {
      chosen = 0; which.set("0"); k.set(start.k); n.set(start.pairs[0]); restart();
    }));

  /* The vectors, from the origin; for the chosen context what pulls and pushes it. */
  function plane(result) {
    const SIDE = 320;
    const vectors = [input.v, ...input.u];
    const reach = 1.3 * Math.max(1.2, ...vectors.map((w) => Math.hypot(...w)));
    const at = ([a, b]) => [SIDE / 2 + (a / reach) * (SIDE / 2), SIDE / 2 - (b / reach) * (SIDE / 2)];
    const parts = [
      svg("line", { x1: 0, y1: SIDE / 2, x2: SIDE, y2: SIDE / 2, stroke: "var(--xp-line)" }),
      svg("line", { x1: SIDE / 2, y1: 0, x2: SIDE / 2, y2: SIDE, stroke: "var(--xp-line)" }),
    ];
    const label = (w, name, style = "") => {
      const [x, y] = at(w);
      const length = Math.hypot(...w) || 1;
      return svg("text", {
        x: x + (13 * w[0]) / length, y: y - (13 * w[1]) / length + 5, "text-anchor": "middle",
        style: `font-size: 15px; font-weight: 700; ${style}`,
      }, name);
    };
    const origin = at([0, 0]);
    input.u.forEach((w, j) => {
      parts.push(svg("line", {
        x1: origin[0], y1: origin[1], x2: at(w)[0], y2: at(w)[1], stroke: COLOURS[j],
        "stroke-width": j === chosen ? 3.5 : 2, "stroke-dasharray": DASHES[j] || false,
      }), svg("circle", { cx: at(w)[0], cy: at(w)[1], r: 4, fill: COLOURS[j] }), label(w, NAMES[j]));
    });
    parts.push(kit.arrow(...origin, ...at(input.v), { colour: "var(--xp-ink)", width: 3 }), label(input.v, "v"));
    /* Pull and push both lie along v; side by side, so that neither hides the other. */
    const force = (strength, sign, shift, colour, name) => {
      const along = input.v.map((value) => sign * 0.12 * strength * value);
      const w = input.u[chosen];
      const length = Math.hypot(...input.v) || 1;
      const side = [(-shift * input.v[1]) / length, (-shift * input.v[0]) / length];
      const [x1, y1] = at(w).map((value, e) => value + side[e]);
      const [x2, y2] = at([w[0] + along[0], w[1] + along[1]]).map((value, e) => value + side[e]);
      if (Math.hypot(x2 - x1, y2 - y1) < 9) return;
      parts.push(kit.arrow(x1, y1, x2, y2, { colour, width: 2 }), svg("text", {
        x: x2 + (10 * (x2 - x1)) / Math.hypot(x2 - x1, y2 - y1), y: y2 + (12 * (y2 - y1)) / Math.hypot(x2 - x1, y2 - y1) + 4,
        "text-anchor": "middle", style: "font-size: 12.5px",
      }, name));
    };
    force(result.pull[chosen], 1, 6, "var(--xp-ink)", "pull");
    force(result.push[chosen], -1, -6, "var(--xp-ink)", "push");
    return svg("svg", {
      viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", style: "flex: 1 1 260px; max-width: 380px; min-width: 0",
      "aria-label": `The plane: centre v at ${input.v.map((c) => number(c)).join(", ")}; ` +
        input.u.map((w, j) => `context ${NAMES[j]} at ${w.map((c) => number(c)).join(", ")}`).join("; "),
    }, ...parts);
  }

  /* Dot products by step, with their optima as short lines on the right. */
  function curves(result) {
    const [WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM] = [340, 320, 34, 40, 28, 34];
    const finite = [...history.flat(), ...result.target.filter((t) => t !== null), 0];
    const [low, high] = [Math.min(...finite) - 0.3, Math.max(...finite) + 0.3];
    const span = Math.max(10, history.length - 1);
    const x = (step) => LEFT + (step / span) * (WIDE - LEFT - RIGHT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (HIGH - TOP - BOTTOM);
    const unit = high - low > 6 ? 2 : 1;
    const parts = [svg("text", { x: LEFT - 26, y: 16, style: "font-size: 13px" }, "dot product v \u00b7 u; on the right its optimum")];
    for (let value = Math.ceil(low / unit) * unit; value <= high; value += unit) {
      parts.push(svg("line", { x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value), stroke: "var(--xp-line)" }),
        svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end", style: "font-size: 12px" }, number(value, 0)));
    }
    parts.push(svg("text", { x: (LEFT + WIDE - RIGHT) / 2, y: HIGH - 8, "text-anchor": "middle", style: "font-size: 13px" },
      history.length > LONGEST ? `the last ${LONGEST} steps` : `steps (${history.length - 1} so far)`));
    const ends = result.target.map((t, j) => [t, j]).filter(([t]) => t !== null).sort((a, b) => b[0] - a[0]);
    let last = -Infinity;
    for (const [t, j] of ends) {
      last = Math.max(y(t) + 4, last + 14);
      parts.push(svg("line", { x1: WIDE - RIGHT - 8, x2: WIDE - RIGHT + 10, y1: y(t), y2: y(t), stroke: COLOURS[j], "stroke-width": 3 }),
        svg("text", { x: WIDE - RIGHT + 14, y: last, style: "font-size: 13px; font-weight: 700" }, NAMES[j]));
    }
    NAMES.forEach((_, j) => {
      const points = history.map((row, step) => `${x(step)},${y(row[j])}`);
      parts.push(svg("polyline", {
        points: points.join(" "), fill: "none", stroke: COLOURS[j], "stroke-width": 2.2, "stroke-dasharray": DASHES[j] || false,
      }), svg("circle", { cx: x(history.length - 1), cy: y(history.at(-1)[j]), r: 3.5, fill: COLOURS[j] }));
    });
    return svg("svg", {
      viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", style: "flex: 1 1 260px; max-width: 400px; min-width: 0",
      "aria-label": `Dot products after ${history.length - 1} steps: ` +
        result.x.map((value, j) => `${NAMES[j]} ${number(value)}`).join(", "),
    }, ...parts);
  }

  function draw() {
    const result = compute({ ...input, steps: 0 });
    figures.replaceChildren(plane(result), curves(result));
    const optimum = (t) => (t === null ? "\u2212\u221e" : number(t));
    const cell = (tag, text, j) => html(tag, {
      style: `padding: 2px 10px; text-align: right; ${j === chosen ? "font-weight: 700" : ""}`,
    }, text);
    const centre = input.pairs.reduce((a, b) => a + b, 0);
    const rows = [
      ["pairs with the centre", input.pairs.map(String)],
      ["pairs of the context in all", input.contexts.map(String)],
      [`expected negatives (k \u00d7 ${centre} \u00d7 pairs in all / ${input.total})`,
        input.contexts.map((c) => number((input.k * centre * c) / input.total))],
      ["pull: pairs \u00d7 \u03c3(\u2212x)", result.pull.map((value) => number(value))],
      ["push: expected negatives \u00d7 \u03c3(x)", result.push.map((value) => number(value))],
      ["dot product x", result.x.map((value) => number(value))],
      ["PMI \u2212 ln k", result.target.map(optimum)],
    ];
    table.replaceChildren(html("table", { style: "border-collapse: collapse; font-size: 14px; margin-top: 6px" },
      html("tr", {}, html("th", { style: "text-align: left" }, "context"), NAMES.map((name, j) => cell("th", name, j))),
      rows.map(([name, values]) => html("tr", {},
        html("th", { scope: "row", style: "text-align: left; font-weight: 400" }, name),
        values.map((value, j) => cell("td", value, j))))));
    const gap = Math.max(...result.x.map((value, j) => (result.target[j] === null ? 0 : Math.abs(value - result.target[j]))));
    const [pull, push] = [result.pull[chosen], result.push[chosen]];
    if (!input.pairs[chosen]) {
      say.textContent = `Context ${NAMES[chosen]}: no pair pulls, and ` +
        `${number((input.k * centre * input.contexts[chosen]) / input.total)} expected negatives push with ${number(push)}; ` +
        "the dot product falls without end, ever more slowly.";
      return;
    }
    say.textContent = `Context ${NAMES[chosen]}: ${input.pairs[chosen]} pairs pull with ${number(pull)}, ` +
      `and ${number((input.k * centre * input.contexts[chosen]) / input.total)} expected negatives push with ${number(push)}; the pushes ` +
      (Math.abs(pull - push) < 0.05 ? "balance the pulls." : pull > push ? "are weaker." : "are stronger.") +
      (gap < 0.03 ? " All dot products with a pair stand at PMI \u2212 ln k." : "");
  }

  restart();
  go(60); // the first picture shows the balance
}

export default { render };
