/* Shared by all explorables: elements, controls, colours. One look, operable by keyboard, labelled. */
const kit = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  let count = 0;

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat());
    return node;
  }
  /* el("button", {class: "x", onclick: f}, "text"): an HTML element. svg(...): the same in SVG. */
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  /* The frame of an explorable: a labelled group with a row of controls, a stage, and a spoken line below. */
  function frame(root, title) {
    const controls = el("div", { class: "xp-controls" });
    const stage = el("div", { class: "xp-stage" });
    const say = el("p", { class: "xp-say", role: "status", "aria-live": "polite" });
    root.append(el("div", { class: "xp", role: "group", "aria-label": title }, controls, stage, say));
    return { controls, stage, say };
  }

  /* A slider with its label and its value in words. set(value) moves it without calling oninput. */
  function slider({ label, min, max, step = 1, value, format = String, oninput }) {
    const id = `xp-${Date.now().toString(36)}-${count++}`;
    const output = el("output", { for: id }, format(value));
    const input = el("input", { id, type: "range", min, max, step, value, "aria-valuetext": format(value) });
    const show = () => {
      output.textContent = format(+input.value);
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => { show(); oninput(+input.value); });
    const node = el("span", { class: "xp-control" }, el("label", { for: id }, label), input, output);
    return { node, get: () => +input.value, set(v) { input.value = v; show(); }, limit(low, high) { input.min = low; input.max = high; show(); } };
  }

  const button = (label, onclick, attributes = {}) =>
    el("button", { type: "button", class: "xp-button", onclick, ...attributes }, label);

  /* A labelled choice among [value, text] pairs. set(value) changes it without calling oninput. */
  function choice({ label, options, value, oninput }) {
    const id = `xp-${Date.now().toString(36)}-${count++}`;
    const select = el("select", { id }, options.map(([v, text]) => el("option", { value: v, selected: v === value }, text)));
    select.addEventListener("input", () => oninput(select.value));
    return { node: el("span", { class: "xp-control" }, el("label", { for: id }, label), select), get: () => select.value, set(v) { select.value = v; } };
  }

  /* Blue for negative, orange for positive, by strength; the number stands beside it, so colour is never alone.
     Half of the colour at most: beyond, ink does not reach a contrast of 4.5 in the dark theme. */
  function signed(value, limit = 1) {
    const strength = Math.min(1, Math.abs(value) / limit);
    return `color-mix(in srgb, var(${value < 0 ? "--xp-cold" : "--xp-warm"}) ${Math.round(50 * strength)}%, var(--xp-paper))`;
  }

  const number = (value, digits = 2) => (Object.is(value, -0) ? 0 : value).toFixed(digits).replace("-", "\u2212");

  /* Three digits, fewer where the number has no more: 4, 0.25, 12.3, 0.0123, 2.14e5. For cells of a figure. */
  function short(value) {
    const size = Math.abs(value);
    if (size < 1e-12) return "0";
    if (Number.isInteger(value) && size < 1e6) return number(value, 0);
    if (size < 0.001 || size >= 10000) return value.toExponential(2).replace("e+", "e").replaceAll("-", "\u2212");
    const hundredths = Math.abs(100 * value - Math.round(100 * value)) < 1e-9;
    return number(value, hundredths && size < 10 ? 2 : Math.max(0, 2 - Math.floor(Math.log10(size))));
  }

  /* New content for `node`; the focus returns to the element with the same data-key, and nothing scrolls. */
  function swap(node, ...children) {
    const focus = document.activeElement;
    const key = node.contains(focus) ? focus.dataset.key : undefined;
    node.replaceChildren(...children.flat());
    if (key) node.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
  }

  /* A straight arrow in SVG. */
  function arrow(x1, y1, x2, y2, { colour = "var(--xp-soft)", width = 1.5 } = {}) {
    const length = Math.hypot(x2 - x1, y2 - y1);
    const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
    const head = 4 + 1.5 * width;
    const [x, y] = [x2 - head * dx, y2 - head * dy];
    const points = [[x2, y2], [x - head * dy / 2, y + head * dx / 2], [x + head * dy / 2, y - head * dx / 2]];
    return svg("g", { "aria-hidden": "true" },
      svg("line", { x1, y1, x2: x, y2: y, stroke: colour, "stroke-width": width }),
      svg("polygon", { points: points.join(" "), fill: colour }));
  }

  /* Whether the reader asked for stillness. */
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  /* A number, vector (drawn as a column) or matrix between brackets, coloured by sign; `label` is its accessible name. */
  const matrix = (values, { label, limit = 1, digits = 2 } = {}) => {
    const rows = [values].flat().map((row) => [row].flat());
    const text = rows.map((row) => row.map((v) => number(v, digits)).join(", ")).join("; ");
    const cell = (v) => el("span", { style: `background: ${signed(v, limit)}` }, number(v, digits));
    return el("span", {
      class: "xp-matrix", role: "img", "aria-label": `${label ? `${label}: ` : ""}${text}`,
      style: `grid-template-columns: repeat(${rows[0].length}, auto)`,
    }, rows.flat().map(cell));
  };

  /* A box that scrolls sideways says so: it fades at an end that hides something, and a line stands below. */
  const sideways = (box) => {
    const hint = el("p", { class: "xp-scroll", "aria-hidden": "true" }, "\u25c2 scroll sideways \u25b8");
    const look = () => {
      const hidden = box.scrollWidth - box.clientWidth;
      hint.hidden = hidden < 2;
      box.classList.toggle("xp-more-left", box.scrollLeft > 1);
      box.classList.toggle("xp-more-right", box.scrollLeft < hidden - 1);
    };
    box.after(hint);
    box.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(box);
    new MutationObserver(look).observe(box, { childList: true, subtree: true });
  };

  /* Scroll `box`, and nothing around it, so far that what lies from `left` to `right` in it stands clear of the fades. */
  const reveal = (box, left, right) => {
    const clear = 36;
    const most = right + clear - box.clientWidth;
    if (box.scrollLeft < most || box.scrollLeft > left - clear) box.scrollLeft = (left + right - box.clientWidth) / 2;
  };

  return {
    el, svg, frame, slider, button, choice, signed, number, short, swap, arrow, still, matrix, sideways, reveal,
  };
})();
