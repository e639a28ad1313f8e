/* The circle and the ellipse: the Jacobian of a network of two units, step by step. */
const VALUE = {
  linear: (a) => a,
  tanh: Math.tanh,
  relu: (a) => Math.max(a, 0),
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
};
/* The slope, read off the value. */
const SLOPE = { linear: () => 1, tanh: (h) => 1 - h * h, relu: (h) => (h > 0 ? 1 : 0), sigmoid: (h) => h * (1 - h) };
const LARGEST_SLOPE = { linear: 1, tanh: 1, relu: 1, sigmoid: 0.25 };

/* Both singular values of a matrix of two rows and columns: half the sum and half the difference of two lengths. */
function singular([[a, b], [c, d]]) {
  const [p, q] = [Math.hypot(a + d, b - c), Math.hypot(a - d, b + c)];
  return [(p + q) / 2, Math.abs(p - q) / 2];
}

function spectralRadius([[a, b], [c, d]]) {
  const [half, square] = [(a + d) / 2, ((a - d) / 2) ** 2 + b * c];
  return square >= 0 ? Math.abs(half) + Math.sqrt(square) : Math.hypot(half, Math.sqrt(-square));
}

export function compute({ W, nonlinearity, u, x, h_0 }) {
  const h = [h_0], products = [[[1, 0], [0, 1]]];
  for (const x_t of x) {
    const before = h.at(-1), J = products.at(-1);
    const after = [0, 1].map((i) =>
      VALUE[nonlinearity](W[i][0] * before[0] + W[i][1] * before[1] + u * x_t * (1 - 2 * i)));
    h.push(after);
    products.push([0, 1].map((i) => [0, 1].map((j) =>
      SLOPE[nonlinearity](after[i]) * (W[i][0] * J[0][j] + W[i][1] * J[1][j]))));
  }
  const sigma = singular(W)[0];
  return {
    h, products,
    largest: products.map((J) => singular(J)[0]),
    least: products.map((J) => singular(J)[1]),
    bound: products.map((_, k) => (LARGEST_SLOPE[nonlinearity] * sigma) ** k),
    sigma, radius: spectralRadius(W),
  };
}

const MATRICES = {
  rotation: (r) => { const [c, s] = [r * Math.cos(Math.PI / 6), r * Math.sin(Math.PI / 6)]; return [[c, -s], [s, c]]; },
  shear: (r) => [[r, 10], [0, r]],
  mixed: (r) => [[r, 0.8 * r], [0, -0.6 * r]],
  nilpotent: () => [[2, 4], [-1, -2]],
};

function render({ model, el }) {
  const { el: html, svg, short } = kit;
  const data = model.get("data");
  const input = { ...data.start };
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const note = html("p", { class: "xp-note" });
  const row = html("div", { class: "xp-row", style: "align-items: flex-start; gap: 10px 16px" });
  stage.append(note, row);

  function set(changes) {
    Object.assign(input, changes);
    if (input.matrix === "nilpotent") input.radius = 0; // this matrix has no other
    for (const [name, control] of Object.entries(settings)) control.set(input[name]);
    idle();
    draw();
  }
  const slider = (name, label, min, max, step, format) =>
    kit.slider({ label, min, max, step, format, value: input[name], oninput: (value) => set({ [name]: value }) });
  const two = (value) => kit.number(value, 2);
  const settings = {
    matrix: kit.choice({
      label: "W", value: input.matrix,
      options: [["rotation", "turns by 30\u00b0"], ["shear", "shear by 10"], ["mixed", "two real eigenvalues"],
        ["nilpotent", "radius 0"]],
      oninput: (value) => set({ matrix: value, radius: input.radius || 0.5 }),
    }),
    radius: slider("radius", "spectral radius", 0, 1.5, 0.05, two),
    nonlinearity: kit.choice({
      label: "f", value: input.nonlinearity, options: Object.keys(VALUE).map((name) => [name, name]),
      oninput: (value) => set({ nonlinearity: value }),
    }),
    u: slider("u", "input", 0, 3, 0.1, two),
    step: slider("step", "step t", 0, data.x.length, 1, String),
  };
  /* A slider that changes nothing cannot be moved. */
  function idle() {
    settings.radius.node.querySelector("input").disabled = input.matrix === "nilpotent";
    settings.u.node.querySelector("input").disabled = input.nonlinearity === "linear";
  }
  controls.append(...Object.values(settings).map((control) => control.node),
    kit.button("radius 0, and it grows", () => set(data.grows)),
    kit.button("orthogonal", () => set(data.keeps)),
    kit.button("start again", () => set(data.start)));

  const SIZE = 300;
  const clip = `xp-clip-${Date.now().toString(36)}`;

  function plane({ products, largest, least }) {
    const t = input.step;
    const reach = 1.2 * Math.max(1, Math.min(largest[t], 1e9));
    const at = (v) => (SIZE / 2) * (1 + v / reach);
    const points = (J) => [...Array(73).keys()].map((i) => {
      const [c, s] = [Math.cos((i * Math.PI) / 36), Math.sin((i * Math.PI) / 36)];
      return `${at(J[0][0] * c + J[0][1] * s).toFixed(2)},${at(-(J[1][0] * c + J[1][1] * s)).toFixed(2)}`;
    }).join(" ");
    const axis = (x1, y1, x2, y2) => svg("line", { x1, y1, x2, y2, stroke: "var(--xp-line)" });
    const earlier = products.slice(1, t).map((J) => svg("polygon", {
      points: points(J), fill: "none", stroke: "var(--xp-soft)", "stroke-width": 0.8, opacity: 0.6,
    }));
    const unit = svg("polygon", {
      points: points(products[0]), fill: "none", stroke: "var(--xp-ink)", "stroke-width": 1.5, "stroke-dasharray": "5 4",
    });
    const now = svg("polygon", {
      points: points(products[t]), "stroke-width": 3, stroke: "var(--xp-cold)", "stroke-linejoin": "round",
      fill: "color-mix(in srgb, var(--xp-cold) 25%, transparent)",
    });
    const caption = (y, text) => svg("text", { x: 6, y, style: "font-size: 13px; fill: var(--xp-soft); stroke: var(--xp-paper); stroke-width: 4; paint-order: stroke" }, text);
    return svg("svg", {
      width: SIZE, height: SIZE, viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img",
      "aria-label": `The unit circle after ${t} steps: an ellipse with half-axes ${short(largest[t])} and ${short(least[t])}`,
    }, axis(0, SIZE / 2, SIZE, SIZE / 2), axis(SIZE / 2, 0, SIZE / 2, SIZE), earlier, unit, now,
    caption(15, "dashed: changes of h\u2080 of length 1"), caption(SIZE - 7, `blue: what is left of them in h at step ${t}`));
  }

  function curve({ largest, bound, radius }) {
    const steepest = LARGEST_SLOPE[input.nonlinearity];
    const [W, L, B, TOP] = [340, 52, 36, 30];
    const T = largest.length - 1;
    const steps = [...largest.keys()];
    const powers = steps.map((k) => (steepest * radius) ** k);
    // Beyond a million and a millionth the lines leave the plot.
    const power = (value) => Math.log10(Math.max(value, 1e-30));
    const all = [...largest, ...bound, ...powers].map((value) => Math.max(-6, Math.min(6, power(value))));
    const [low, high] = [Math.min(-1, ...all), Math.max(1, ...all)];
    const x = (k) => L + (k / T) * (W - L - 14);
    const y = (value) => TOP + ((high - power(value)) / (high - low)) * (SIZE - TOP - B);
    const path = (values) => values.map((v, k) => `${k ? "L" : "M"} ${x(k).toFixed(2)} ${y(v).toFixed(2)}`).join(" ");
    const back = steps.toReversed().map((k) => `L ${x(k).toFixed(2)} ${y(bound[k]).toFixed(2)}`).join(" ");
    const text = (x, y, content, style = "") =>
      svg("text", { x, y, style: `font-size: 12px; fill: var(--xp-soft); ${style}` }, content);
    const ticks = [];
    const every = high - low > 7 ? 3 : high - low > 3 ? 2 : 1;
    for (let e = every * Math.ceil(low / every); e <= high + 1e-9; e += every) {
      const label = { 0: "1", 1: "10", 2: "100", "-1": "0.1", "-2": "0.01" }[e] ?? `1e${e}`.replace("-", "\u2212");
      ticks.push(svg("line", { x1: L, x2: W - 14, y1: y(10 ** e), y2: y(10 ** e), stroke: "var(--xp-line)" }),
        text(L - 6, y(10 ** e) + 4, label, "text-anchor: end"));
    }
    const line = (values, colour, dash, width = 2.5) => svg("path", {
      d: path(values), fill: "none", stroke: colour, "stroke-width": width, "stroke-dasharray": dash,
    });
    return svg("svg", {
      width: W, height: SIZE, viewBox: `0 0 ${W} ${SIZE}`, role: "img",
      "aria-label": `Norm of the Jacobian by step: ${largest.map(short).join(", ")}; bound: ${bound.map(short).join(", ")}`,
    }, ticks,
    svg("clipPath", { id: clip }, svg("rect", { x: L - 8, y: TOP - 8, width: W - L, height: SIZE - TOP - B + 16 })),
    svg("g", { "clip-path": `url(#${clip})` },
      svg("path", { d: `${path(largest)} ${back} Z`, fill: "color-mix(in srgb, var(--xp-warm) 18%, transparent)" }),
      line(powers, "var(--xp-soft)", "2 4", 2), line(bound, "var(--xp-warm)", "7 4"), line(largest, "var(--xp-cold)"),
      svg("circle", {
        cx: x(input.step), cy: y(largest[input.step]), r: 6, fill: "var(--xp-cold)", stroke: "var(--xp-paper)", "stroke-width": 2,
      })),
    [0, 3, 6, 9, 12].map((k) => text(x(k), SIZE - 20, k, "text-anchor: middle")),
    text((L + W - 14) / 2, SIZE - 4, "step t", "text-anchor: middle"),
    text(4, 14, "norm of dh\u209c/dh\u2080"));
  }

  function legend() {
    const sample = (colour, dash) => svg("svg", { width: 34, height: 10, "aria-hidden": "true", style: "display: inline-block; margin-right: 6px" },
      svg("line", { x1: 0, x2: 34, y1: 5, y2: 5, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash }));
    const entry = (colour, dash, text) => html("span", {}, sample(colour, dash), text);
    return html("div", { class: "xp-row xp-label", style: "font-size: 13px; gap: 2px 18px; margin: 0" },
      entry("var(--xp-cold)", null, "measured norm"), entry("var(--xp-warm)", "7 4", "bound, by the largest singular value"),
      entry("var(--xp-soft)", "2 4", `power of the spectral radius${input.nonlinearity === "sigmoid" ? " / 4" : ""}`));
  }

  function draw() {
    const W = MATRICES[input.matrix](input.radius);
    const result = compute({ ...input, W, x: data.x, h_0: data.h_0 });
    const t = input.step, quarter = input.nonlinearity === "sigmoid";
    const power = (quarter ? result.radius / 4 : result.radius) ** t;
    const below = (content) => html("sub", {}, content);
    note.replaceChildren("h", below("t"), " = f(W h", below("t\u22121"), " + u x", below("t"), " (1, \u22121)), W = ",
      kit.matrix(W, { label: "W", limit: 10 }),
      ` : spectral radius ${short(result.radius)}, largest singular value ${short(result.sigma)}; h`, below("0"),
      ` = (${data.h_0.join(", ")}), x a fixed sequence`);
    kit.swap(row, plane(result), curve(result), legend());
    const [norm, bound] = [result.largest[t], result.bound[t]];
    say.textContent = t
      ? `After ${t} step${t > 1 ? "s" : ""} a change of h\u2080 of length 1 is at most ${short(norm)} long, at least ` +
        `${short(result.least[t])}. The bound is ${short(bound)}; the spectral radius${quarter ? " / 4" : ""} to the power ${t} is ` +
        `${short(power)}${norm > power * 1.0001 ? ", which the norm exceeds" : ""}.`
      : "Before the first step the circle is a circle. Move the step.";
  }

  idle();
  draw();
}

export default { render };
