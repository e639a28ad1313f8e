/* A window over a sentence. Word i is seen if it is among the last n before the verb. */
export function compute(input) {
  const { words, noun, plural, n } = input;
  const clause = words.length - 1 - noun;
  const accuracy = n > clause ? 1 : 0.5;
  const best = plural ? accuracy : 1 - accuracy;
  const said = { best, window: input.window, recurrent: input.recurrent };
  const right = Object.fromEntries(Object.entries(said).map(([name, p]) => [name, plural ? p : 1 - p]));
  return {
    seen: words.map((_, i) => (i >= words.length - n ? 1 : 0)),
    best,
    right,
    nats: Object.fromEntries(Object.entries(right).map(([name, p]) => [name, -Math.log(p)])),
  };
}

function render({ model, el }) {
  const { el: html } = kit;
  const data = model.get("data");
  const state = { ...data.start };
  const most = data.windows.length;
  const { controls, stage, say } = kit.frame(el, model.get("title"));
  const sentence = html("div", { class: "xp-row", style: "gap: 6px 5px; touch-action: pan-y" });
  const bars = html("div");
  stage.append(sentence, bars);
  const words = (count) => `${count} word${count === 1 ? "" : "s"}`;

  function set(changes) {
    Object.assign(state, changes);
    state.n = Math.min(Math.max(state.n, 1), most);
    clause.set(state.clause);
    n.set(state.n);
    draw();
  }
  const clause = kit.slider({
    label: "clause", min: 0, max: data.sentences.length - 1, value: state.clause, format: words,
    oninput: (value) => set({ clause: value }),
  });
  const n = kit.slider({
    label: "window", min: 1, max: most, value: state.n, format: words, oninput: (value) => set({ n: value }),
  });
  const noun = kit.choice({
    label: "subject", options: [["0", "the cat"], ["1", "the cats"]], value: String(state.plural),
    oninput: (value) => set({ plural: +value }),
  });
  controls.append(clause.node, n.node, noun.node);

  /* Dragging over the words moves the left end of the window to the word under the pointer. */
  function drag(event) {
    if (!(event.buttons & 1)) return;
    const word = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-place]");
    if (!word || !sentence.contains(word)) return;
    const wanted = data.sentences[state.clause][state.plural].length - +word.dataset.place;
    if (wanted !== state.n) set({ n: wanted });
  }
  sentence.addEventListener("pointerdown", (event) => {
    event.target.closest("[data-place]")?.releasePointerCapture?.(event.pointerId);
    drag(event);
  });
  sentence.addEventListener("pointermove", drag);

  function input() {
    return {
      words: data.sentences[state.clause][state.plural], noun: 1, plural: state.plural, n: state.n,
      window: data.windows[state.n - 1][state.clause][state.plural],
      recurrent: data.recurrent[state.clause][state.plural],
    };
  }

  function chip(word, i, seen, isNoun) {
    const look = seen
      ? `background: ${kit.signed(-0.55)}; border: 1px solid var(--xp-cold)`
      : "border: 1px dashed var(--xp-line); color: var(--xp-soft)";
    return html("span", {
      "data-place": i, title: "start the window here",
      style: `${look}; padding: 3px 8px; border-radius: 5px; cursor: ew-resize; user-select: none;` +
        `${isNoun ? "font-weight: 700; text-decoration: underline; text-underline-offset: 4px" : ""}`,
    }, word);
  }

  /* One bar: the probability of "is" on the left, of "are" on the right; the right verb is bold. */
  function bar(label, plural, note) {
    const part = (p, side) => html("span", {
      style: `width: ${100 * p}%; background: ${kit.signed(side)}; box-sizing: border-box; overflow: hidden;` +
        "height: 100%; display: block",
    });
    const says = (verb, p, mine, where) => html("span", {
      style: `position: absolute; ${where}: 8px; top: 3px; font-variant-numeric: tabular-nums;` +
        `${mine ? "font-weight: 700" : ""}`,
    }, `${verb} ${kit.number(p, 2)}`);
    return html("div", { style: "margin: 8px 0" },
      html("div", { style: "display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px" },
        html("span", {}, label), html("span", { class: "xp-label" }, note)),
      html("div", {
        role: "img", "aria-label": `${label}: is ${kit.number(1 - plural, 2)}, are ${kit.number(plural, 2)}`,
        style: "position: relative; display: flex; height: 28px; border: 1px solid var(--xp-line); border-radius: 4px; overflow: hidden",
      },
        part(1 - plural, -0.7), part(plural, 0.7),
        html("span", { style: "position: absolute; left: 50%; top: 0; bottom: 0; border-left: 2px dotted var(--xp-soft)" }),
        says("is", 1 - plural, !state.plural, "left"), says("are", plural, state.plural, "right")));
  }

  function draw() {
    const given = input();
    const result = compute(given);
    const chips = given.words.map((word, i) => chip(word, i, result.seen[i], i === given.noun));
    sentence.replaceChildren(...chips, html("strong", { style: "padding: 3px 6px" }, "is or are?"));
    sentence.setAttribute("role", "img");
    sentence.setAttribute("aria-label",
      `The sentence: ${given.words.join(" ")}, then is or are. The window shows: ${given.words.filter((_, i) => result.seen[i]).join(" ")}.`);
    const loss = (name) => `loss ${kit.number(result.nats[name], 3)} nats`;
    bars.replaceChildren(
      bar(`The best that a window of ${words(state.n)} can say`, result.best, loss("best")),
      bar(`A trained network with a window of ${words(state.n)}`, given.window, loss("window")),
      bar("A trained recurrent network, which has no window", given.recurrent, loss("recurrent")));
    const missing = state.clause + 1 - state.n;
    say.textContent = missing > 0
      ? `The subject is outside the window: ${words(missing)} more would show it. All that is seen goes as well with ` +
        "the cat as with the cats, so the best is the prior, one half each: change the subject, and no bar of a window moves."
      : "The subject is in the window, so the number of the verb is known to the best model.";
  }

  draw();
}

export default { render };
