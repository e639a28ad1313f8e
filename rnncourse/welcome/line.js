/* What is wrong with an expression, in words for the reader. */
class Fault extends Error {}

/* Arrays: {shape, data}, data row by row. Same rules as NumPy's for numbers, vectors and matrices. */
const array = (nested) => ({
  shape: Array.isArray(nested) ? (Array.isArray(nested[0]) ? [nested.length, nested[0].length] : [nested.length]) : [],
  data: [nested].flat(2),
});
function nested({ shape, data }) {
  if (shape.length === 2) return Array.from({ length: shape[0] }, (_, i) => data.slice(i * shape[1], (i + 1) * shape[1]));
  return shape.length ? data : data[0];
}
const shapeText = (shape) => (shape.length ? `(${shape.join(", ")}${shape.length === 1 ? "," : ""})` : "a number");

function elementwise(f, a, b, describe) {
  const as = (shape) => [...[1, 1].slice(shape.length), ...shape];
  const [p, q] = [as(a.shape), as(b.shape)];
  const rows = p.map((size, i) => (size === 1 ? q[i] : size));
  if (rows.some((size, i) => q[i] !== 1 && q[i] !== size)) {
    throw new Fault(`${describe}: shapes ${shapeText(a.shape)} and ${shapeText(b.shape)} do not fit`);
  }
  const at = (v, [r, c], i, j) => v.data[(r === 1 ? 0 : i) * c + (c === 1 ? 0 : j)];
  const data = [];
  for (let i = 0; i < rows[0]; i++) for (let j = 0; j < rows[1]; j++) data.push(f(at(a, p, i, j), at(b, q, i, j)));
  return { shape: rows.slice(2 - Math.max(a.shape.length, b.shape.length)), data };
}
function product(a, b, describe) {
  if (!a.shape.length || !b.shape.length) throw new Fault(`${describe}: @ multiplies vectors and matrices; for a number use *`);
  const [m, k] = a.shape.length === 2 ? a.shape : [1, a.shape[0]];
  const [l, n] = b.shape.length === 2 ? b.shape : [b.shape[0], 1];
  if (k !== l) throw new Fault(`${describe}: ${shapeText(a.shape)} times ${shapeText(b.shape)} does not fit`);
  const data = [];
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) {
    let sum = 0;
    for (let s = 0; s < k; s++) sum += a.data[i * k + s] * b.data[s * n + j];
    data.push(sum);
  }
  return { shape: [...a.shape.slice(0, -1), ...(b.shape.length === 2 ? [n] : [])], data };
}
const map = (f) => ({ shape, data }) => ({ shape, data: data.map(f) });
const transpose = (a) => (a.shape.length < 2 ? a : {
  shape: [a.shape[1], a.shape[0]],
  data: Array.from({ length: a.data.length }, (_, k) => a.data[(k % a.shape[0]) * a.shape[1] + Math.floor(k / a.shape[0])]),
});
const FUNCTIONS = {
  "np.tanh": [1, map(Math.tanh)], tanh: [1, map(Math.tanh)], relu: [1, map((v) => Math.max(v, 0))],
  "np.maximum": [2, (a, b, describe) => elementwise(Math.max, a, b, describe)],
};
const BINARY = {
  "+": (a, b, describe) => elementwise((u, v) => u + v, a, b, describe),
  "-": (a, b, describe) => elementwise((u, v) => u - v, a, b, describe),
  "*": (a, b, describe) => elementwise((u, v) => u * v, a, b, describe),
  "@": product,
};

/* sum = term {(+|-) term}; term = signed {(@|*) signed}; signed = {+|-} atom {.T}; atom = number | name | call | (sum).
   Returns a function of the names' values. */
function parse(source, names) {
  if (source.length > 200) throw new Fault("This is longer than 200 characters");
  const TOKEN = /\s*(?:(\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?)|((?:np\s*\.\s*)?[A-Za-z_]\w*)|(\S))/giy;
  const tokens = [...source.trimEnd().matchAll(TOKEN)].map((match) => ({
    number: match[1], name: match[2]?.replace(/\s/g, ""), sign: match[3], end: match.index + match[0].length,
    start: match.index + match[0].search(/\S/),
  }));
  let next = 0;
  const sign = () => tokens[next]?.sign;
  const text = (first, last = next) => source.slice(tokens[first].start, tokens[last - 1].end);
  function expect(wanted, where) {
    if (sign() === wanted) { next += 1; return; }
    throw new Fault(wanted === ")" && tokens[next] ? gap() : `A \u201c${wanted}\u201d is missing ${where}`);
  }
  const gap = () => (sign() ? `\u201c${sign()}\u201d is not expected there`
    : `An operator is missing before \u201c${text(next, next + 1)}\u201d`);
  function chain(operators, operand) {
    const first = next;
    let left = operand();
    while (operators.includes(sign() ?? "none")) {
      const [operator, a] = [tokens[next++].sign, left];
      const b = operand();
      const describe = text(first);
      left = (env) => BINARY[operator](a(env), b(env), describe);
    }
    return left;
  }
  const sum = () => chain(["+", "-"], term);
  const term = () => chain(["@", "*"], signed);
  function signed() {
    if (sign() === "+") { next += 1; return signed(); }
    if (sign() === "-") {
      next += 1;
      const operand = signed();
      return (env) => map((v) => -v)(operand(env));
    }
    let value = atom();
    while (sign() === ".") {
      next += 1;
      if (tokens[next]?.name !== "T") throw new Fault("After a point only T is known here: W.T is W transposed");
      next += 1;
      const of = value;
      value = (env) => transpose(of(env));
    }
    return value;
  }
  function atom() {
    const token = tokens[next];
    if (!token) throw new Fault("The line ends too early");
    const first = next++;
    if (token.number) { const value = array(Number(token.number)); return () => value; }
    if (token.sign === "(") {
      const inner = sum();
      expect(")", `after ${text(first)}`);
      return inner;
    }
    if (token.sign) throw new Fault(`\u201c${token.sign}\u201d is not expected there`);
    if (Object.hasOwn(FUNCTIONS, token.name)) {
      const [arity, f] = FUNCTIONS[token.name];
      expect("(", `after ${token.name}`);
      const args = [sum()];
      while (sign() === ",") { next += 1; args.push(sum()); }
      expect(")", `after ${text(first)}`);
      const describe = text(first);
      if (args.length !== arity) throw new Fault(`${token.name} takes ${arity === 1 ? "one argument" : "two arguments"}`);
      return (env) => f(...args.map((arg) => arg(env)), describe);
    }
    if (sign() === "[") {
      throw new Fault(`${token.name}[\u2026]: no index is needed; x is the input of this step, h the state before it`);
    }
    if (!names.includes(token.name)) {
      throw new Fault(`${token.name} is not known here; there are ${names.join(", ")}, np.tanh, relu`);
    }
    return (env) => env[token.name];
  }
  const value = sum();
  if (next < tokens.length) {
    throw new Fault(sign() === ")" ? "There is a \u201c)\u201d too many" : gap());
  }
  return value;
}

const environment = (numbers) => Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, array(value)]));
function evaluate(expression, numbers) {
  const result = parse(expression, Object.keys(numbers))(environment(numbers));
  if (!result.data.every(Number.isFinite)) throw new Fault("The result is not finite");
  return nested(result);
}
/* The value, or the Fault. Anything else that goes wrong is a fault of this file and is thrown. */
function attempt(f) {
  try { return { value: f() }; } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    return { fault: fault.message };
  }
}

export function compute({ expression, numbers }) {
  const { value, fault } = attempt(() => evaluate(expression, numbers));
  return fault === undefined ? { value } : { error: true };
}

const flat = (value) => [value].flat(2);
const shapeOf = (value) => shapeText(array(value).shape);
const same = (a, b) => shapeOf(a) === shapeOf(b) && flat(a).every((v, i) => Math.abs(v - flat(b)[i]) < 1e-9);

/* All expressions with a known mistake, [expression, what is wrong], fewest mistakes first. */
function knownMistakes({ parts, wraps, whole }) {
  const terms = parts.flatMap(([[right]]) => right.split(" + "));
  const early = Array.from({ length: 2 ** terms.length - 2 }, (_, k) => {
    const inside = terms.filter((_, i) => (k + 1) >> i & 1), outside = terms.filter((term) => !inside.includes(term));
    return [`np.tanh(${inside.join(" + ")}) + ${outside.join(" + ")}`,
      [`tanh is applied too early, before ${outside.join(" and ")} ${outside.length > 1 ? "are" : "is"} added.`]];
  });
  const sums = parts.reduce((heads, part) => heads.flatMap(([used, wrong]) => part.map(([term, mistake]) =>
    [term ? [...used, term] : used, mistake ? [...wrong, mistake] : wrong])), [[[], []]]);
  const combined = wraps.flatMap(([wrap, mistake]) => sums.filter(([used]) => used.length).map(([used, wrong]) =>
    [wrap.replace("_", used.join(" + ")), mistake ? [mistake, ...wrong] : wrong]));
  return [...whole.map(([expression, mistake]) => [expression, [mistake]]), ...early, ...combined]
    .filter(([, wrong]) => wrong.length && wrong.length <= 3).sort((a, b) => a[1].length - b[1].length);
}

/* Judge a line: {ok, message, value}. It must give the right numbers in all cases; a mistake is looked for in the first
   case in which the line runs (with D = H more lines run than with D < H). */
export function judge(expression, { cases, ...known }) {
  const results = cases.map(({ numbers }) => attempt(() => evaluate(expression, numbers)));
  const right = results.map(({ value, fault }, i) => fault === undefined && same(value, cases[i].expected));
  if (right.every(Boolean)) return { ok: true, value: results[0].value };
  const runs = results.findIndex(({ fault }) => fault === undefined);
  const shown = results[0].fault;
  if (runs < 0) return { ok: false, message: `${shown}.` };
  const { numbers } = cases[runs];
  const found = knownMistakes(known).find(([wrong]) => {
    const { value, fault } = attempt(() => evaluate(wrong, numbers));
    return fault === undefined && same(value, results[runs].value);
  });
  const value = results[0].value;
  const wrongShape = value !== undefined && shapeOf(value) !== shapeOf(cases[0].expected);
  const facts = [
    shown && `${shown}.`,
    wrongShape && `The result has shape ${shapeOf(value)}; h has shape ${shapeOf(cases[0].expected)}.`,
    ...(found?.[1] ?? []),
    !found && !shown && !wrongShape
      && "The numbers differ, in a way this check has no name for: compare term by term with the equation.",
  ].filter(Boolean);
  return { ok: false, message: facts.join(" "), value };
}

const NEEDED = 2;

function render({ model, el: root }) {
  const { el, button } = kit;
  const data = model.get("data");
  const { stage, controls, say } = kit.frame(root, model.get("title"));
  const [{ numbers, expected, sequence, states }] = data.cases;
  let failures = 0;

  const field = el("input", {
    type: "text", class: "xp-code", "aria-label": "the new state: h equals", placeholder: "your line", maxlength: 200,
    autocomplete: "off", autocapitalize: "off", autocorrect: "off", spellcheck: "false",
    style: "flex: 1 1 220px; min-width: 0; font: 15px ui-monospace, SFMono-Regular, Menlo, monospace",
  });
  const help = button("show me", () => {
    field.value = data.answer;
    help.hidden = true;
    submit();
  }, { hidden: true });
  const result = el("div", { class: "xp-row", style: "min-height: 92px; align-items: flex-start" });
  const column = (heading, node) => el("span",
    { style: "display: inline-flex; flex-direction: column; align-items: flex-start; gap: 3px" },
    el("span", { class: "xp-code", style: "font-size: 13px; line-height: 1.3" }, heading), node);
  const vector = (label, value) => column(label, kit.matrix(value, { label }));

  function submit() {
    const expression = field.value.trim().replace(/^h\s*=(?!=)\s*/, "");
    if (!expression) {
      say.textContent = "The line is empty. It needs the input, the previous state, both biases, and tanh.";
      return;
    }
    const { ok, message, value } = judge(expression, data);
    field.setAttribute("aria-invalid", String(!ok));
    if (ok) {
      // The reader's own line runs over the sequence.
      const run = [];
      let h = numbers.h.map(() => 0);
      for (const x of sequence) run.push(h = evaluate(expression, { ...numbers, x, h }));
      result.replaceChildren(...run.map((state, i) => vector(`h_${i + 1}`, state)));
      const agrees = run.every((state, i) => same(state, states[i]));
      say.textContent = `Right. This line is a recurrent network. Run over ${sequence.length} inputs from h_0 = 0 it gives`
        + ` the states above${agrees ? ", the same numbers as the course's package" : ""}.`;
      say.className = "xp-say xp-good";
      help.hidden = true;
      return;
    }
    failures += 1;
    help.hidden = failures < NEEDED;
    say.className = "xp-say";
    say.textContent = `Not yet. ${message}`;
    result.replaceChildren(vector("h should be", expected),
      ...(value === undefined ? [] : [vector("your line gives", value)]));
  }

  const form = el("form", { onsubmit: (event) => { event.preventDefault(); submit(); } },
    el("div", { class: "xp-code" }, "h = h_0\nfor t in range(T):"),
    el("div", { style: "display: flex; flex-wrap: wrap; gap: 8px; align-items: center; padding: 4px 5px 4px 2.2em" },
      el("span", { class: "xp-code" }, "h ="), field, el("button", { type: "submit", class: "xp-button" }, "check"), help));
  controls.append(el("strong", {}, "Fill in one line: the new state from the input and the state before."));
  stage.append(form,
    el("div", { class: "xp-row", style: "align-items: flex-start", role: "group", "aria-label": "What the line may use" },
      ["x", "h", "W_ih", "W_hh", "b_ih", "b_hh"].map((name) =>
        column(`${name} ${shapeText(array(numbers[name]).shape)}`, kit.matrix(numbers[name], { label: name, digits: 1 })))),
    result);
  result.append(vector("h should be", expected));
  say.textContent = "x is the input of this step, h the state before it. The product of matrices is @. Enter checks the line.";
}

export default { render };
