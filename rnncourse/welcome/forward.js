const times = (matrix, vector) => matrix.map((row) => row.reduce((sum, w, j) => sum + w * vector[j], 0));

export function compute({ x, h, W_ih, W_hh, b_ih, b_hh, W, b }) {
  const [from_x, from_h] = [times(W_ih, x), times(W_hh, h)];
  const a = from_x.map((value, i) => value + from_h[i] + b_ih[i] + b_hh[i]);
  const state = a.map(Math.tanh);
  return { a, h: state, o: times(W, state).map((value, i) => value + b[i]) };
}

/* A symbol: its letter and index in the equation, its name in the code, its shape, what it is. */
const SYMBOLS = {
  h0: { letter: "h", index: "0", code: "h_0", shape: ["H"], what: "the initial state: zeros, where nothing is known" },
  t: { letter: "t", code: "t", shape: [], what: "the step. Python counts from 0, so x\u2081 is x[0]" },
  T: { letter: "T", code: "T", shape: [], what: "the number of steps" },
  a: { letter: "a", index: "t", code: "a", shape: ["H"], what: "the pre-activation: all that the step adds up" },
  W_ih: { letter: "W", index: "ih", roman: true, code: "W_ih", shape: ["H", "D"], what: "the weights from input to state" },
  x: { letter: "x", index: "t", code: "x[t]", shape: ["D"], what: "the input of this step" },
  W_hh: { letter: "W", index: "hh", roman: true, code: "W_hh", shape: ["H", "H"],
    what: "the weights from state to next state: the recurrence" },
  h_before: { letter: "h", index: "t\u22121", code: "h", shape: ["H"],
    what: "the state before this step. The code still calls it h" },
  b_ih: { letter: "b", index: "ih", roman: true, code: "b_ih", shape: ["H"], what: "the bias added to the input's share" },
  b_hh: { letter: "b", index: "hh", roman: true, code: "b_hh", shape: ["H"], what: "the bias added to the state's share" },
  h: { letter: "h", index: "t", code: "h", shape: ["H"], what: "the state after this step: all that is remembered" },
  tanh: { letter: "tanh", upright: true, code: "np.tanh", shape: [],
    what: "the nonlinearity, number by number: it keeps the state between \u22121 and 1" },
  o: { letter: "o", index: "t", code: "o[t]", shape: ["V"], what: "the output of this step" },
  W: { letter: "W", code: "W", shape: ["V", "H"], what: "the weights from the state to the output" },
  b: { letter: "b", code: "b", shape: ["V"], what: "the bias of the output" },
};
/* Equation and code, line by line; $name is a symbol. */
const LINES = [
  ["$h0 = 0", "$h0{h} = $h0"],
  ["for $t = 1, \u2026, $T:", "for $t in range($T):"],
  ["$a = $W_ih $x + $W_hh $h_before + $b_ih + $b_hh", "    $a = $W_ih @ $x + $W_hh @ $h_before + $b_ih + $b_hh"],
  ["$h = $tanh($a)", "    $h = $tanh($a)"],
  ["$o = $W $h + $b", "    $o = $W @ $h + $b"],
];
const STYLE = `
  .fw-lines { display: grid; grid-template-columns: auto auto; gap: 6px 30px; align-items: baseline; width: fit-content; }
  .fw-equation {
    font: 18px/1.5 "STIX Two Math", "Cambria Math", Cambria, Georgia, serif; white-space: nowrap; word-spacing: 3px;
  }
  .fw-equation sub { font-size: 70%; }
  .fw-lines .xp-code { font-size: 13.5px; }
  .fw-symbol {
    font: inherit; line-height: 1.35; color: inherit; background: none; border: 0; border-radius: 4px;
    padding: 1px 3px; margin: 0 -3px; cursor: pointer;
  }
  .fw-symbol.fw-lit { background: color-mix(in srgb, var(--xp-warm) 30%, var(--xp-paper)); box-shadow: 0 2px 0 var(--xp-warm); }
  .fw-all { display: flex; flex-wrap: wrap; gap: 14px 26px; align-items: flex-start; }
  .fw-facts {
    flex: 1 1 160px; display: flex; flex-wrap: wrap; gap: 4px 26px; align-items: center; align-content: flex-start;
    min-height: 92px;
  }
  .fw-facts > span { white-space: nowrap; }
  @container (max-width: 660px) {
    .fw-lines { grid-template-columns: 1fr; gap: 0; }
    .fw-equation { font-size: 16px; margin-top: 8px; }
    .fw-lines .xp-code { font-size: 12px; letter-spacing: -0.3px; white-space: pre-wrap; }
  }`;

function render({ model, el: root }) {
  const { el } = kit;
  const data = model.get("data");
  const { controls, stage, say } = kit.frame(root, model.get("title"));
  const sizes = { D: data.x[0].length, H: data.h_0.length, V: data.b.length };
  const steps = data.x.length;

  /* The numbers of every symbol at every step. */
  const values = [];
  for (let t = 0, h = data.h_0; t < steps; t++) {
    const step = compute({ ...data, x: data.x[t], h });
    values.push({ ...data, h0: data.h_0, t: t + 1, T: steps, x: data.x[t], h_before: h, ...step });
    h = step.h;
  }

  /* Variables in italics, also as an index; W's index is a name and a digit is a digit, both upright. */
  const italic = (index) => [el("i", {}, index[0]), index.slice(1)];
  const inEquation = ({ letter, index, roman, upright }) => [
    upright ? letter : el("i", {}, letter),
    index ? el("sub", {}, roman || index === "0" ? index : italic(index)) : ""];
  const symbols = [];
  function symbol(name, content, where) {
    const { code } = SYMBOLS[name];
    const node = el("button", {
      type: "button", class: "fw-symbol", tabindex: -1, "data-name": name, "data-where": where,
      "aria-label": `${where === "code" ? "in the code" : "in the equation"}: ${where === "code" ? content : spoken(name)}`,
      onpointerenter: (event) => { if (event.pointerType === "mouse") light(name); },
      onpointerleave: (event) => { if (event.pointerType === "mouse") light(chosen); },
      onfocus: () => choose(node), onclick: () => { node.focus(); choose(node); },
    }, where === "code" ? content ?? code : inEquation(SYMBOLS[name]));
    symbols.push(node);
    return node;
  }
  const spoken = (name) => [SYMBOLS[name].letter, SYMBOLS[name].index].filter(Boolean).join(" ");
  const parse = (line, where) => {
    const parts = [];
    let end = 0;
    for (const match of line.matchAll(/\$(\w+)(?:\{(\w+)\})?/g)) {
      parts.push(line.slice(end, match.index), symbol(match[1], match[2] ?? SYMBOLS[match[1]].code, where));
      end = match.index + match[0].length;
    }
    return [...parts, line.slice(end)];
  };

  let chosen = "W_hh", shownStep = 1;
  const facts = el("div", { class: "fw-facts" });
  function light(name) {
    for (const node of symbols) node.classList.toggle("fw-lit", node.dataset.name === name);
    const { shape, what, code } = SYMBOLS[name];
    const value = values[shownStep - 1][name];
    const letters = shape.length ? `(${shape.join(", ")}${shape.length === 1 ? "," : ""})` : "";
    const numbers = shape.length ? `(${shape.map((s) => sizes[s]).join(", ")}${shape.length === 1 ? "," : ""})` : "";
    const shapeText = shape.length ? `shape ${letters} = ${numbers}` : name === "tanh" ? "a function" : "a number";
    const shown = name === "tanh" ? el("span", {}, kit.matrix(values[shownStep - 1].a, { label: "a" }), " \u2192 ",
      kit.matrix(values[shownStep - 1].h, { label: "h" }))
      : shape.length ? kit.matrix(value, { label: code, digits: name in data ? 1 : 2 })
        : el("b", {}, String(value));
    facts.replaceChildren(
      el("span", {}, el("span", { class: "fw-equation" }, inEquation(SYMBOLS[name])), " in the code ",
        el("span", { class: "xp-code" }, code)),
      el("span", { class: "xp-label" }, shapeText), shown);
    return `${SYMBOLS[name].code}: ${what}; ${shapeText}.`;
  }
  function choose(node) {
    chosen = node.dataset.name;
    for (const other of symbols) other.tabIndex = other === node ? 0 : -1;
    say.textContent = light(chosen);
  }
  /* One tab stop; arrows go through the symbols, up and down to the same symbol on the other side. */
  function onkeydown(event) {
    const here = symbols.indexOf(document.activeElement);
    if (here < 0) return;
    const side = symbols.filter((node) => node.dataset.where === symbols[here].dataset.where);
    const at = side.indexOf(symbols[here]);
    const twin = symbols.find((node) => node.dataset.name === symbols[here].dataset.name && !side.includes(node));
    const to = {
      ArrowRight: side[(at + 1) % side.length], ArrowLeft: side.at(at - 1), Home: side[0], End: side.at(-1),
      ArrowDown: twin, ArrowUp: twin,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to.focus();
  }

  const lines = el("div", { class: "fw-lines", role: "toolbar", "aria-label":
    "Equation and code; left and right go from symbol to symbol, up and down from equation to code", onkeydown },
  LINES.map(([equation, code]) => [
    el("span", { class: "fw-equation" }, parse(equation, "equation")),
    el("span", { class: "xp-code" }, parse(code, "code")),
  ]).flat());
  const slider = kit.slider({
    label: "step t", min: 1, max: steps, value: 1, format: (t) => `${t} of ${steps}`,
    oninput(t) { shownStep = t; say.textContent = light(chosen); },
  });
  controls.append(slider.node, el("span", { class: "xp-label" }, `numbers for H = ${sizes.H}, D = ${sizes.D}, V = ${sizes.V}`));
  stage.append(el("style", {}, STYLE), el("div", { style: "container-type: inline-size" },
    el("div", { class: "fw-all" }, lines, facts)));
  choose(symbols.find((node) => node.dataset.name === chosen));
  say.textContent += " Point at a symbol, or go there by Tab and the arrow keys: it lights on both sides.";
}

export default { render };
