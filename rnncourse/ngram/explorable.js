/* Back-off: a context, a word, and the path through the tables. Logarithms are natural. */
export function compute(input) {
  const { unigrams, levels, word } = input;
  let logs = [...unigrams];
  const source = logs.map(() => 0);
  levels.forEach((level, i) => {
    if (level === null) return;
    const [left, words, logprobs] = level;
    logs = logs.map((value) => value + left);
    words.forEach((w, j) => { logs[w] = logprobs[j]; source[w] = i + 1; });
  });
  const best = logs.map((_, i) => i).sort((a, b) => logs[b] - logs[a] || a - b).slice(0, 8);
  const path = [];
  for (let length = levels.length; length >= source[word]; length--) {
    const level = length ? levels[length - 1] : null;
    if (length === source[word]) path.push(length ? level[2][level[1].indexOf(word)] : unigrams[word]);
    else path.push(level === null ? null : level[0]);
  }
  return { level: source[word], path, logprob: logs[word], top: best.map((i) => [i, logs[i], source[i]]) };
}

function render({ model, el }) {
  const { el: html } = kit;
  const { words, unigrams, contexts, start } = model.get("data");
  const UNK = 0;
  const BOS = 1;
  const EOS = 2;
  const id = new Map(words.map((word, i) => [word, i]));
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const ladder = html("div");
  const product = html("p", { style: "font-variant-numeric: tabular-nums; overflow-wrap: anywhere" });
  const nexts = html("div");
  stage.append(ladder, product, nexts);

  const field = (label, value, size) => {
    const input = html("input", { type: "text", value, size, autocapitalize: "off", autocomplete: "off", spellcheck: "false",
      style: "max-width: 100%; box-sizing: border-box" });
    input.addEventListener("input", draw);
    return { input, node: html("label", { class: "xp-control" }, html("span", {}, label), input) };
  };
  const context = field("sentence so far", start.text, 22);
  const next = field("next word", start.word, 10);
  function extend() {
    const ended = read().word === EOS; // a new sentence begins
    if (!ended && !next.input.value.trim()) return;
    context.input.value = ended ? "" : `${context.input.value.trim()} ${next.input.value.trim()}`.trim();
    const best = compute(given(read())).top.find(([i]) => i > 2);
    next.input.value = words[best[0]];
    draw();
    if (ended) say.textContent = "The sentence was ended: a new one begins.";
  }
  const append = kit.button("append it", extend);
  for (const { input } of [context, next]) input.addEventListener("keydown", (event) => { if (event.key === "Enter") extend(); });
  controls.append(context.node, next.node, append);

  const split = (text) => text.toLowerCase().match(/[a-z0-9_]+(?:['\u2019][a-z0-9_]+)*/g) ?? [];
  const known = (word) => {
    const i = id.get(word);
    return i === undefined || i < 3 ? UNK : i;
  };
  function read() {
    const typed = next.input.value.trim() === "</s>" ? EOS : known(split(next.input.value)[0] ?? "");
    return { ids: [BOS, ...split(context.input.value).map(known)].slice(-3), word: typed };
  }
  function given({ ids, word }) {
    const levels = ids.map((_, j) => contexts[ids.slice(ids.length - 1 - j).join(" ")] ?? null);
    return { unigrams, levels, word };
  }
  const percent = (p) => (p >= 0.0995 ? kit.number(p, 2) : kit.number(p, p >= 0.00995 ? 3 : p >= 0.000995 ? 4 : 5));

  function row(ids, length, result, total) {
    const step = total - length;
    const reached = step < result.path.length;
    const value = result.path[step];
    const found = length === result.level;
    const name = length ? ids.slice(ids.length - length).map((i) => words[i]).join(" ") : "no context";
    const said = !reached ? "not asked"
      : found ? `has the word: P = ${percent(Math.exp(value))}`
      : value === null ? "not in the table: \u00d7 1"
      : `in the table without this word: \u00d7 ${kit.number(Math.exp(value), 2)}`;
    const look = !reached ? "border: 1px dashed var(--xp-line); color: var(--xp-soft)"
      : found ? `border: 2px solid var(--xp-warm); background: ${kit.signed(0.7)}; font-weight: 700`
      : value === null ? "border: 1px dashed var(--xp-soft)"
      : `border: 1px solid var(--xp-cold); background: ${kit.signed(-0.6)}`;
    return html("div", {
      "data-level": length,
      style: `${look}; border-radius: 6px; padding: 5px 10px; margin: 4px 0 4px ${14 * step}px; display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 14px`,
    }, html("span", {}, name), html("span", { style: "font-variant-numeric: tabular-nums" }, said));
  }

  function chip([i, logprob, level]) {
    return html("button", {
      type: "button", class: "xp-button", "data-key": `next-${i}`,
      "aria-label": `${words[i]}, probability ${percent(Math.exp(logprob))}, from a context of ${level} words: take it as the next word`,
      onclick: () => { next.input.value = words[i]; draw(); },
    }, `${words[i]} ${percent(Math.exp(logprob))}`, html("span", { class: "xp-label" }, ` \u00b7 ${level}`));
  }

  function draw() {
    const { ids, word } = read();
    const result = compute(given({ ids, word }));
    const rows = [];
    for (let length = ids.length; length >= 0; length--) rows.push(row(ids, length, result, ids.length));
    ladder.replaceChildren(...rows);
    const factors = result.path.map((v) => (v === null ? "1" : percent(Math.exp(v))));
    product.textContent = `P(${words[word]} | ${ids.map((i) => words[i]).join(" ")}) = ${factors.join(" \u00d7 ")}` +
      (factors.length > 1 ? ` = ${percent(Math.exp(result.logprob))}` : "") + `, a loss of ${kit.number(-result.logprob / Math.LN2, 1)} bits`;
    kit.swap(nexts, html("p", { class: "xp-label" }, "the likeliest next words, and how many words of context their number comes from"),
      html("div", { class: "xp-row", style: "flex-wrap: wrap; gap: 6px" }, result.top.map(chip)));
    const paid = result.path.slice(0, -1).filter((v) => v !== null).length;
    const steps = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
    if (!next.input.value.trim()) say.textContent = "No next word is given: the figure shows an unknown one.";
    else say.textContent = `${words[word]}: ` + (result.path.length === 1
      ? "the longest context has it, so nothing is paid for backing off."
      : `found with ${steps(result.level, "word")} of context; ${steps(result.path.length - 1, "longer context")} asked before, ${paid} of them in the table and paid for.`);
  }
  draw();
}

export default { render };
