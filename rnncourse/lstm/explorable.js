/* One LSTM cell. Steps count from 0 here; gates that are null are the net's own. */
export function compute({ net, x, store, ask, gates }) {
  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  const rows = { i: [], f: [], g: [], o: [], c: [], h: [], answer: [] };
  let h = 0, c = 0;
  x.forEach((value, t) => {
    const a = net.bias.map((b, n) => {
      const [number, stores, asks] = net.weight_ih[n];
      return number * value + stores * (t === store) + asks * (t === ask) + net.weight_hh[n] * h + b;
    });
    const [i, f, o] = ["i", "f", "o"].map((name, n) => gates[name]?.[t] ?? sigmoid(a[[0, 1, 3][n]]));
    const g = Math.tanh(a[2]);
    c = f * c + i * g;
    h = o * Math.tanh(c);
    const step = { i, f, g, o, c, h, answer: net.readout * h + net.readout_bias };
    for (const name of Object.keys(rows)) rows[name].push(step[name]);
  });
  const path = rows.f.slice(store + 1, ask + 1).reduce((product, f) => product * f, 1);
  const own = path * rows.i[store] * rows.g[store];
  return {
    ...rows, path, own,
    noise: rows.c[ask] - own,
    error: Math.abs(rows.answer[ask] - x[store]),
    leak: Math.max(...rows.answer.filter((_, t) => t !== ask).map(Math.abs)),
  };
}

function render({ model, el }) {
  const { el: html, number } = kit;
  const { net, sequences } = model.get("data");
  const NAMES = { i: "input gate i", f: "forget gate f", o: "output gate o" };
  const GATES = Object.keys(NAMES);
  const steps = sequences[0].x.length;
  let sequence = sequences[0];
  const hand = Object.fromEntries(GATES.map((name) => [name, Array(steps).fill(0.5)]));
  const mine = { i: true, f: true, o: true };
  const chosen = { gate: "i", t: sequence.store };
  const two = (value) => number(Math.abs(value) < 0.005 ? 0 : value, 2);
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const task = html("p", { class: "xp-note" });
  const box = html("div", { class: "xp-stage" });
  const sums = html("p", { class: "xp-note" });
  stage.append(task, box, sums);
  kit.sideways(box);

  const choose = kit.choice({
    label: "sequence", value: "0", options: sequences.map((_, n) => [String(n), String(n + 1)]),
    oninput(value) { sequence = sequences[+value]; draw(); },
  });
  const operators = Object.fromEntries(GATES.map((name) => [name, kit.choice({
    label: `${name} by`, value: "you", options: [["you", "you"], ["net", "trained net"]],
    oninput(value) { mine[name] = value === "you"; draw(); },
  })]));
  const level = kit.slider({
    label: "chosen gate", min: 0, max: 1, step: 0.01, value: 0.5, format: two,
    oninput(value) { take(chosen.gate); hand[chosen.gate][chosen.t] = value; draw(); },
  });
  const all = (operator) => {
    for (const name of GATES) { mine[name] = operator === "you"; operators[name].set(operator); }
    draw();
  };
  const fill = (values) => {
    for (const name of GATES) for (let t = 0; t < steps; t++) hand[name][t] = values[name];
    all("you");
  };
  const row_to = (value) => () => { take(chosen.gate); hand[chosen.gate].fill(value); draw(); };
  controls.append(choose.node, ...GATES.map((name) => operators[name].node), level.node,
    kit.button("row: shut", row_to(0)),
    kit.button("row: half", row_to(0.5)),
    kit.button("row: open", row_to(1)),
    kit.button("all half open", () => fill({ i: 0.5, f: 0.5, o: 0.5 })),
    kit.button("nothing in, all kept, shut", () => fill({ i: 0, f: 1, o: 0 })),
    kit.button("let the trained net do it", () => all("net")));

  /* A gate that the reader touches is the reader's from then on, and starts from the net's values. */
  function take(name) {
    if (mine[name]) return;
    hand[name] = run()[name].slice();
    mine[name] = true;
    operators[name].set("you");
  }

  const run = () => compute({
    net, ...sequence,
    gates: Object.fromEntries(GATES.map((name) => [name, mine[name] ? hand[name] : null])),
  });

  /* One click shuts a gate, and opens it if it is shut. */
  function press(gate, t) {
    Object.assign(chosen, { gate, t });
    take(gate);
    hand[gate][t] = hand[gate][t] > 0 ? 0 : 1;
    draw();
  }

  function move(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      Home: [0, -steps], End: [0, steps] }[event.key];
    if (!step) return;
    event.preventDefault();
    const row = Math.min(Math.max(GATES.indexOf(chosen.gate) + step[0], 0), GATES.length - 1);
    Object.assign(chosen, { gate: GATES[row], t: Math.min(Math.max(chosen.t + step[1], 0), steps - 1) });
    draw();
    box.querySelector("button[aria-pressed='true']").focus();
  }

  const centre = "text-align: center; align-self: center; font-size: 13px";
  const head = (text) => html("div", { role: "rowheader", style: "align-self: center; font-size: 13px; padding-right: 6px" }, text);
  const plain = (text, style = "") => html("div", { role: "gridcell", style: `${centre}; ${style}` }, text);
  const coloured = (value, style = "") =>
    plain(two(value), `padding: 4px 0; border-radius: 3px; background: ${kit.signed(value)}; ${style}`);
  const row = (name, cells) => html("div", { role: "row" }, head(name), cells);
  const columns = [...Array(steps).keys()];

  function gateRow(name, result) {
    return row(NAMES[name], columns.map((t) => {
      const value = result[name][t];
      const pressed = chosen.gate === name && chosen.t === t;
      return html("div", { role: "gridcell" }, html("button", {
        type: "button", class: "xp-cell", "aria-pressed": String(pressed), tabindex: pressed ? 0 : -1,
        "data-key": `${name}${t}`, onclick: () => press(name, t), onkeydown: move,
        "aria-label": `${NAMES[name]} at step ${t + 1}: ${two(value)}`,
        style: `background: linear-gradient(to top, color-mix(in srgb, var(--xp-good) 35%, var(--xp-paper)) ` +
          `${100 * value}%, var(--xp-paper) ${100 * value}%); ${mine[name] ? "" : "border-style: dotted"}`,
      }, two(value)));
    }));
  }

  function draw() {
    const { x, store, ask } = sequence;
    const result = run();
    const wanted = x[store];
    const marked = (t) => (t === store || t === ask ? "outline: 2px solid var(--xp-good); font-weight: 700" : "");
    task.textContent = `Carry the number ${two(wanted)} of step ${store + 1} to step ${ask + 1}, and answer 0 at other steps, both within 0.15. ` +
      "A click shuts a gate, or opens it if it is shut; the slider and the row buttons act on the gate chosen last.";
    kit.swap(box, html("div", {
      role: "grid", "aria-label": "The cell step by step; arrow keys, Home and End move among the gates",
      style: `grid-template-columns: 104px repeat(${steps}, minmax(44px, 1fr)); min-width: ${104 + 46 * steps}px`,
    },
      row("step", columns.map((t) => html("div", { role: "columnheader", style: `${centre}; color: var(--xp-soft)` },
        `${t + 1}`))),
      row("mark", columns.map((t) => plain(t === store ? "store" : t === ask ? "ask" : "", "font-weight: 700"))),
      row("number x", columns.map((t) => coloured(x[t], marked(t)))),
      row("candidate g", columns.map((t) => coloured(result.g[t]))),
      ...GATES.slice(0, 2).map((name) => gateRow(name, result)),
      row("cell c", columns.map((t) => coloured(result.c[t], "font-weight: 700"))),
      gateRow("o", result),
      row("answer", columns.map((t) => coloured(result.answer[t], t === ask ? marked(t) : ""))),
      row("wanted", columns.map((t) => plain(t === ask ? two(wanted) : "0", t === ask ? "font-weight: 700" : "color: var(--xp-soft)")))));
    level.set(result[chosen.gate][chosen.t]);
    level.node.querySelector("label").textContent = `${chosen.gate} at step ${chosen.t + 1}`;
    sums.textContent = `At step ${ask + 1} the cell holds ${two(result.c[ask])} = ${two(result.own)} of the stored number ` +
      `(forget gates multiplied: ${kit.short(result.path)}) and ${two(result.noise)} of all else.`;
    const good = result.error < 0.15 && result.leak < 0.15;
    const who = GATES.every((name) => !mine[name]) ? "The trained net" : GATES.every((name) => mine[name]) ? "You" : "You and the net";
    say.replaceChildren(html("span", { class: good ? "xp-good" : "xp-bad" }, good ? "Carried. " : "Not yet. "),
      `${who}: the answer is off by ${two(result.error)}, and the largest answer elsewhere is ${two(result.leak)}.`);
  }

  draw();
}

export default { render };
