/* A translator: a GRU reads the sentence from its end, its last state starts another GRU, which says the translation. */
const START = 1, END = 2;
const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const affine = (weight, bias, x) => weight.map((row, i) => row.reduce((sum, w, j) => sum + w * x[j], bias[i]));

function gruStep(cell, x, h) {
  const H = h.length;
  const fromInput = affine(cell.weight_ih, cell.bias_ih, x);
  const fromState = affine(cell.weight_hh, cell.bias_hh, h);
  return h.map((old, i) => {
    const r = sigmoid(fromInput[i] + fromState[i]);
    const z = sigmoid(fromInput[H + i] + fromState[H + i]);
    const n = Math.tanh(fromInput[2 * H + i] + r * fromState[2 * H + i]);
    return (1 - z) * n + z * old;
  });
}

function softmax(logits) {
  const most = Math.max(...logits);
  const e = logits.map((o) => Math.exp(o - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

const argmax = (values) => values.indexOf(Math.max(...values));

export function compute({ model, source, target, longest }) {
  const { encoder, decoder, output } = model;
  const H = encoder.weight_hh[0].length;
  let state = Array(H).fill(0);
  for (const id of [...source].reverse()) state = gruStep(encoder, encoder.embedding[id], state);
  const say = (token, h) => {
    const after = gruStep(decoder, decoder.embedding[token], h);
    return [softmax(affine(output.weight, output.bias, after)), after];
  };
  const said = [], sure = [];
  let token = START, h = state, p;
  while (said.length < longest && token !== END) {
    [p, h] = say(token, h);
    token = argmax(p);
    said.push(token);
    sure.push(p[token]);
  }
  const forced = [], right = [];
  h = state;
  const wanted = [...target, END];
  wanted.forEach((id, t) => {
    [p, h] = say(t ? wanted[t - 1] : START, h);
    forced.push(argmax(p));
    right.push(p[id]);
  });
  return { state, said, sure, forced, right };
}

/* A matrix from one byte a number and a scale for each row. */
function unpackRows({ shape: [rows, columns], scale, values }) {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const scales = new Float32Array(bytes(scale).buffer), numbers = new Int8Array(bytes(values).buffer);
  return Array.from({ length: rows }, (_, i) =>
    Array.from(numbers.subarray(i * columns, (i + 1) * columns), (v) => v * scales[i]));
}

function unpack(model) {
  const part = (packed) => Object.fromEntries(Object.entries(packed).map(([name, rows]) => {
    const matrix = unpackRows(rows);
    return [name, name.startsWith("bias") ? matrix.map(([v]) => v) : matrix];
  }));
  return { encoder: part(model.encoder), decoder: part(model.decoder), output: part(model.output) };
}

function render({ model: widget, el }) {
  const { el: html } = kit;
  const data = widget.get("data");
  const models = Object.fromEntries(Object.entries(data.models).map(([name, packed]) => [name, unpack(packed)]));
  const names = Object.keys(models);
  const width = (name) => models[name].encoder.weight_hh[0].length;
  const widest = names.reduce((a, b) => (width(a) >= width(b) ? a : b));
  const chosen = { story: 0, length: 0, model: widest, feed: "own" };
  const longest = 40;
  const cache = new Map();
  function run(name, story, length) {
    const key = `${name},${story},${length}`;
    if (!cache.has(key)) cache.set(key, compute({ model: models[name], longest, ...data.stories[story][length] }));
    return cache.get(key);
  }

  /* Said and right words side by side, position by position. */
  function words(result, target) {
    const wanted = [...target, END];
    const own = chosen.feed === "own";
    const said = own ? result.said : result.forced;
    return Array.from({ length: Math.max(said.length, wanted.length) }, (_, t) => ({
      said: said[t], wanted: wanted[t], ok: said[t] === wanted[t], p: own ? result.sure[t] : result.right[t],
    }));
  }
  const score = (list) => `${list.filter(({ ok }) => ok).length}/${list.filter(({ wanted }) => wanted !== undefined).length}`;
  const exact = (list) => list.every(({ ok }) => ok);

  const { controls, stage, say } = kit.frame(el, widget.get("title"));
  const set = (changes) => { Object.assign(chosen, changes); settings.length.set(chosen.length); draw(); };
  const settings = {
    story: kit.choice({
      label: "sentence", value: 0, oninput: (value) => set({ story: +value }),
      options: data.stories.map((story, i) => [i, `${story[0].source.map((id) => data.source[id]).join(" ")} \u2026`]),
    }),
    length: kit.slider({
      label: "phrases added", min: 0, max: data.stories[0].length - 1, value: 0, oninput: (value) => set({ length: value }),
    }),
    model: kit.choice({
      label: "state", value: widest, oninput: (value) => set({ model: value }),
      options: names.map((name) => [name, `${width(name)} numbers`]),
    }),
    feed: kit.choice({
      label: "the decoder reads", value: "own", oninput: (value) => set({ feed: value }),
      options: [["own", "its own words"], ["right", "the right words"]],
    }),
  };
  controls.append(...Object.values(settings).map(({ node }) => node));

  const chip = ({ said, wanted, ok, p }) => {
    const text = said === undefined ? "(nothing)" : data.target[said];
    const share = p === undefined ? 0 : p;
    const label = chosen.feed === "own" ? "sure" : "right word";
    return html("span", {
      style: "display: inline-flex; flex-direction: column; align-items: stretch; padding: 3px 7px; border-radius: 5px; " +
        `border: ${ok ? "1px solid var(--xp-line)" : "2px dashed var(--xp-warm)"}; text-align: center; min-width: 44px`,
    },
    html("span", { class: ok ? "" : "xp-bad" }, ok ? text : `\u2717 ${text}`),
    ok ? "" : html("span", { style: "font-size: 13px" }, wanted === undefined ? "no word" : `for ${data.target[wanted]}`),
    html("span", { "aria-hidden": "true", style: "display: block; height: 5px; margin: 3px 0 1px; background: var(--xp-panel)" },
      html("span", { style: `display: block; height: 5px; width: ${Math.round(100 * share)}%; background: var(--xp-cold)` })),
    html("span", { class: "xp-unseen" }, p === undefined ? "" : `, ${label}: ${kit.number(p)}`));
  };

  const row = (children) => html("div", { style: "display: flex; flex-wrap: wrap; gap: 4px; margin: 2px 0 10px" }, children);
  const heading = (text) => html("div", { class: "xp-label", style: "font-size: 13px" }, text);

  function strip(state) {
    const limit = Math.max(...state.map(Math.abs));
    return html("div", {
      role: "img", "aria-label": `The ${state.length} numbers of the state, as colours`,
      style: `display: grid; grid-template-columns: repeat(${Math.min(state.length, 32)}, 1fr); gap: 1px; max-width: 420px; margin: 2px 0 10px`,
    }, state.map((v) => html("span", { style: `height: 13px; background: ${kit.signed(v, limit)}` })));
  }

  function table() {
    const cell = (tag, content, style = "") =>
      html(tag, { style: `padding: 3px 8px; text-align: center; border: 1px solid var(--xp-line); ${style}` }, content);
    const story = data.stories[chosen.story];
    return html("table", { style: "font-size: 13px; font-variant-numeric: tabular-nums" },
      html("tbody", {},
        html("tr", {}, cell("th", "words to translate"), story.map(({ source }) => cell("th", String(source.length)))),
        names.map((name) => html("tr", {}, cell("th", `right, ${width(name)} numbers`),
          story.map(({ target }, length) => {
            const list = words(run(name, chosen.story, length), target);
            const here = name === chosen.model && length === chosen.length;
            return cell("td", `${exact(list) ? "\u2713" : "\u2717"} ${score(list)}`,
              here ? "font-weight: 700; box-shadow: inset 0 0 0 2px var(--xp-good)" : "");
          })))));
  }

  function draw() {
    const { source, target } = data.stories[chosen.story][chosen.length];
    const result = run(chosen.model, chosen.story, chosen.length);
    const list = words(result, target);
    stage.replaceChildren(
      heading(`to translate, ${source.length} words, read from the end:`),
      row(source.map((id) => html("span", { style: "padding: 2px 4px" }, data.source[id]))),
      heading(`all that the decoder gets: ${result.state.length} numbers (colour: sign, strength: size)`),
      strip(result.state),
      heading(chosen.feed === "own" ? "what it says, each word read again; bar: probability of the word said"
        : "the likeliest word after the right ones; bar: probability of the right word"),
      row(list.map(chip)),
      table());
    const wrong = list.findIndex(({ ok }) => !ok);
    say.textContent = `${source.length} words through ${result.state.length} numbers: ${score(list)} words right` +
      (wrong < 0 ? ", all of them." : `, the first wrong one at position ${wrong + 1}.`);
  }

  draw();
}

export default { render };
