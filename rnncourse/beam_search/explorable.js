/* You are the beam: a language of tokens a, b and </s>, three steps. Candidate id = 3 * node + token; after
   node i come 2 i + 1 (by a) and 2 i + 2 (by b). */
const STEPS = 3, TOKENS = 3, LAST = 2, NAMES = ["a", "b", "\u220e"];

const nodeAfter = (id) => 2 * Math.floor(id / TOKENS) + 1 + (id % TOKENS);
const penalty = (t, alpha) => t ** alpha;

function tokensOf(id) {
  const tokens = [id % TOKENS];
  for (let node = Math.floor(id / TOKENS); node > 0; node = Math.floor((node - 1) / 2)) tokens.unshift((node - 1) % 2);
  return tokens;
}

/* The candidates of each step; `choose(going, t)` gives the ids that go on. */
function run(rows, K, alpha, choose) {
  let live = [[0, 0]];
  const steps = [], pool = [];
  for (let t = 1; t <= STEPS; t++) {
    const found = live.flatMap(([node, logprob]) =>
      rows[node].map((p, token) => ({ id: TOKENS * node + token, logprob: logprob + Math.log(p) })));
    found.sort((x, y) => y.logprob - x.logprob);
    const going = found.filter((c) => c.id % TOKENS !== LAST && t < STEPS);
    const kept = new Set(choose(going, t));
    found.forEach((c, rank) => {
      const ends = c.id % TOKENS === LAST || t === STEPS;
      c.score = ends ? c.logprob / penalty(t, alpha) : null;
      c.taken = ends && rank < K;
      c.kept = kept.has(c.id);
      if (c.taken) pool.push([c.id, c.score]);
    });
    live = going.filter((c) => kept.has(c.id)).map((c) => [nodeAfter(c.id), c.logprob]);
    steps.push(found);
  }
  pool.sort((x, y) => y[1] - x[1]);
  return { steps, pool: pool.slice(0, K) };
}

export function compute({ rows, K, alpha, picks }) {
  const own = (going) => going.slice(0, K).map((c) => c.id);
  const output = ([id, score]) => ({ tokens: tokensOf(id), score });
  const { steps, pool } = run(rows, K, alpha, (going, t) => (t < STEPS ? picks[t - 1] ?? own(going) : []));
  const all = 4 ** STEPS;
  return {
    steps,
    pool,
    beam: output(run(rows, K, alpha, own).pool[0]),
    exact: output(run(rows, all, alpha, (going) => going.map((c) => c.id)).pool[0]),
  };
}

function render({ model, el }) {
  const { el: html, svg } = kit;
  const { languages } = model.get("data");
  const names = ["the greedy trap", "short or long", "three are needed"]; // the data come sorted by name
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const box = html("div", { class: "xp-stage", role: "group", "aria-label": "the tree", tabindex: 0 });
  const after = html("div");
  stage.append(box, after);
  kit.sideways(box);
  const input = { language: names[0], K: 1, alpha: 0, yours: false };
  let t = STEPS, picks = [[], []];

  const restart = (changes, at) => {
    Object.assign(input, changes);
    picks = [[], []];
    t = at ?? (input.yours ? 1 : STEPS);
    who.set(input.yours ? "you" : "search");
    draw();
  };
  const who = kit.choice({
    label: "who chooses", value: "search", options: [["search", "the search"], ["you", "you"]],
    oninput: (value) => restart({ yours: value === "you" }),
  });
  const language = kit.choice({
    label: "language", value: names[0], options: names.map((name) => [name, name]),
    oninput: (value) => restart({ language: value }),
  });
  const width = kit.slider({ label: "width K", min: 1, max: 4, value: 1, oninput: (value) => restart({ K: value }) });
  const alpha = kit.slider({
    label: "\u03b1", min: 0, max: 1.5, step: 0.05, value: 0, format: (v) => kit.number(v, 2),
    oninput: (value) => { input.alpha = value; draw(); },
  });
  const next = kit.button("next step", () => { t += 1; draw(); });
  controls.append(language.node, who.node, width.node, alpha.node, next,
    kit.button("start again", () => restart({}, 1)));

  const name = (id) => tokensOf(id).map((token) => NAMES[token]).join(" ");
  const share = (logprob) => kit.number(Math.exp(logprob), 3);

  function toggle(id) {
    const chosen = picks[t - 1];
    if (chosen.includes(id)) picks[t - 1] = chosen.filter((other) => other !== id);
    else if (chosen.length < input.K) chosen.push(id);
    draw();
  }

  /* Rows of the picture: every output from top to bottom, as the tree has them. */
  function places() {
    const y = new Map();
    let row = 0;
    const visit = (node, depth) => {
      const middle = [];
      for (let token = 0; token < TOKENS; token++) {
        const id = TOKENS * node + token;
        const inner = token !== LAST && depth + 1 < STEPS;
        y.set(id, inner ? visit(nodeAfter(id), depth + 1) : row++);
        middle.push(y.get(id));
      }
      return (middle[0] + middle[TOKENS - 1]) / 2;
    };
    return { y, root: visit(0, 0), rows: row };
  }

  function draw() {
    const rows = languages[input.language];
    const result = compute({ rows, K: input.K, alpha: input.alpha, picks: input.yours ? picks : [null, null] });
    const { y, root, rows: height } = places();
    const [column, line, top] = [Math.max(132, Math.floor(((box.clientWidth || 640) - 60) / STEPS)), 31, 26];
    const at = (id) => [44 + (tokensOf(id).length - 1) * column, top + y.get(id) * line];
    const shown = result.steps.slice(0, t).flat();
    const best = result.pool[0];
    const done = t === STEPS;
    const winner = done && best ? best[0] : -1;
    const parts = [];
    for (let step = 1; step <= STEPS; step++)
      parts.push(svg("text", { x: 44 + (step - 0.5) * column, y: 12, "text-anchor": "middle", style: "font-size: 13px; fill: var(--xp-soft)" }, `step ${step}`));
    const seen = new Map(shown.map((c) => [c.id, c]));
    for (const id of y.keys()) {
      const node = Math.floor(id / TOKENS);
      const parent = node === 0 ? null : TOKENS * Math.floor((node - 1) / 2) + ((node - 1) % 2);
      const [x0, y0] = parent === null ? [6, top + root * line] : [at(parent)[0] + column - 42, at(parent)[1]];
      const [x1, y1] = at(id);
      const c = seen.get(id);
      parts.push(svg("line", {
        x1: x0, y1: y0 + line / 2, x2: x1, y2: y1 + line / 2, stroke: c ? (c.kept || c.taken ? "var(--xp-cold)" : "var(--xp-soft)") : "var(--xp-line)",
        "stroke-width": c && (c.kept || c.taken) ? 3 : 1, "stroke-dasharray": c ? null : "2 4",
      }));
    }
    const size = { width: 44 + STEPS * column, height: top + height * line + 4 };
    const picture = svg("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}`, style: "max-width: none; position: absolute; left: 0; top: 0", "aria-hidden": "true" }, parts);
    const cells = [...y.keys()].map((id) => {
      const [x, top_] = at(id);
      const c = seen.get(id);
      const style = `position: absolute; left: ${x}px; top: ${top_ + 2}px; width: ${column - 42}px; min-height: 26px; height: 26px; white-space: nowrap; box-sizing: border-box; `;
      if (!c) return html("div", { class: "xp-label", style: `${style}font-size: 13px; line-height: 26px`, "aria-hidden": "true" }, `\u00b7 ${name(id)}`);
      const step = tokensOf(id).length;
      const ends = c.score !== null;
      const open = input.yours && step === t && !ends;
      const state = id === winner ? "the result" : c.taken ? "in the pool" : ends ? "ends, not taken" : c.kept ? "goes on" : open ? "not chosen" : "dropped";
      const strong = c.kept || c.taken;
      const back = id === winner ? "color-mix(in srgb, var(--xp-good) 35%, var(--xp-paper))" : strong ? kit.signed(-0.6) : "var(--xp-paper)";
      const text = `${id === winner ? "\u2605 " : ""}${name(id)}  ${share(c.logprob)}`;
      return html(open ? "button" : "div", {
        ...(open ? { type: "button", "aria-pressed": String(c.kept), onclick: () => toggle(id) } : { role: "img" }),
        class: "xp-cell", "data-key": `c${id}`, "data-out": !strong && !open, "aria-label": `${name(id)}, probability ${share(c.logprob)}, ${state}`,
        style: `${style}background: ${back}; line-height: 24px; cursor: ${open ? "pointer" : "default"}; font-weight: ${strong ? 700 : 400}`,
      }, text);
    });
    const sheet = html("div", { style: `position: relative; width: ${size.width}px; height: ${size.height}px`, role: "group", "aria-label": "The tree of outputs, probability of each beginning" }, picture, cells);
    kit.swap(box, sheet);

    const chosen = t < STEPS && input.yours ? picks[t - 1] : null;
    next.disabled = done || (chosen !== null && !chosen.length);
    const words = (tokens) => tokens.map((token) => NAMES[token]).join(" ");
    const pool = result.pool.filter(([id]) => seen.has(id));
    const list = pool.map(([id, score]) => `${name(id)} (${kit.number(score, 2)})`).join(", ");
    after.replaceChildren(
      html("p", { class: "xp-note" }, `Pool of ended outputs, with score log P / T^\u03b1: ${list || "empty"}.`),
      html("p", { class: "xp-note xp-label" }, "\u220e is </s>. Blue, bold: goes on, or taken into the pool. Green, star: the result. Dashed: dropped, or ended and not taken. Dots: not looked at."));
    if (!done) {
      say.textContent = chosen !== null
        ? `Step ${t}: choose up to ${input.K} of the candidates that do not end (${chosen.length} chosen), then "next step".`
        : `Step ${t}: the search keeps the ${input.K} likeliest that do not end.`;
      return;
    }
    const { exact, beam } = result;
    const found = best ? `${input.yours ? "You" : `Width ${input.K}`} found ${name(best[0])}, score ${kit.number(best[1], 3)}. ` : "Nothing ended in the pool. ";
    const missed = !best || exact.score > best[1] + 1e-12;
    const compared = input.yours ? `The search of width ${input.K} finds ${words(beam.tokens)}, ${kit.number(beam.score, 3)}. ` : "";
    say.textContent = found + compared + (missed
      ? `The best of all outputs is ${words(exact.tokens)}, ${kit.number(exact.score, 3)}: a search error.`
      : "No output has a higher score.");
  }

  draw();
  let before = box.clientWidth;
  const observer = new ResizeObserver(() => {
    if (box.clientWidth !== before) { before = box.clientWidth; draw(); }
  });
  observer.observe(el);
  return () => observer.disconnect();
}

export default { render };
