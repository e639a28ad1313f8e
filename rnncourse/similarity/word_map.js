/* Neighbours of a word in the space of its vectors and on the map. */
const product = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);

/* The k best places by `score`, the largest first, of equals the first; `query` itself left out. */
const best = (scores, query, k) => scores.map((_, i) => i).filter((i) => i !== query)
  .sort((i, j) => scores[j] - scores[i] || i - j).slice(0, k);

/* Fewest letters to insert, delete or replace. */
function spelling(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const before = row;
    row = [i];
    for (let j = 1; j <= b.length; j++)
      row.push(Math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
  }
  return row.at(-1);
}

const alike = (typed, words) => best(words.map((word) => -spelling(typed, word)), -1, 4);

export function compute({ vectors, positions, query, k, words, typed }) {
  const lengths = vectors.map((v) => Math.sqrt(product(v, v)));
  const cosines = vectors.map((v, i) => product(v, vectors[query]) / (lengths[i] * lengths[query]));
  const ids = best(cosines, query, k);
  const [x, y] = positions[query];
  const near = best(positions.map(([a, b]) => -((a - x) ** 2 + (b - y) ** 2)), query, k);
  return { ids, cosines: ids.map((i) => cosines[i]), near, kept: ids.filter((i) => near.includes(i)).length, spellings: alike(typed, words) };
}

function render({ model, el }) {
  const { el: html, svg } = kit;
  const { words, vectors, positions, start, k: most } = model.get("data");
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const picture = html("div", { class: "xp-stage" });
  const note = html("p", { class: "xp-note" });
  stage.append(picture, note);

  let query = words.indexOf(start), k = most, message = "";
  const list = html("datalist", { id: `xp-words-${Math.random().toString(36).slice(2)}` },
    words.map((word) => html("option", { value: word })));
  const search = html("input", {
    type: "text", value: start, size: 14, list: list.id, "aria-label": "word to look up", spellcheck: "false",
    autocomplete: "off", autocapitalize: "none",
    oninput() {
      const typed = search.value.trim().toLowerCase();
      const found = words.indexOf(typed);
      message = "";
      if (found >= 0) query = found;
      else {
        message = typed && `No word "${typed}" on this map; nearest spellings: ${alike(typed, words).map((i) => words[i]).join(", ")}. `;
      }
      draw();
    },
  });
  const count = kit.slider({ label: "neighbours", min: 1, max: 15, value: k, oninput: (value) => { k = value; draw(); } });
  const back = kit.button("\u25c0 one back", () => go(query - 1));
  const forth = kit.button("one on \u25b6", () => go(query + 1));
  controls.append(html("label", { class: "xp-control" }, "word", search), list, html("span", { class: "xp-control" }, back, forth), count.node);

  function go(i) {
    query = (i + words.length) % words.length;
    search.value = words[query];
    message = "";
    draw();
  }

  function draw() {
    const { ids, cosines, near, kept } = compute({ vectors, positions, query, k, words, typed: "" });
    const W = Math.max(300, Math.min(picture.clientWidth || 680, 720));
    const H = Math.max(340, Math.round(0.66 * W)), EDGE = 14;
    const highest = Math.max(...positions.map(([, y]) => y));
    const at = (i) => [
      EDGE + (positions[i][0] / 1000) * (W - 2 * EDGE - 40), EDGE + (positions[i][1] / highest) * (H - 2 * EDGE),
    ];
    const parts = [svg("rect", { x: 1, y: 1, width: W - 2, height: H - 2, fill: "none", stroke: "var(--xp-line)" })];
    const [x, y] = at(query);
    for (const i of ids) {
      const [a, b] = at(i);
      parts.push(svg("line", { x1: x, y1: y, x2: a, y2: b, stroke: "var(--xp-cold)", "stroke-width": 1.5, opacity: 0.7 }));
    }
    words.forEach((_, i) => {
      const [a, b] = at(i);
      const shown = { onclick: () => go(i), onmouseenter: () => { if (i !== query) go(i); }, style: "cursor: pointer" };
      if (near.includes(i)) {
        parts.push(svg("rect", { x: a - 5, y: b - 5, width: 10, height: 10, fill: "none", stroke: "var(--xp-warm)", "stroke-width": 2 }));
      }
      const main = i === query || ids.includes(i);
      parts.push(svg("circle", {
        cx: a, cy: b, r: main ? 4 : 2.5, fill: i === query ? "var(--xp-good)" : ids.includes(i) ? "var(--xp-cold)" : "var(--xp-soft)", ...shown,
      }, svg("title", {}, words[i])));
    });
    /* Labels: the word and its neighbours first, then others where there is room. */
    const boxes = [];
    const order = [query, ...ids, ...near, ...words.keys()].filter((i, n, all) => all.indexOf(i) === n);
    const dots = words.map((_, i) => at(i));
    for (const i of order) {
      const [a, b] = at(i);
      const main = i === query || ids.includes(i);
      const size = main ? 13 : 11, wide = words[i].length * size * 0.56 + 6;
      /* To the right of its dot or to the left, clear of other labels and with no dot behind it. */
      const place = [a + 5, a - 5 - wide].find((left) => {
        const clear = !boxes.some(([l, t, r, u]) => left < r && l < left + wide && b - size / 2 < u && t < b + size / 2 + 2);
        const behind = dots.some(([x, y], k) => k !== i && x > left - 4 && x < left + wide + 4 && Math.abs(y - b) < size / 2 + 4);
        return left > 0 && left + wide < W && clear && !behind;
      });
      if (place === undefined && i !== query) continue;
      const left = place ?? Math.min(a + 5, W - wide);
      boxes.push([left, b - size / 2, left + wide, b + size / 2 + 2]);
      parts.push(svg("text", {
        x: left + 1, y: b + size / 2 - 2, "aria-hidden": "true",
        style: `font-size: ${size}px; pointer-events: none; ${i === query ? "font-weight: 700" : main ? "font-weight: 600" : "fill: var(--xp-soft)"}`,
      }, words[i]));
    }
    kit.swap(picture, svg("svg", {
      viewBox: `0 0 ${W} ${H}`, width: W, height: H, role: "img", "aria-label": `Map of ${words.length} words; ${words[query]} is chosen`,
    }, parts));
    note.textContent = "Green: the word. Blue, with lines: its nearest by cosine among the words of this map. Orange squares: what is nearest on the map. "
      + "Point at a word, type one, or use the arrows.";
    const named = ids.map((i, n) => `${words[i]} ${kit.number(cosines[n])}`).join(", ");
    say.textContent = `${message}${words[query]}: ${named}. Of these ${k}, the map has ${kept} among its ${k} nearest.`;
  }
  draw();
  let wide = picture.clientWidth;
  const observer = new ResizeObserver(() => {
    if (picture.clientWidth !== wide) { wide = picture.clientWidth; draw(); }
  });
  observer.observe(el);
  return () => observer.disconnect();
}

export default { render };
