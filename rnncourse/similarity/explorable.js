/* t-SNE, exact, on few points. */
const square = (a, b) => a.reduce((sum, value, k) => sum + (value - b[k]) ** 2, 0);

/* Shares and entropy of one row of squared distances, the point itself left out. */
function shares(squares, beta) {
  const least = Math.min(...squares);
  const p = squares.map((s) => Math.exp(-beta * (s - least)));
  let total = 0, weighted = 0;
  for (let j = 0; j < p.length; j++) {
    total += p[j];
    weighted += p[j] * (squares[j] - least);
  }
  return { p: p.map((value) => value / total), entropy: Math.log(total) + (beta * weighted) / total };
}

function row(squares, perplexity) {
  const spread = Math.max(...squares) - Math.min(...squares) || 1;
  let [low, high] = [-60, 60];
  while (high - low >= 1e-13) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (shares(squares, Math.exp(middle) / spread).entropy > Math.log(perplexity)) low = middle;
    else high = middle;
  }
  return shares(squares, Math.exp((low + high) / 2) / spread).p;
}

function joint(x, perplexity) {
  const n = x.length;
  const p = x.map((point, i) => {
    const others = row(x.filter((_, j) => j !== i).map((other) => square(point, other)), perplexity);
    others.splice(i, 0, 0);
    return others;
  });
  return p.map((values, i) => values.map((value, j) => (value + p[j][i]) / (2 * n)));
}

/* Student's weights of all pairs on the map, row after row, and their sum. */
function weights(y) {
  const n = y.length, w = new Float64Array(n * n);
  let total = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      const across = y[i][0] - y[j][0], up = y[i][1] - y[j][1];
      w[i * n + j] = w[j * n + i] = 1 / (1 + across * across + up * up);
      total += 2 * w[i * n + j];
    }
  }
  return { w, total };
}

function cost(p, y) {
  const { w, total } = weights(y);
  let kl = 0;
  p.forEach((values, i) => values.forEach((value, j) => {
    if (value > 0) kl += value * Math.log((value * total) / w[i * y.length + j]);
  }));
  return kl;
}

/* The gradient of the cost by the positions, x and y of one point after the other; the pull of each pair acts on both. */
function slopes(p, y, factor) {
  const n = y.length, { w, total } = weights(y), gradient = new Float64Array(2 * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      const weight = w[i * n + j], pull = 4 * (factor * p[i][j] - weight / total) * weight;
      const across = pull * (y[i][0] - y[j][0]), up = pull * (y[i][1] - y[j][1]);
      gradient[2 * i] += across;
      gradient[2 * i + 1] += up;
      gradient[2 * j] -= across;
      gradient[2 * j + 1] -= up;
    }
  }
  return gradient;
}

/* The positions after each step, the start first. */
export function trace({ x, y_0, perplexity, steps, rate, exaggeration, exaggerated }) {
  const p = joint(x, perplexity);
  let y = y_0.map((point) => [...point]);
  let velocity, gains;
  const maps = [y];
  for (let step = 1; step <= steps; step++) {
    const early = step <= exaggerated;
    if (step === 1 || step === exaggerated + 1) { /* each phase is a descent of its own */
      velocity = y.map((point) => point.map(() => 0));
      gains = y.map((point) => point.map(() => 1));
    }
    const gradient = slopes(p, y, early ? exaggeration : 1), momentum = early ? 0.5 : 0.8;
    y = y.map((point, i) => point.map((value, k) => {
      const slope = gradient[2 * i + k], turned = velocity[i][k] * slope > 0;
      gains[i][k] = Math.max(turned ? gains[i][k] * 0.8 : gains[i][k] + 0.2, 0.01);
      velocity[i][k] = momentum * velocity[i][k] - rate * gains[i][k] * slope;
      return value + velocity[i][k];
    }));
    maps.push(y);
  }
  return { p, maps };
}

export function compute(input) {
  const { p, maps } = trace(input);
  return { y: maps.at(-1), cost: cost(p, maps.at(-1)) };
}

function render({ model, el }) {
  const { el: html, svg } = kit;
  const data = model.get("data");
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const guesses = html("div", { class: "xp-controls", style: "margin-top: 8px", role: "group", "aria-label": "Your guess" });
  const picture = html("div", { class: "xp-stage" });
  const verdict = html("p", { class: "xp-note" });
  stage.append(picture, guesses, verdict);

  const names = ["A", "B", "C", "D"];
  let set = 0, perplexity = data.perplexity, step = data.steps, guess = null;
  const runs = new Map();
  const run = () => {
    const key = `${set} ${perplexity}`;
    if (!runs.has(key)) {
      runs.set(key, trace({
        x: data.sets[set].x, y_0: data.y_0, perplexity, steps: data.steps, ...data.settings,
      }));
    }
    return runs.get(key);
  };

  const chooser = kit.choice({
    label: "data", value: "0", options: names.map((name, i) => [String(i), name]),
    oninput: (value) => { set = +value; guess = null; step = data.steps; stepper.set(step); draw(); },
  });
  const perplexities = kit.slider({
    label: "perplexity", min: 2, max: 20, value: perplexity, oninput: (value) => { perplexity = value; draw(); },
  });
  const stepper = kit.slider({
    label: "step", min: 0, max: data.steps, step: 5, value: step, oninput: (value) => { step = value; draw(); },
  });
  const on = kit.button("5 steps on", () => { step = Math.min(step + 5, data.steps); stepper.set(step); draw(); });
  const again = kit.button("start again", () => { step = 0; stepper.set(0); draw(); });
  controls.append(chooser.node, perplexities.node, stepper.node, on, again);

  const buttons = [1, 2, 3, 4, 5, 6].map((count) => kit.button(
    count === 6 ? "6 or more" : String(count), () => { guess = guess === count ? null : count; draw(); },
    { "aria-pressed": "false", "aria-label": `${count === 6 ? "6 or more" : count} ${count === 1 ? "cluster" : "clusters"}` }));
  guesses.append("How many clusters has the data?", ...buttons);

  const SIZE = 360, EDGE = 16;
  const colours = ["var(--xp-cold)", "var(--xp-warm)", "var(--xp-good)"];
  function mark(x, y, group) {
    const look = { fill: "none", stroke: guess ? colours[group] : "var(--xp-soft)", "stroke-width": 2 };
    if (!guess || group === 0) return svg("circle", { cx: x, cy: y, r: 4.5, ...look });
    if (group === 1) return svg("rect", { x: x - 4.5, y: y - 4.5, width: 9, height: 9, ...look });
    return svg("polygon", { points: `${x},${y - 6} ${x - 5.5},${y + 4} ${x + 5.5},${y + 4}`, ...look });
  }

  function draw() {
    const { p, maps } = run();
    const { groups, truth } = data.sets[set];
    const y = maps[step];
    const [left, top] = [0, 1].map((k) => Math.min(...y.map((point) => point[k])));
    const span = Math.max(...[0, 1].map((k) => Math.max(...y.map((point) => point[k])) - [left, top][k]), 1e-12);
    const place = (value, low) => EDGE + ((value - low) / span) * (SIZE - 2 * EDGE);
    const kl = cost(p, y);
    kit.swap(picture, svg("svg", {
      viewBox: `0 0 ${SIZE} ${SIZE}`, width: SIZE, height: SIZE, role: "img", style: "margin: auto",
      "aria-label": `Map of data ${names[set]} at step ${step}, perplexity ${perplexity}`,
    },
      svg("rect", { x: 1, y: 1, width: SIZE - 2, height: SIZE - 2, fill: "none", stroke: "var(--xp-line)" }),
      y.map((point, i) => mark(place(point[0], left), place(point[1], top), groups[i]))));
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(guess === i + 1)));
    const right = new Set(groups).size;
    verdict.textContent = guess
      ? `${guess === right ? "Right." : `You said ${guess === 6 ? "6 or more" : guess}.`} ${truth}`
      : "Move the perplexity, then guess: the guess uncovers the groups.";
    const size = span < 0.01 ? span.toExponential(1) : kit.number(span, span < 10 ? 2 : 0);
    say.textContent = `Step ${step} of ${data.steps}${step > 0 && step <= data.settings.exaggerated ? " (attraction exaggerated)" : ""}: `
      + `cost ${kit.number(kl, 3)} nats, map ${size} wide. The picture is scaled to fit.`;
  }
  draw();
}

export default { render };
