/* A character LSTM with one byte a weight: it goes on with a text, and one of its units colours the letters. */
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function unpackRows({ shape, scale, values }) {
  const view = new DataView(bytesOf(scale).buffer);
  const rows = new Int8Array(bytesOf(values).buffer);
  const [n, m] = shape;
  return Float64Array.from({ length: n * m }, (_, i) => rows[i] * view.getFloat32(4 * Math.floor(i / m), true));
}

function unpackModel(packed) {
  const model = { characters: packed.characters, H: packed.weight_hh.shape[1], V: packed.characters.length };
  for (const name of ["weight_ih", "weight_hh", "bias", "output_weight", "output_bias"]) model[name] = unpackRows(packed[name]);
  return model;
}

/* Four sums at a time: a single one waits for each addition. */
function dot(weights, from, h) {
  const even = h.length - (h.length % 4);
  let a = 0, b = 0, c = 0, d = 0;
  for (let k = 0; k < even; k += 4) {
    a += weights[from + k] * h[k];
    b += weights[from + k + 1] * h[k + 1];
    c += weights[from + k + 2] * h[k + 2];
    d += weights[from + k + 3] * h[k + 3];
  }
  for (let k = even; k < h.length; k++) a += weights[from + k] * h[k];
  return a + b + c + d;
}

const sigma = (a) => 1 / (1 + Math.exp(-a));

/* One character read: the new state, [h, c]. */
function stepOf({ H, V, weight_ih, weight_hh, bias }, id, [h, c]) {
  const a = new Float64Array(4 * H);
  for (let r = 0; r < 4 * H; r++) a[r] = bias[r] + weight_ih[r * V + id] + dot(weight_hh, r * H, h);
  const [nextH, nextC] = [new Float64Array(H), new Float64Array(H)];
  for (let n = 0; n < H; n++) {
    nextC[n] = sigma(a[H + n]) * c[n] + sigma(a[n]) * Math.tanh(a[2 * H + n]);
    nextH[n] = sigma(a[3 * H + n]) * Math.tanh(nextC[n]);
  }
  return [nextH, nextC];
}

function logProbabilities({ H, V, output_weight, output_bias }, h) {
  const logits = new Array(V);
  for (let j = 0; j < V; j++) logits[j] = output_bias[j] + dot(output_weight, j * H, h);
  const most = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, o) => sum + Math.exp(o - most), 0));
  return logits.map((o) => o - most - total);
}

const start = (model) => [new Float64Array(model.H), new Float64Array(model.H)];

export function compute({ model: packed, text, unit }) {
  const model = unpackModel(packed);
  let state = start(model);
  const [hs, cs] = [[], []];
  for (const character of text) {
    state = stepOf(model, model.characters.indexOf(character), state);
    hs.push(state[0][unit]);
    cs.push(state[1][unit]);
  }
  return { h: hs, c: cs, log_probability: logProbabilities(model, state[0]) };
}

/* Numbers in [0, 1) that are the same for the same seed. */
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function render({ model: widget, el }) {
  const { el: html, number } = kit;
  const { model: packed, units, whole, opening } = widget.get("data");
  const model = unpackModel(packed);
  const LENGTH = 220, SLICE = 60; // letters written in all, and in one frame
  const by = (values) => values.map((_, i) => i).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  /* The best looking one comes last: the reader is to find it. */
  const candidates = by(units.correlation).slice(0, 4).reverse();
  const state = { seed: 1, temperature: 0.6, unit: candidates[0], read: "c", tried: 0, added: "", states: [], frame: 0 };
  const { controls, stage, say } = kit.frame(el, widget.get("title"));

  const input = html("input", { type: "text", value: opening, size: 44, maxlength: 200, style: "max-width: 100%; box-sizing: border-box", oninput: () => write() });
  const field = html("label", { class: "xp-control", style: "flex-wrap: wrap" }, "opening", input);
  const temperature = kit.slider({
    label: "temperature", min: 0.2, max: 1.4, step: 0.1, value: state.temperature, format: (v) => number(v, 1),
    oninput: (v) => { state.temperature = v; write(); },
  });
  const unit = kit.slider({
    label: "unit", min: 0, max: model.H - 1, value: state.unit, oninput: (v) => { state.unit = v; draw(); },
  });
  const read = kit.choice({
    label: "coloured by", value: "c", options: [["c", "its cell c"], ["h", "what others hear, h"]],
    oninput: (v) => { state.read = v; draw(); },
  });
  controls.append(
    field,
    kit.button("write on", () => { state.seed += 1; write(); }),
    temperature.node, unit.node, read.node,
    kit.button("another that may know of quotations", () => {
      state.tried += 1;
      state.unit = candidates[state.tried % candidates.length];
      unit.set(state.unit);
      draw();
    }));
  const page = html("p", { style: "font: 16px/1.7 ui-monospace, SFMono-Regular, Menlo, monospace; margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere" });
  const note = html("p", { class: "xp-note" });
  stage.append(page, note);

  const known = () => [...input.value].map((c) => (model.characters.includes(c) ? c : " ")).join("") || " ";

  /* Read the opening, then draw and read one character after the other, some in each frame. */
  function write() {
    const random = seeded(state.seed);
    let now = start(model);
    state.states = [];
    state.added = "";
    const readOne = (character) => {
      now = stepOf(model, model.characters.indexOf(character), now);
      state.states.push(now);
    };
    [...known()].forEach(readOne);
    cancelAnimationFrame(state.frame);
    writeOn(readOne, random, () => now);
  }

  function writeOn(readOne, random, now) {
    for (let i = 0; i < SLICE && state.added.length < LENGTH; i++) {
      const weights = logProbabilities(model, now()[0]).map((l) => Math.exp(l / state.temperature));
      let left = random() * weights.reduce((a, b) => a + b, 0);
      let place = weights.findIndex((w) => (left -= w) < 0);
      if (place < 0) place = weights.indexOf(Math.max(...weights));
      state.added += model.characters[place];
      readOne(model.characters[place]);
    }
    draw();
    if (state.added.length < LENGTH) state.frame = requestAnimationFrame(() => writeOn(readOne, random, now));
  }

  function draw() {
    const text = known();
    const values = state.states.map(([h, c]) => (state.read === "h" ? h : c)[state.unit]);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const most = Math.max(...values.map((v) => Math.abs(v - mean)), 1e-9);
    page.replaceChildren(...[...(text + state.added)].map((c, i) => {
      const faint = i < text.length ? "" : "; border-bottom: 2px solid var(--xp-line)";
      return html("span", { style: `background: ${kit.signed((values[i] - mean) / most)}; padding: 2px 0${faint}`, title: number(values[i], 2) }, c);
    }));
    const fall = whole.auc - units.auc[state.unit], rise = units.loss[state.unit] - whole.loss;
    const verdict = fall < 0.01
      ? "It fails the test: cut off, the model tells quotations as well as before."
      : rise > 0.05
        ? "Cut off, the model tells them less well, but it predicts everything worse: the unit serves more than quotations."
        : `Cut off, the model loses ${Math.round((100 * fall) / (whole.auc - 0.5))}% of what it knows of them.`;
    note.textContent = `Unit ${state.unit}. On tales it has not read, its cell goes with an open quotation with a correlation of ` +
      `${number(units.correlation[state.unit], 2)}, what it tells the others with ${number(units.correlation_h[state.unit], 2)}. ${verdict}`;
    say.textContent = `How well the model tells that a quotation is open (0.5 is not at all, 1 always): ${number(whole.auc, 2)}, ` +
      `without unit ${state.unit} ${number(units.auc[state.unit], 2)}. Loss ${number(whole.loss, 2)}, without it ${number(units.loss[state.unit], 2)} nats. Underlined: written by the model.`;
  }

  write();
}

export default { render };
