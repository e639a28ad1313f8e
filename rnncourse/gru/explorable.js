/* Two counters on one string. Weights are those of the record, in full precision; a step is a few dozen products. */
const SYMBOLS = "$abc";
const sigmoid = (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));
const affine = (weight, bias, x) => weight.map((row, i) => row.reduce((sum, w, j) => sum + w * x[j], bias[i]));
const part = (values, which, H) => values.slice(which * H, (which + 1) * H);

function lstmStep(x, { h, c }, w) {
  const H = h.length;
  const fromState = affine(w.weight_hh, w.bias_hh, h);
  const a = affine(w.weight_ih, w.bias_ih, x).map((v, i) => v + fromState[i]);
  const [i, f, g, o] = [0, 1, 2, 3].map((k) => part(a, k, H));
  const next = c.map((v, u) => sigmoid(f[u]) * v + sigmoid(i[u]) * Math.tanh(g[u]));
  return { h: next.map((v, u) => sigmoid(o[u]) * Math.tanh(v)), c: next };
}

function gruStep(x, { h }, w) {
  const H = h.length;
  const [r, z, n] = [0, 1, 2].map((k) => part(affine(w.weight_ih, w.bias_ih, x), k, H));
  const [hr, hz, hn] = [0, 1, 2].map((k) => part(affine(w.weight_hh, w.bias_hh, h), k, H));
  return {
    h: h.map((before, u) => {
      const candidate = Math.tanh(n[u] + sigmoid(r[u] + hr[u]) * hn[u]);
      const keep = sigmoid(z[u] + hz[u]);
      return (1 - keep) * candidate + keep * before;
    }),
  };
}

/* The symbol that must come next on the way to a string a^n b^n; null where several can, or none. */
function expectations(string) {
  const expected = ["a"];
  let open = 0;
  for (let i = 0; i < string.length; i++) {
    open += string[i] === "a" ? 1 : -1;
    if (open < 0 || (string[i] === "a" && string[i - 1] === "b")) break;
    expected.push(string[i] === "a" ? null : open ? "b" : "$");
  }
  while (expected.length < string.length + 1) expected.push(null);
  return expected;
}

export function compute({ kind, weights, string }) {
  const H = weights.weight_hh[0].length;
  const zero = () => Array(H).fill(0);
  let state = { h: zero(), c: zero() };
  const states = [], said = [];
  for (const symbol of `$${string}`) {
    const x = [...SYMBOLS].map((s) => (s === symbol ? 1 : 0));
    state = (kind === "lstm" ? lstmStep : gruStep)(x, state, weights);
    states.push(kind === "lstm" ? state.c : state.h);
    const logits = affine(weights.output_weight, weights.output_bias, state.h);
    said.push(SYMBOLS[logits.indexOf(Math.max(...logits))]);
  }
  const expected = expectations(string);
  const wrong = expected.findIndex((symbol, t) => symbol !== null && symbol !== said[t]);
  return { states, said, expected, first_wrong: wrong < 0 ? null : wrong };
}

/* Runs of equal symbols: [["a", 3], ["b", 2]]. */
function runs(string) {
  const found = [];
  for (const symbol of string) {
    if (found.length && found.at(-1)[0] === symbol) found.at(-1)[1]++;
    else found.push([symbol, 1]);
  }
  return found;
}

function render({ model, el }) {
  const { el: html, svg, number } = kit;
  const data = model.get("data");
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  let string = "a".repeat(data.n) + "b".repeat(data.n);
  let upper = "lstm";
  let note = "";
  const units = Object.fromEntries(Object.entries(data.machines).map(([name, m]) => [name, m.unit]));

  const field = html("input", {
    type: "text", value: string, maxlength: data.longest, size: 18, spellcheck: "false", autocomplete: "off",
    autocapitalize: "none", "aria-label": "string to read, letters a and b",
    oninput() {
      const typed = field.value.toLowerCase();
      string = typed.replace(/[^ab]/g, "");
      note = string.length < typed.length ? " Characters other than a and b are left out."
        : string.length >= data.longest ? ` A string is cut after ${data.longest} letters.` : "";
      if (/^a+b*$/.test(string)) slider.set(string.lastIndexOf("a") + 1);
      draw();
    },
  });
  const slider = kit.slider({
    label: "n", min: 1, max: data.longest / 2, step: 1, value: data.n,
    oninput(n) {
      note = "";
      string = "a".repeat(n) + "b".repeat(n);
      field.value = string;
      draw();
    },
  });
  const which = kit.choice({
    label: "upper network", value: upper,
    options: Object.entries(data.machines).filter(([, m]) => m.kind === "lstm").map(([name, m]) => [name, m.label]),
    oninput(name) { upper = name; draw(); },
  });
  const dropped = kit.button("one b less", () => {
    note = "";
    string = string.replace(/b$/, "");
    field.value = string;
    draw();
  });
  controls.append(slider.node, html("label", { class: "xp-control" }, "or any string", field), dropped, which.node);
  const top = html("div"), bottom = html("div"), legend = html("div");
  stage.append(top, bottom, legend);

  const LEFT = 44, RIGHT = 8, PLOT = 118, STRIP = 20;

  function panel(name, result) {
    const machine = data.machines[name];
    const width = Math.max(300, stage.clientWidth || 640);
    const T = result.states.length;
    const column = (width - LEFT - RIGHT) / T;
    const all = result.states.flat();
    const gru = machine.kind === "gru";
    const low = gru ? -1 : Math.min(-1, ...all), high = gru ? 1 : Math.max(1, ...all);
    const x = (t) => LEFT + (t + 0.5) * column;
    const y = (v) => 8 + (PLOT - 16) * (high - v) / (high - low);
    const path = (u) => result.states.map((s, t) => `${t ? "L" : "M"} ${x(t).toFixed(1)} ${y(s[u]).toFixed(1)}`).join(" ");
    const text = (tx, ty, content, anchor = "end") =>
      svg("text", { x: tx, y: ty, "text-anchor": anchor, style: "font-size: 12px; fill: var(--xp-soft)" }, content);
    const parts = [];
    const near = (value) => value !== 0 && Math.abs(y(value) - y(0)) < 14;
    for (const value of [...new Set([low, 0, high])].filter((v) => !near(v))) {
      parts.push(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), stroke: "var(--xp-line)", "stroke-width": 1 }));
      parts.push(text(LEFT - 6, y(value) + 4, number(value, gru || Math.abs(value) < 10 && value % 1 ? 1 : 0)));
    }
    const bold = units[name];
    result.states[0].forEach((_, u) => {
      if (u !== bold) parts.push(svg("path", { d: path(u), fill: "none", stroke: "var(--xp-soft)", "stroke-width": 1, opacity: 0.55 }));
    });
    parts.push(svg("path", { d: path(bold), fill: "none", stroke: "var(--xp-cold)", "stroke-width": 3 }));
    result.expected.forEach((symbol, t) => {
      const wide = Math.max(1, column - 1), left = LEFT + t * column;
      const right = symbol !== null && symbol === result.said[t];
      const rect = (top, height, fill) => svg("rect", { x: left, y: PLOT + top, width: wide, height, fill });
      if (symbol === null) parts.push(rect(8, 3, "var(--xp-line)"));
      else if (right) parts.push(rect(4, 8, "var(--xp-good)"));
      else parts.push(rect(0, 16, "var(--xp-warm)"));
    });
    let t = 1;
    for (const [symbol, count] of [["$", 1], ...runs(string)]) {
      const start = symbol === "$" ? 0 : t;
      if (symbol !== "$") t += count;
      if (count * column >= 26 || string.length < 12)
        parts.push(text(LEFT + (start + count / 2) * column, PLOT + STRIP + 14, count > 1 ? `${symbol} \u00d7 ${count}` : symbol, "middle"));
    }
    const verdict = result.first_wrong === null
      ? `no mistake; determined: ${result.expected.filter((s) => s !== null).length} of ${T} symbols`
      : `first mistake ${after(result.first_wrong)}`;
    return [
      html("p", { class: "xp-note" }, html("strong", {}, machine.label), `, ${gru ? "hidden states h" : "cell states c"}: `,
        html("span", { class: result.first_wrong === null ? "xp-good" : "xp-bad" }, verdict)),
      svg("svg", {
        width, height: PLOT + STRIP + 20, viewBox: `0 0 ${width} ${PLOT + STRIP + 20}`, style: "max-width: none", role: "img",
        "aria-label": `${machine.label}: the counting unit goes from ${number(result.states[0][bold])} to ` +
          `${number(Math.max(...result.states.map((s) => s[bold])))} at most and ` +
          `${number(Math.min(...result.states.map((s) => s[bold])))} at least; ${verdict}`,
      }, parts),
    ];
  }

  function after(t) {
    if (t === 0) return "before the first symbol";
    const read = runs(string.slice(0, t)).map(([symbol, count]) => `${count} ${symbol}${count > 1 ? "\u2019s" : ""}`);
    return `after ${read.join(" and ")}`;
  }

  const spoken = (symbol) => (symbol === "$" ? "the end" : symbol);

  function mark(height, fill, label) {
    return html("span", {}, html("span", {
      style: `display: inline-block; width: 8px; height: ${height}px; background: ${fill}; margin-right: 6px; vertical-align: middle`,
    }), label);
  }

  function draw() {
    const results = Object.fromEntries([upper, "gru"].map((name) =>
      [name, compute({ ...data.machines[name], string })]));
    kit.swap(top, panel(upper, results[upper]));
    kit.swap(bottom, panel("gru", results.gru));
    kit.swap(legend, html("div", { class: "xp-row xp-label", style: "font-size: 13px; gap: 2px 18px; margin: 4px 0" },
      html("span", {}, html("span", {
        style: "display: inline-block; width: 18px; height: 3px; background: var(--xp-cold); margin-right: 6px; vertical-align: middle",
      }), "the unit that follows the number of a\u2019s"),
      mark(8, "var(--xp-good)", "next symbol right"), mark(16, "var(--xp-warm)", "wrong"),
      mark(3, "var(--xp-line)", "not determined")));
    const sentences = [upper, "gru"].map((name) => {
      const { first_wrong: t, said, expected } = results[name];
      const short = data.machines[name].kind.toUpperCase();
      return t === null ? `The ${short} makes no mistake.`
        : `The ${short} errs ${after(t)}: it says ${spoken(said[t])}, but ${spoken(expected[t])} must come.`;
    });
    const left = /ba/.test(string) || (string.match(/b/g) || []).length > (string.match(/a/g) || []).length;
    say.textContent = sentences.join(" ") + (left ? " From where the string stops being the start of some a\u207fb\u207f, nothing is expected." : "") +
      ` Strings in training had n up to ${data.trained_to}.` + note;
    dropped.disabled = !string.endsWith("b");
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
