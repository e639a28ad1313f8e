/* A sentence's ids, and the gradient of the embedding matrix: place t = 1, 2, ... sends (1, t) to the row of its word. */
export function compute({ text, words, lossy }) {
  const tokens = text.toLowerCase().match(/[\p{L}\p{N}_]+(?:['’][\p{L}\p{N}_]+)*/gu) || [];
  const known = new Map(words.map((word, id) => [word, id]));
  const ids = tokens.map((word) => known.get(word) ?? known.get("<unk>"));
  const dE = words.map(() => [0, 0]);
  const counts = words.map(() => 0);
  ids.forEach((id, place) => {
    // dE[ids] += g reads each row before it writes any: the last place of a word stays.
    dE[id] = lossy ? [1, place + 1] : [dE[id][0] + 1, dE[id][1] + place + 1];
    counts[id] += 1;
  });
  return { tokens, ids, dE, counts, kept: ids.map((id, place) => +(!lossy || ids.lastIndexOf(id) === place)) };
}

function render({ model, el }) {
  const { el: html } = kit;
  const data = model.get("data");
  const input = { ...data.start };
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const [above, below] = [html("div"), html("div")];
  stage.append(above, below);

  const code = kit.choice({
    label: "code", value: "lossy", options: [["lossy", "dE[ids] += g"], ["right", "np.add.at(dE, ids, g)"]],
    oninput(value) { input.lossy = value === "lossy"; draw(); },
  });
  const field = html("input", {
    type: "text", value: input.text, maxlength: data.most, size: 42, spellcheck: "false", autocomplete: "off",
    style: "min-width: 0; max-width: 100%; box-sizing: border-box", "aria-label": "sentence",
    oninput() { input.text = field.value; draw(); },
  });
  let example = 0;
  const next = kit.button("another sentence", () => {
    example = (example + 1) % data.examples.length;
    input.text = field.value = data.examples[example];
    draw();
  });
  controls.append(code.node, html("label", { class: "xp-control", style: "flex: 1 1 16em; min-width: 0" }, "sentence", field), next);

  const lost = "border: 1px dashed var(--xp-soft); color: var(--xp-soft); text-decoration: line-through";
  const there = "border: 1px solid var(--xp-good)";
  const box = "display: inline-block; padding: 2px 7px; border-radius: 4px; margin: 0 6px 6px 0; font-size: 14px;";

  function places({ tokens, ids, kept }) {
    const chips = tokens.map((word, place) => html("span", {
      role: "listitem", style: `${box} ${kept[place] ? there : lost}`,
      "aria-label": `${word}, id ${ids[place]}, sends 1, ${place + 1}${kept[place] ? "" : ", lost"}`,
    }, html("b", { style: "font-weight: 600" }, word), ` ${ids[place]} → (1, ${place + 1})`));
    const label = "Each word, its id, and the gradient that its place sends";
    return html("div", { role: "list", "aria-label": label, style: "margin: 2px 0 8px" }, chips);
  }

  function matrix({ dE, counts }) {
    const limits = [0, 1].map((column) => Math.max(2, ...dE.map((row) => row[column])));
    const cells = dE.map((row, id) => {
      const short = counts[id] - row[0];
      const number = (column) => html("span", {
        style: "text-align: right; padding: 1px 7px; border-radius: 3px; font-variant-numeric: tabular-nums; " +
          `background: ${counts[id] ? kit.signed(row[column], limits[column]) : "none"}`,
      }, String(row[column]));
      const dim = counts[id] ? "" : "color: var(--xp-soft);";
      return html("div", {
        role: "listitem", class: "emb-row",
        style: "display: grid; grid-template-columns: 2.1em 5em 2.6em 3.4em 1fr; gap: 4px; align-items: center; " +
          "break-inside: avoid; margin-bottom: 2px; " +
          `font-size: 14px; padding: 1px 4px; border-radius: 4px; ${dim} ` +
          `border: 1px solid ${counts[id] ? "var(--xp-line)" : "transparent"}`,
        "aria-label": `row ${id}, ${input.words[id]}: ${row.join(", ")}` +
          `${short ? `; ${short} of ${counts[id]} places lost` : ""}`,
      }, html("span", { style: "color: var(--xp-soft)" }, String(id)), html("span", {}, input.words[id]),
      number(0), number(1),
      html("span", { class: short ? "xp-bad" : "", style: "font-size: 13px; white-space: nowrap" },
        short ? `${short} of ${counts[id]} lost` : ""));
    });
    return html("div", {
      role: "list", "aria-label": "The gradient dE, a row a word",
      style: "columns: 17em 2; column-gap: 12px",
    }, cells);
  }

  function draw() {
    const result = compute(input);
    above.replaceChildren(html("p", { class: "xp-label", style: "margin: 4px 0" }, "word, id → the gradient g of its place:"),
      places(result));
    below.replaceChildren(html("p", { class: "xp-label", style: "margin: 4px 0" }, "dE, a row a word:"), matrix(result));
    const lit = result.counts.filter(Boolean).length;
    const missing = result.kept.filter((kept) => !kept).length;
    const rows = `${result.tokens.length} places, ${lit} of ${input.words.length} rows of dE have a gradient`;
    say.textContent = !result.tokens.length ? "Type a sentence." : missing
      ? `${rows}. ${missing} ${missing > 1 ? "places are" : "place is"} lost: the first number of a row should be how often the word stands there.`
      : `${rows}. ${input.lossy ? "No word stands twice, so the mistake does not show." : "The first number of a row is how often the word stands there."}`;
  }

  draw();
}

export default { render };
