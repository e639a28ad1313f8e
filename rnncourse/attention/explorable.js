/* Attention by hand: the weights of one step are moved, the context and the word follow. */
export function compute({ weights, place, value, keys, state, combine, combine_bias, output, output_bias }) {
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const dot = (a, b) => sum(a.map((v, i) => v * b[i]));
  const others = weights.filter((_, s) => s !== place);
  const rest = sum(others);
  const moved = weights.map((w, s) => {
    if (s === place) return others.length ? value : 1;
    return rest > 0 ? w * (1 - value) / rest : (1 - value) / others.length;
  });
  const context = state.map((_, i) => sum(moved.map((w, s) => w * keys[s][i])));
  const both = [...state, ...context];
  const combined = combine.map((row, i) => Math.tanh(dot(row, both) + combine_bias[i]));
  const logits = output.map((row, i) => dot(row, combined) + output_bias[i]);
  const most = Math.max(...logits);
  const exponentials = logits.map((o) => Math.exp(o - most));
  const total = sum(exponentials);
  return { weights: moved, context, probabilities: exponentials.map((e) => e / total) };
}

function render({ model, el }) {
  const { el: html, svg } = kit;
  const data = model.get("data");
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const { vocabulary, combine, combine_bias, output, output_bias } = data;
  const picture = html("div", { class: "xp-stage" });
  const heading = html("p", { class: "xp-note" });
  const grid = html("div", {
    style: "display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 290px), 1fr)); gap: 2px 18px",
  });
  const words = html("div", { role: "list", "aria-label": "Likeliest words", style: "margin-top: 10px" });
  stage.append(picture, heading, grid, words);
  kit.sideways(picture);
  let sentence, step, weights, sliders, held;

  const result = (place, value) => compute({
    weights, place, value, keys: sentence.keys, state: sentence.states[step],
    combine, combine_bias, output, output_bias,
  });
  const best = (probabilities, count) => [...probabilities.keys()]
    .sort((a, b) => probabilities[b] - probabilities[a]).slice(0, count);

  function read(index) {
    sentence = data.sentences[index];
    sliders = sentence.source.map((word, s) => kit.slider({
      label: word, min: 0, max: 1, step: 0.01, value: 0, format: (v) => kit.number(v, 2),
      oninput: (value) => move(s, value),
    }));
    for (const slider of sliders) {
      slider.node.style.justifyContent = "flex-end";
      slider.node.style.fontVariantNumeric = "tabular-nums";
    }
    grid.replaceChildren(...sliders.map((slider) => slider.node));
    // A step whose word has moved over another on the way.
    const crossing = sentence.target.findIndex((_, t) => t && heaviest(t) < heaviest(t - 1));
    look(Math.max(0, crossing));
  }

  const heaviest = (t) => sentence.weights[t].indexOf(Math.max(...sentence.weights[t]));

  function look(t) {
    step = t;
    weights = sentence.weights[t].slice();
    held = heaviest(t);
    move(held, weights[held]);
  }

  function move(place, value) {
    held = place;
    const found = result(place, value);
    weights = found.weights;
    sliders.forEach((slider, s) => slider.set(weights[s]));
    draw(found.probabilities);
  }

  function key(event) {
    const change = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!change) return;
    event.preventDefault();
    look(Math.min(Math.max(step + change, 0), sentence.target.length - 1));
    picture.querySelector("[tabindex='0']").focus();
  }

  function draw(probabilities) {
    const size = (word) => 7.3 * word.length + 11;
    const row = (list) => list.reduce((at, word) => [...at, at.at(-1) + size(word) + 3], [3]);
    const [top, bottom] = [row(sentence.source), row(sentence.target)];
    const width = Math.max(top.at(-1), bottom.at(-1));
    const middle = (at, list, i) => at[i] + size(list[i]) / 2 + (width - at.at(-1)) / 2;
    const x = (s) => middle(top, sentence.source, s), y = (t) => middle(bottom, sentence.target, t);
    const written = vocabulary[best(probabilities, 1)[0]];
    const changed = written !== sentence.target[step];
    const box = (word, at, up, colour, wide) => [
      svg("rect", { x: at - size(word) / 2, y: up, width: size(word), height: 28, rx: 6, fill: colour,
        stroke: wide ? "var(--xp-good)" : "var(--xp-line)", "stroke-width": wide ? 3 : 1 }),
      svg("text", { x: at, y: up + 19, "text-anchor": "middle" }, word),
    ];
    kit.swap(picture, svg("svg", {
      width, height: 190, viewBox: `0 0 ${width} 190`, style: "max-width: none", role: "group",
      "aria-label": "Source words above, translation below; lines show the weights",
    },
      weights.map((w, s) => svg("line", {
        x1: x(s), y1: 36, x2: y(step), y2: 148, stroke: "var(--xp-warm)", "stroke-width": 12 * w,
        "stroke-opacity": 0.75, "aria-hidden": "true",
      })),
      sentence.source.map((word, s) => svg("g", {},
        box(word, x(s), 8, kit.signed(weights[s]), false))),
      sentence.target.map((word, t) => svg("g", {
        class: "xp-press", role: "button", tabindex: t === step ? 0 : -1, "data-key": `t${t}`,
        "aria-pressed": String(t === step), "aria-label": `translation, word ${t + 1}: ${word}`,
        onclick: () => { look(t); picture.querySelector("[tabindex='0']").focus(); },
        onmouseenter: () => { if (t !== step) look(t); }, onkeydown: key,
      }, box(word, y(t), 150, "var(--xp-panel)", t === step)))));
    heading.replaceChildren("Weights for ", html("b", {}, sentence.target[step]),
      "; the others share what one leaves:");
    words.replaceChildren(...best(probabilities, 4).map((i, rank) => html("div", {
      role: "listitem", style: "display: flex; align-items: center; gap: 8px; min-height: 24px",
    },
      html("span", { style: `width: 7em; text-align: right; ${rank ? "" : "font-weight: 700"}` }, vocabulary[i]),
      html("span", { "aria-hidden": "true", style:
        `height: 12px; border-radius: 3px; background: var(--xp-cold); width: ${Math.max(1, 45 * probabilities[i])}%` }),
      html("span", {}, kit.number(probabilities[i], 2)))));
    const percent = kit.number(100 * weights[held], 0);
    say.textContent = `With ${percent}% on \u201c${sentence.source[held]}\u201d the decoder writes `
      + `\u201c${written}\u201d${changed ? ` in place of \u201c${sentence.target[step]}\u201d` : ""}.`;
  }

  const choice = kit.choice({
    label: "sentence", value: "0", options: data.sentences.map((s, i) => [String(i), s.source.join(" ")]),
    oninput: (value) => read(+value),
  });
  controls.append(choice.node, kit.button("the model's own weights", () => look(step)));
  read(0);
}

export default { render };
