/* Ten seeds of two settings: draw one by one, guess, then see all. The lower loss is better. */
const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const varianceOf = (values) => {
  const mean = meanOf(values);
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
};

/* The means of all choices of k values, in any order. */
function choiceMeans(values, k, start = 0, sum = 0, left = k) {
  if (left === 0) return [sum / k];
  const means = [];
  for (let i = start; i <= values.length - left; i++)
    means.push(...choiceMeans(values, k, i + 1, sum + values[i], left - 1));
  return means;
}

/* How often k of each would have given the opposite order of all; a tie counts half. */
function misledShare(a, b, k) {
  const sign = Math.sign(meanOf(a) - meanOf(b));
  const [ofA, ofB] = [choiceMeans(a, k), choiceMeans(b, k)];
  let sum = 0;
  for (const x of ofA) for (const y of ofB) sum += 1 - sign * Math.sign(x - y);
  return sum / (2 * ofA.length * ofB.length);
}

export function compute({ a, b, k }) {
  const difference = meanOf(a) - meanOf(b);
  const error = Math.sqrt(varianceOf(a.map((value, i) => value - b[i])) / a.length);
  const lower = difference < 0 ? "a" : "b";
  return {
    difference,
    error,
    answer: Math.abs(difference) > 2 * error ? lower : "neither",
    opposite: [misledShare(a, b, 1), misledShare(a, b, 3)],
    drawn: [meanOf(a.slice(0, k)), meanOf(b.slice(0, k))],
  };
}

function render({ model, el }) {
  const { el: html, svg, number } = kit;
  const { pairs, equal } = model.get("data");
  const state = { pair: 0, drawn: 1, guess: null };
  const record = pairs.map(() => null);
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const LETTERS = { a: "A", b: "B", neither: "cannot be told" };

  const choose = kit.choice({
    label: "comparison", value: "0",
    options: pairs.map((_, i) => [String(i), `${i + 1} of ${pairs.length}`]),
    oninput: (value) => start(+value),
  });
  /* A button that is off keeps the focus, so that the keyboard is not lost. */
  function off(button, is) {
    button.setAttribute("aria-disabled", String(is));
    button.style.opacity = is ? 0.5 : "";
  }
  const more = kit.button("draw one more seed of each", () => {
    if (state.guess || state.drawn >= pairs[state.pair].losses[0].length) return;
    state.drawn += 1;
    draw();
  });
  const guesses = ["a", "b", "neither"].map((key) =>
    kit.button(key === "neither" ? "it cannot be told" : `${LETTERS[key]} is better`, () => {
      if (state.guess) return;
      state.guess = key;
      record[state.pair] = { guess: key, drawn: state.drawn, right: key === result().answer };
      draw();
    }));
  const next = kit.button("next comparison", () => {
    const pair = (state.pair + 1) % pairs.length;
    choose.set(String(pair));
    start(pair);
  });
  controls.append(more, ...guesses, next, choose.node);
  const box = html("div"), note = html("div");
  stage.append(box, note);

  function start(pair) {
    const { drawn, guess } = record[pair] || { drawn: 1, guess: null };
    Object.assign(state, { pair, drawn, guess });
    draw();
  }

  function result() {
    const [a, b] = pairs[state.pair].losses;
    return compute({ a, b, k: state.drawn });
  }

  function plot({ drawn }) {
    const { losses } = pairs[state.pair];
    const count = losses[0].length;
    const all = pairs.flatMap((pair) => pair.losses.flat());
    const [low, high] = [Math.min(...all) - 0.01, Math.max(...all) + 0.01];
    const narrow = (stage.clientWidth || 660) < 480;
    const [width, left, right] = narrow ? [340, 30, 12] : [660, 34, 16];
    const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
    const rows = [52, 118], axis = 160;
    const parts = [];
    for (let tick = Math.ceil(low * 20) / 20; tick <= high; tick += 0.05)
      parts.push(
        svg("line", { x1: x(tick), x2: x(tick), y1: 20, y2: axis, stroke: "var(--xp-line)" }),
        svg("text", { x: x(tick), y: axis + 18, "text-anchor": "middle", style: "font-size: 12px" }, number(tick, 2)));
    parts.push(svg("text", {
      x: (left + width - right) / 2, y: axis + 36, "text-anchor": "middle", style: "font-size: 12px; fill: var(--xp-soft)",
    }, "held-out loss (nats), to the left is better"));
    losses.forEach((values, i) => {
      const colour = i ? "var(--xp-warm)" : "var(--xp-cold)";
      parts.push(svg("text", { x: 4, y: rows[i] + 5, style: `font-weight: 700; font-size: 16px; fill: ${colour}` }, "AB"[i]));
      const shown = state.guess ? count : state.drawn;
      values.slice(0, shown).forEach((value, seed) => {
        const y = rows[i] + ((seed * 7) % 10 - 4.5) * 4;
        const early = seed < state.drawn;
        const fill = early ? colour : "none";
        parts.push(i
          ? svg("rect", { x: x(value) - 5, y: y - 5, width: 10, height: 10, fill, stroke: colour, "stroke-width": 1.5 })
          : svg("circle", { cx: x(value), cy: y, r: 5.5, fill, stroke: colour, "stroke-width": 1.5 }));
      });
      const mean = state.guess ? meanOf(values) : drawn[i];
      if (shown > 1) parts.push(svg("line", { x1: x(mean), x2: x(mean), y1: rows[i] - 27, y2: rows[i] + 27, stroke: colour, "stroke-width": 3 }));
    });
    const label = losses.map((values, i) =>
      `${"AB"[i]}: ${values.slice(0, state.guess ? count : state.drawn).map((v) => number(v, 3)).join(", ")}`).join("; ");
    return svg("svg", { width, height: axis + 44, viewBox: `0 0 ${width} ${axis + 44}`, role: "img", "aria-label": `Losses drawn. ${label}` }, parts);
  }

  function draw() {
    const { names, losses } = pairs[state.pair];
    const count = losses[0].length;
    const outcome = result();
    const guessed = state.guess !== null;
    off(more, guessed || state.drawn >= count);
    guesses.forEach((button, i) => {
      off(button, guessed);
      button.setAttribute("aria-pressed", String(state.guess === ["a", "b", "neither"][i]));
    });
    kit.swap(box, plot(outcome));
    const share = (value) => `${Math.round(100 * value)}%`;
    const line = (...content) => html("p", { class: "xp-note" }, ...content);
    if (!guessed) {
      note.replaceChildren(line(
        `${state.drawn} of ${count} seeds drawn. Means so far: A ${number(outcome.drawn[0], 3)}, B ${number(outcome.drawn[1], 3)}. `,
        `Your answer is compared with what all ten say: better is what is better by more than two standard errors of the paired differences.`));
      say.textContent = "Which setting is better? Draw more seeds, or say.";
      return;
    }
    const right = outcome.answer === state.guess;
    const truth = outcome.answer === "neither"
      ? "The difference is below two standard errors: ten seeds cannot tell"
      : `The difference is above two standard errors: ten seeds say ${LETTERS[outcome.answer]}`;
    const first = [1, 3].map((k) => {
      const [a, b] = compute({ a: losses[0], b: losses[1], k }).drawn;
      return a < b ? "A" : b < a ? "B" : "neither";
    });
    note.replaceChildren(
      line(html("span", { class: right ? "xp-good" : "xp-bad" }, right ? "Right. " : "Not what ten seeds say. "),
        `${truth} (A \u2212 B = ${number(outcome.difference, 3)} \u00b1 ${number(outcome.error, 3)}). `,
        `Filled marks: what you had seen.`),
      line(html("strong", {}, "A: "), `${names[0]}. `, html("strong", {}, "B: "), `${names[1]}.`),
      line(`In your draw the first seed alone had ${first[0]} lower, the mean of the first three ${first[1]}. `,
        `Over all choices, one seed of each gives the opposite order of all ten in ${share(outcome.opposite[0])}, three in ${share(outcome.opposite[1])}; `,
        `two equal settings give about ${share(equal[0])} and ${share(equal[1])}.`),
      line("Who goes on drawing until the difference suits, and then stops, finds one sooner or later between equal settings too: fix the number of seeds first."));
    const done = record.filter(Boolean);
    say.textContent = `${done.filter((entry) => entry.right).length} of ${done.length} right so far, ` +
      `after ${done.map((entry) => entry.drawn).join(", ")} seeds.`;
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
