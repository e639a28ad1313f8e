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

/* How often k of each would have given the wrong order; a tie counts half. */
function misledShare(a, b, k) {
  const sign = Math.sign(meanOf(a) - meanOf(b));
  const [ofA, ofB] = [choiceMeans(a, k), choiceMeans(b, k)];
  let sum = 0;
  for (const x of ofA) for (const y of ofB) sum += 1 - sign * Math.sign(x - y);
  return sum / (2 * ofA.length * ofB.length);
}

export function compute({ a, b, k }) {
  const difference = meanOf(a) - meanOf(b);
  const error = Math.sqrt(varianceOf(a) / a.length + varianceOf(b) / b.length);
  const lower = difference < 0 ? "a" : "b";
  return {
    difference,
    error,
    answer: Math.abs(difference) > 2 * error ? lower : "neither",
    wrong: [misledShare(a, b, 1), misledShare(a, b, 3)],
    drawn: [meanOf(a.slice(0, k)), meanOf(b.slice(0, k))],
  };
}

function render({ model, el }) {
  const { el: html, svg, number } = kit;
  const { pairs } = model.get("data");
  const state = { pair: 0, drawn: 1, guess: null };
  const record = pairs.map(() => null);
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const LETTERS = { a: "A", b: "B", neither: "cannot be told" };

  const choose = kit.choice({
    label: "comparison", value: "0",
    options: pairs.map((_, i) => [String(i), `${i + 1} of ${pairs.length}`]),
    oninput: (value) => start(+value),
  });
  const more = kit.button("draw one more seed of each", () => { state.drawn += 1; draw(); });
  const guesses = ["a", "b", "neither"].map((key) =>
    kit.button(key === "neither" ? "it cannot be told" : `${LETTERS[key]} is better`, () => {
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
    Object.assign(state, { pair, drawn: 1, guess: null });
    draw();
  }

  function result() {
    const [a, b] = pairs[state.pair].losses;
    return compute({ a, b, k: state.drawn });
  }

  function plot({ drawn }) {
    const { losses } = pairs[state.pair];
    const count = losses[0].length;
    const all = losses.flat();
    const [low, high] = [Math.min(...all) - 0.01, Math.max(...all) + 0.01];
    const narrow = (stage.clientWidth || 660) < 480;
    const [width, left, right] = narrow ? [340, 30, 12] : [660, 34, 16];
    const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
    const rows = [52, 118], axis = 160;
    const parts = [];
    for (let tick = Math.ceil(low * 50) / 50; tick <= high; tick += 0.02)
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
      parts.push(svg("line", { x1: x(mean), x2: x(mean), y1: rows[i] - 27, y2: rows[i] + 27, stroke: colour, "stroke-width": 3 }));
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
    more.disabled = guessed || state.drawn >= count;
    guesses.forEach((button, i) => {
      button.disabled = guessed;
      button.setAttribute("aria-pressed", String(state.guess === ["a", "b", "neither"][i]));
    });
    kit.swap(box, plot(outcome));
    const share = (value) => `${Math.round(100 * value)}%`;
    const line = (...content) => html("p", { class: "xp-note" }, ...content);
    if (!guessed) {
      note.replaceChildren(line(
        `${state.drawn} of ${count} seeds drawn. Means so far: A ${number(outcome.drawn[0], 3)}, B ${number(outcome.drawn[1], 3)}.`));
      say.textContent = "Which setting is better? Draw more seeds, or say.";
      return;
    }
    const right = outcome.answer === state.guess;
    const truth = outcome.answer === "neither"
      ? "The difference is below two standard errors: it cannot be told from ten seeds"
      : `The difference is above two standard errors: ${LETTERS[outcome.answer]} is better`;
    note.replaceChildren(
      line(html("span", { class: right ? "xp-good" : "xp-bad" }, right ? "Right. " : "Not what ten seeds say. "),
        `${truth} (A \u2212 B = ${number(outcome.difference, 3)} \u00b1 ${number(outcome.error, 3)}). `,
        `Filled marks: what you had seen.`),
      line(html("strong", {}, "A: "), `${names[0]}. `, html("strong", {}, "B: "), `${names[1]}.`),
      line(`One seed of each would have put them in the wrong order in ${share(outcome.wrong[0])} of all cases, three seeds in ${share(outcome.wrong[1])}.`));
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
