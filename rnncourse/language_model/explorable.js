/* One prediction of a character model: what temperature, top-k and nucleus make of it, and its entropy. */
const softmaxOf = (logits) => {
  const most = Math.max(...logits);
  const weights = logits.map((o) => Math.exp(o - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
};
const bitsOf = (p) => p.reduce((sum, q) => sum - (q > 0 ? q * Math.log2(q) : 0), 0);
const rankedBy = (values) => values.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);

/* Set all but the given places to zero and scale the rest back to a sum of 1. */
function keepOnly(p, places) {
  const kept = p.map(() => 0);
  for (const i of places) kept[i] = p[i];
  const total = kept.reduce((a, b) => a + b, 0);
  return kept.map((q) => q / total);
}

export function compute({ logits, temperature, k, mass }) {
  const own = softmaxOf(logits);
  const warm = softmaxOf(logits.map((o) => o / temperature));
  const order = rankedBy(logits);
  let p = keepOnly(warm, order.slice(0, k));
  if (mass < 1) {
    const places = [];
    let sum = 0;
    for (const i of order) {
      if (sum >= mass) break;
      places.push(i);
      sum += p[i];
    }
    p = keepOnly(p, places);
  }
  return { own, probabilities: p, kept: p.filter((q) => q > 0).length, bits: [bitsOf(own), bitsOf(warm), bitsOf(p)] };
}

function render({ model, el }) {
  const { el: html, svg, number } = kit;
  const { cases, characters } = model.get("data");
  const V = characters.length;
  const state = { at: 0, temperature: 1, k: V, mass: 1, drawn: "" };
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const shown = (c) => (c === " " ? "\u2423" : c === "\n" ? "\u21b5" : c);

  const change = (name) => (value) => {
    state[name] = value;
    state.drawn = "";
    draw();
  };
  const text = kit.choice({
    label: "after", value: "0",
    options: cases.map((c, i) => [String(i), `\u2026${c.text.slice(-22).replaceAll("\n", "\u21b5")}`]),
    oninput: (value) => change("at")(+value),
  });
  const temperature = kit.slider({
    label: "temperature", min: 0.1, max: 3, step: 0.05, value: 1, format: (v) => number(v, 2), oninput: change("temperature"),
  });
  const k = kit.slider({
    label: "top-k", min: 1, max: V, value: V, format: (v) => (v === V ? "off" : String(v)), oninput: change("k"),
  });
  const mass = kit.slider({
    label: "nucleus", min: 0.05, max: 1, step: 0.05, value: 1, format: (v) => (v === 1 ? "off" : number(v, 2)), oninput: change("mass"),
  });
  const again = kit.button("draw 30", () => {
    const { probabilities } = result();
    state.drawn = Array.from({ length: 30 }, () => {
      let left = Math.random();
      const place = probabilities.findIndex((p) => (left -= p) < 0);
      return shown(characters[place < 0 ? probabilities.indexOf(Math.max(...probabilities)) : place]);
    }).join(" ");
    draw();
  });
  controls.append(text.node, temperature.node, k.node, mass.node, again);
  const box = html("div"), line = html("p", { class: "xp-note" });
  stage.append(box, line);

  function result() {
    return compute({ logits: cases[state.at].logits, temperature: state.temperature, k: state.k, mass: state.mass });
  }

  function plot({ own, probabilities, bits }) {
    const narrow = (stage.clientWidth || 660) < 480;
    const width = narrow ? 340 : 660;
    const left = 52, right = 12, rows = 14, step = 17, top = 96;
    const order = rankedBy(cases[state.at].logits).slice(0, rows);
    const most = Math.max(...own, ...probabilities);
    const bar = (p) => (p / most) * (width - left - right - 62);
    const most_bits = Math.log2(V), x = (b) => left + (b / most_bits) * (width - left - right);
    const small = "font-size: 12px";
    const parts = [
      svg("text", { x: 4, y: 16, style: "font-size: 13px; font-weight: 600" }, "entropy meter"),
      svg("rect", { x: left, y: 28, width: x(most_bits) - left, height: 18, fill: "var(--xp-panel)", stroke: "var(--xp-line)" }),
      svg("rect", { x: left, y: 28, width: x(bits[2]) - left, height: 18, fill: "var(--xp-cold)" }),
      svg("line", { x1: x(bits[0]), x2: x(bits[0]), y1: 22, y2: 52, stroke: "var(--xp-warm)", "stroke-width": 3 }),
    ];
    for (let b = 0; b <= most_bits; b++)
      parts.push(svg("text", { x: x(b), y: 64, "text-anchor": "middle", style: small }, b));
    parts.push(svg("text", { x: width - right, y: 82, "text-anchor": "end", style: `${small}; fill: var(--xp-soft)` },
      narrow ? "bits; line: the model's own" : "bits; the upright line is the model's own entropy"));
    order.forEach((i, row) => {
      const y = top + row * step;
      parts.push(
        svg("text", { x: left - 10, y: y + 12, "text-anchor": "end", style: "font-family: ui-monospace, monospace" }, shown(characters[i])),
        svg("rect", { x: left, y: y + 1, width: Math.max(1, bar(probabilities[i])), height: 12, fill: probabilities[i] > 0 ? "var(--xp-cold)" : "none" }),
        svg("rect", { x: left, y: y + 1, width: Math.max(1, bar(own[i])), height: 12, fill: "none", stroke: "var(--xp-warm)", "stroke-width": 1.5 }),
        svg("text", { x: left + Math.max(bar(own[i]), bar(probabilities[i])) + 6, y: y + 12, style: small },
          probabilities[i] > 0 ? number(probabilities[i], 3) : "cut"));
    });
    const height = top + rows * step + 4;
    const label = order.map((i) => `${shown(characters[i])} ${number(probabilities[i], 3)}, own ${number(own[i], 3)}`).join("; ");
    return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `The ${rows} likeliest characters: ${label}` }, parts);
  }

  function draw() {
    const found = result();
    kit.swap(box, plot(found));
    line.textContent = state.drawn ? `Drawn: ${state.drawn}` : "Filled: what is drawn from. Outlined: the model's own prediction.";
    const [own, warm, now] = found.bits.map((b) => number(b, 2));
    say.textContent = `${found.kept} of ${V} characters can be drawn. Entropy: the model's own ${own} bits, ` +
      `after the temperature ${warm}, after the cuts ${now}.`;
  }

  draw();
  let width = stage.clientWidth;
  const observer = new ResizeObserver(() => {
    if (stage.clientWidth !== width) { width = stage.clientWidth; draw(); }
  });
  observer.observe(el);
  return () => observer.disconnect();
}

export default { render };
