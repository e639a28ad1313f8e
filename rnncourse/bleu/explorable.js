/* BLEU of one sentence: n-grams as chips, a row for each order, and what they make together. */
const ORDERS = 4;
// What Python's str.split takes for white space: not the set of \s.
const words = (sentence) => sentence.split(/[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/)
  .filter((word) => word);
const ngrams = (tokens, n) => tokens.slice(n - 1).map((_, i) => tokens.slice(i, i + n).join(" "));

function counted(grams) {
  const counts = new Map();
  for (const gram of grams) counts.set(gram, (counts.get(gram) || 0) + 1);
  return counts;
}

export function compute({ hypothesis, references, smoothing, effective_order: effective }) {
  const tokens = words(hypothesis);
  const texts = references.map(words);
  let missed = 0;
  const orders = [...Array(ORDERS).keys()].map((k) => {
    const limit = new Map();
    for (const text of texts) {
      for (const [gram, count] of counted(ngrams(text, k + 1))) limit.set(gram, Math.max(limit.get(gram) || 0, count));
    }
    const used = new Map();
    const grams = ngrams(tokens, k + 1).map((text) => {
      used.set(text, (used.get(text) || 0) + 1);
      const status = used.get(text) <= (limit.get(text) || 0) ? "match" : limit.has(text) ? "clipped" : "miss";
      return { text, status };
    });
    const matches = grams.filter(({ status }) => status === "match").length;
    const total = grams.length;
    let precision = total ? matches / total : 0;
    if (total && !matches && smoothing === "exp") precision = 1 / (2 ** ++missed * total);
    if (total && !matches && smoothing === "floor") precision = 0.1 / total;
    if (k && smoothing === "add-k") precision = (matches + 1) / (total + 1);
    return { grams, matches, total, precision };
  });
  const c = tokens.length;
  const lengths = texts.map((text) => text.length);
  lengths.sort((a, b) => Math.abs(a - c) - Math.abs(b - c) || a - b);
  const r = lengths[0];
  const penalty = c >= r ? 1 : c ? Math.exp(1 - r / c) : 0;
  const entering = orders.filter(({ total, precision }) => !effective || total || precision);
  const product = entering.reduce((value, { precision }) => value * precision, 1);
  const score = orders[0].matches ? penalty * product ** (1 / entering.length) : 0;
  return { orders, c, r, penalty, score };
}

function render({ model, el }) {
  const { el: html, number } = kit;
  const { examples } = model.get("data");
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const state = { smoothing: "exp", effective_order: false };
  const OWN = "own";

  function field(label, place) {
    const id = `xp-bleu-${Math.random().toString(36).slice(2)}`;
    const input = html("input", {
      id, type: "text", maxlength: 160, autocomplete: "off", spellcheck: "false", oninput: typed, style: "width: 100%; box-sizing: border-box",
    });
    place.append(html("label", { for: id, class: "xp-label" }, label), input);
    return input;
  }

  const example = kit.choice({
    label: "example", options: [...examples.map(({ name }, i) => [String(i), name]), [OWN, "your own"]], value: "0",
    oninput: (i) => { if (i !== OWN) load(+i); },
  });
  const smoothing = kit.choice({
    label: "smoothing", value: "exp",
    options: [["none", "none"], ["floor", "floor, 0.1"], ["add-k", "add-k, k = 1"], ["exp", "exp"]],
    oninput: (value) => { state.smoothing = value; draw(); },
  });
  const effective = kit.choice({
    label: "orders", options: [["all", "all four"], ["effective", "effective"]], value: "all",
    oninput: (value) => { state.effective_order = value === "effective"; draw(); },
  });
  controls.append(example.node, smoothing.node, effective.node);
  const fields = html("div", { style: "display: grid; gap: 3px; margin-bottom: 10px" });
  const hypothesis = field("hypothesis (type your own)", fields);
  const references = [field("reference", fields), field("second reference (may be empty)", fields)];
  const result = html("div");
  stage.append(fields, result);

  function typed() {
    example.set(OWN);
    draw();
  }

  function load(i) {
    hypothesis.value = examples[i].hypothesis;
    references.forEach((input, j) => { input.value = examples[i].references[j]; });
    draw();
  }

  const LOOK = {
    match: ["background: color-mix(in srgb, var(--xp-good) 26%, var(--xp-paper)); border: 1px solid var(--xp-good)", ""],
    clipped: ["background: color-mix(in srgb, var(--xp-warm) 26%, var(--xp-paper)); border: 1px dashed var(--xp-warm)", "\u2702 "],
    miss: ["border: 1px solid var(--xp-line)", ""],
  };
  const SPOKEN = { match: "matches", clipped: "clipped", miss: "no match" };
  const chip = ({ text, status }) => html("span", {
    style: `display: inline-block; padding: 1px 7px; margin: 2px; border-radius: 5px; font-size: 14px; ${LOOK[status][0]}`,
  }, LOOK[status][1], text, html("span", { class: "xp-unseen" }, ` (${SPOKEN[status]})`));

  const same = (n) => (n === 1 ? "" : "s");

  function row({ grams, matches, total, precision }, k) {
    const changed = total ? precision !== matches / total : precision > 0;
    // What stands above the line and below it, after the smoothing.
    const above = { floor: () => "0.1", "add-k": () => `(${matches} + 1)`, exp: () => `(${number(precision * total, 4).replace(/0+$/, "")})` };
    const below = state.smoothing === "add-k" ? `(${total} + 1)` : total;
    const fraction = changed ? `${above[state.smoothing]()}/${below} = ${number(precision, 3)}, smoothed`
      : total ? `${matches}/${total} = ${number(precision, 3)}` : state.effective_order ? "no n-grams, left out" : "no n-grams: 0";
    return html("div", { style: "border-top: 1px solid var(--xp-line); padding: 5px 0" },
      html("div", { style: "display: flex; justify-content: space-between; gap: 12px; font-variant-numeric: tabular-nums" },
        html("span", { class: "xp-label" }, `n = ${k + 1}`),
        html("b", {}, "p", html("sub", {}, String(k + 1)), ` = ${fraction}`)),
      html("div", {}, grams.map(chip)));
  }

  function legend() {
    const entry = (status, text) => html("span", { style: "white-space: nowrap" },
      html("span", { style: `display: inline-block; width: 20px; height: 13px; border-radius: 4px; margin-right: 6px; box-sizing: border-box; ${LOOK[status][0]}` }), text);
    return html("div", { class: "xp-row xp-label", style: "font-size: 13px; gap: 2px 18px; margin: 6px 0 0" },
      entry("match", "matches"), entry("clipped", "\u2702 clipped: used up"), entry("miss", "no match"));
  }

  function draw() {
    const texts = [references[0].value, ...references.slice(1).map((input) => input.value).filter((text) => words(text).length)];
    const { orders, c, r, penalty, score } = compute({ hypothesis: hypothesis.value, references: texts, ...state });
    const factor = penalty < 1 ? `exp(1 \u2212 ${r}/${c}) = ${number(penalty, 3)}` : "1";
    const zero = orders.findIndex(({ total, precision }) => !precision && (total || !state.effective_order)) + 1;
    result.replaceChildren(...orders.map(row),
      html("p", { class: "xp-note", style: "border-top: 1px solid var(--xp-line); padding-top: 6px" },
        `c = ${c} word${same(c)}, r = ${r}; penalty ${c ? factor : "0"}; geometric mean ${number(score && score / penalty, 3)}; `,
        html("b", {}, `BLEU = ${number(score, 3)}`)),
      legend());
    const clipped = orders.flatMap(({ grams }) => grams).filter(({ status }) => status === "clipped").length;
    const why = !orders[0].matches ? " No word matches, so it is 0."
      : zero ? ` p${String.fromCharCode(0x2080 + zero)} is 0, so the mean is 0.` : "";
    say.textContent = `BLEU ${number(score, 3)}.${why}` + (clipped ? ` Clipped: ${clipped} n-gram${same(clipped)}.` : "") +
      (penalty < 1 ? ` The hypothesis is too short: ${c} of ${r} words.` : "");
  }

  load(0);
}

export default { render };
