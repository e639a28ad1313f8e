/* A text; choose a character, and those before it are shaded by how much its prediction depends on them. */
export function compute({ norms }) {
  const total = norms.reduce((a, b) => a + b, 0);
  if (total === 0) return { shares: norms.map(() => 0), reach: 0, mean: 0 };
  const shares = norms.map((n) => n / total);
  let held = 0, reach = 0, mean = 0;
  shares.toReversed().forEach((share, i) => {
    held += share;
    mean += share * (i + 1);
    if (!reach && held >= 0.9 - 1e-12) reach = i + 1;
  });
  return { shares, reach, mean };
}

function render({ model, el }) {
  const { el: html, svg, number } = kit;
  const { text, start, norms, probability } = model.get("data");
  const state = { at: start };
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const shown = (c) => (c === " " ? "\u2423" : c === "\n" ? "\u21b5" : c);
  const go = (at) => {
    state.at = Math.min(text.length - 1, Math.max(1, at));
    place.set(state.at);
    draw();
  };
  const place = kit.slider({
    label: "predicted character", min: 1, max: text.length - 1, value: start, format: (v) => `${v + 1}, \u201c${shown(text[v])}\u201d`, oninput: go,
  });
  controls.append(place.node, kit.button("\u25c0 one back", () => go(state.at - 1)), kit.button("one on \u25b6", () => go(state.at + 1)));
  const page = html("p", { style: "font: 17px/1.9 ui-monospace, SFMono-Regular, Menlo, monospace; margin: 4px 0; overflow-wrap: anywhere" });
  const box = html("div");
  stage.append(page, box);
  page.addEventListener("click", (event) => {
    const at = event.target.dataset?.at;
    if (at > 0) go(+at);
  });

  function chart({ shares }) {
    const width = (stage.clientWidth || 660) < 480 ? 340 : 660;
    const left = 40, bottom = 118, most = 24;
    const back = shares.toReversed().slice(0, most);
    const step = (width - left - 8) / most, scale = 90 / Math.max(...back, 1e-9);
    const small = "font-size: 12px";
    const parts = [svg("line", { x1: left, x2: width - 8, y1: bottom, y2: bottom, stroke: "var(--xp-line)" })];
    back.forEach((share, i) => {
      parts.push(svg("rect", { x: left + i * step + 1, y: bottom - share * scale, width: step - 2, height: share * scale, fill: "var(--xp-warm)" }));
      if (i === 0 || (i + 1) % 4 === 0)
        parts.push(svg("text", { x: left + (i + 0.5) * step, y: bottom + 16, "text-anchor": "middle", style: small }, i + 1));
    });
    parts.push(
      svg("text", { x: left - 6, y: bottom - Math.max(...back) * scale + 5, "text-anchor": "end", style: small }, `${Math.round(100 * Math.max(...back))}%`),
      svg("text", { x: (left + width) / 2, y: bottom + 34, "text-anchor": "middle", style: `${small}; fill: var(--xp-soft)` }, "characters back"));
    const label = back.slice(0, 10).map((share, i) => `${i + 1} back ${Math.round(100 * share)}%`).join(", ");
    return svg("svg", { width, height: bottom + 40, viewBox: `0 0 ${width} ${bottom + 40}`, role: "img", "aria-label": `Share of the gradient by distance: ${label}` }, parts);
  }

  function draw() {
    const found = compute({ norms: norms[state.at - 1] });
    const most = Math.max(...found.shares);
    const first = state.at - found.shares.length;
    page.replaceChildren(...[...text].map((c, i) => {
      const style = i < state.at ? `background: ${kit.signed(found.shares[i - first] ?? 0, most)}` : i === state.at ? "outline: 2px solid var(--xp-cold); outline-offset: 0" : "color: var(--xp-soft)";
      return html("span", { "data-at": i, style: `${style}; padding: 2px 0; cursor: pointer` }, c === "\n" ? "\u21b5" : c);
    }));
    kit.swap(box, chart(found));
    say.textContent = `\u201c${shown(text[state.at])}\u201d had probability ${number(probability[state.at - 1], 3)}. ` +
      `Of the gradient by the last ${found.shares.length}, nine tenths fall on the last ${found.reach} character${found.reach === 1 ? "" : "s"}; mean distance ${number(found.mean, 1)}.`;
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
