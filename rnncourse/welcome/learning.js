export function compute({ curve: { step, accuracy, T }, at }) {
  const after = step.findIndex((s) => s > at);
  const point = after === -1 ? step.length - 1 : Math.max(0, after - 1);
  let value = accuracy[point];
  if (after > 0) value += (accuracy[after] - value) * (at - step[point]) / (step[after] - step[point]);
  return { accuracy: value, T: Array.isArray(T) ? T[point] : null };
}

/* One small chart: accuracy against training step, with the line of chance. */
const WIDTH = 170, HEIGHT = 116, LEFT = 34, TOP = 6, RIGHT = 12, BOTTOM = 20, LOWEST = 0.4;
function chart(steps, label) {
  const { svg } = kit;
  const x = (step) => LEFT + (WIDTH - LEFT - RIGHT) * step / steps;
  const y = (accuracy) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - Math.max(0, accuracy - LOWEST) / (1 - LOWEST));
  const text = (px, py, anchor, content) => svg("text",
    { x: px, y: py, "text-anchor": anchor, style: "font-size: 11px" }, content);
  const line = (accuracy, attributes) => svg("line", {
    x1: LEFT, x2: WIDTH - RIGHT, y1: y(accuracy), y2: y(accuracy), stroke: "var(--xp-soft)", ...attributes });
  const node = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, style: "width: 100%" },
    line(LOWEST), line(1, { stroke: "var(--xp-line)" }), line(0.5, { "stroke-dasharray": "4 3" }),
    text(LEFT - 5, y(1) + 4, "end", "100%"), text(LEFT - 5, y(0.5) + 4, "end", "50%"),
    text(LEFT, HEIGHT - 6, "middle", "0"), text(WIDTH - RIGHT, HEIGHT - 6, "end", `step ${steps.toLocaleString("en")}`));
  return { node, x, y, text };
}

const COLOURS = ["var(--xp-cold)", "var(--xp-warm)", "var(--xp-good)", "var(--xp-ink)", "var(--xp-soft)"];
const LEARNT = 0.9, COIN = 0.6, PLAY_MS = 5000;
const percent = (share) => `${kit.number(100 * share, share > 0.995 && share < 1 ? 2 : 0)}%`;

function render({ model, el: root }) {
  const { el, svg, button } = kit;
  const { settings, weights, step, ...recorded } = model.get("data");
  const [direct, faster, curriculum] = ["direct", "faster", "curriculum"]
    .map((name) => recorded[name].map((run) => ({ ...run, step })));
  const { controls, stage, say } = kit.frame(root, model.get("title"));
  const grid = (panels) => el("div", {
    style: "display: grid; grid-template-columns: repeat(auto-fill, minmax(118px, 1fr));"
      + "gap: 6px 10px; margin: 6px 0 12px" }, panels);
  const panel = (heading, node) => el("figure", { style: "margin: 0" },
    el("figcaption", { style: "font-size: 12.5px; font-variant-numeric: tabular-nums" }, heading), node);
  const last = (run) => run.step.at(-1);

  const words = (list) => (list.length > 1 ? `${list.slice(0, -1).join(", ")} and ${list.at(-1)}` : `${list[0]}`);

  /* Trained on strings of one length: at each learning rate a panel for each length, a line for each seed. */
  const rates = [[settings.lr, direct], [settings.faster_lr, faster]].map(([rate, all]) => {
    const found = [...new Set(all.map((run) => run.T))].sort((a, b) => a - b).map((T) => {
      const runs = all.filter((run) => run.T === T);
      return { T, runs, learnt: runs.filter((run) => run.accuracy.at(-1) > LEARNT).length };
    });
    const panels = found.map(({ T, runs, learnt }) => {
      const { node, x, y } = chart(settings.steps,
        `Strings of ${T} bits at learning rate ${rate}: accuracy against training step; ${learnt} of ${runs.length} learn`);
      runs.forEach((run, i) => node.append(svg("polyline", {
        points: run.step.map((s, k) => `${x(s)},${y(run.accuracy[k])}`).join(" "),
        fill: "none", stroke: COLOURS[i % COLOURS.length], "stroke-width": 1.3, opacity: 0.8 })));
      return panel([el("b", {}, `T = ${T}`), `: ${learnt} of ${runs.length} learn${learnt === 1 ? "s" : ""}`], node);
    });
    const counts = [...new Set(found.map(({ learnt }) => learnt))].map((learnt) =>
      `${learnt || "none"} of ${settings.seeds} learn${learnt === 1 ? "s" : ""} T = ${
        words(found.filter((one) => one.learnt === learnt).map(({ T }) => T))}`);
    return { rate, panels, says: `At rate ${rate} ${counts.join(", ")}.` };
  });

  /* The curriculum: a panel for each seed, drawn up to the step that is shown. */
  const total = settings.steps;
  const players = curriculum.map((run) => {
    const { node, x, y, text } = chart(total, `Seed ${run.seed} of the curriculum: accuracy against training step`);
    const curve = svg("polyline", { fill: "none", stroke: "var(--xp-cold)", "stroke-width": 1.8 });
    // T is written where it has grown by about half since it was written last, away from the right edge.
    const marks = [];
    run.T.forEach((T, k) => {
      const before = marks.at(-1);
      if (before && (T < 1.5 * before.T || x(run.step[k]) - before.x < 19)) return;
      if (x(run.step[k]) > WIDTH - RIGHT - 12) return;
      const below = run.accuracy[k] > 0.75;
      const [right, down, anchor] = below ? [2, 14, "start"] : [0, -6, "middle"];
      const mark = text(x(run.step[k]) + right, y(run.accuracy[k]) + down, anchor, String(T));
      const dot = svg("circle", { cx: x(run.step[k]), cy: y(run.accuracy[k]), r: 2.5, fill: "var(--xp-cold)" });
      marks.push({ T, x: x(run.step[k]), step: run.step[k], nodes: [mark, dot] });
    });
    node.append(curve, ...marks.flatMap((mark) => mark.nodes));
    const heading = el("span", { style: "display: flex; justify-content: space-between" });
    function show(at) {
      const now = compute({ curve: run, at });
      const points = run.step.map((s, k) => [s, run.accuracy[k]]).filter(([s]) => s < at);
      if (at >= run.step[0]) points.push([Math.min(at, last(run)), now.accuracy]);
      curve.setAttribute("points", points.map(([s, a]) => `${x(s)},${y(a)}`).join(" "));
      for (const mark of marks) for (const part of mark.nodes) part.style.visibility = mark.step <= at ? "visible" : "hidden";
      heading.replaceChildren(el("span", {}, `seed ${run.seed} `, el("b", {}, `T = ${now.T}`)),
        `${kit.number(100 * now.accuracy, 0)}%`);
    }
    return { show, panel: panel(heading, node) };
  });

  /* What came of it: by the length reached. */
  const fresh = `fresh strings of ${settings.long_T.toLocaleString("en")} bits`;
  const goal = settings.curriculum_last_T;
  const short = curriculum.filter((run) => run.reached < goal);
  const outcomes = [
    [`reached ${goal} bits`, curriculum.filter((run) => run.reached >= goal)],
    ["were still climbing when the budget ended", short.filter((run) => run.accuracy.at(-1) > LEARNT)],
    ["did neither", short.filter((run) => run.accuracy.at(-1) <= LEARNT && run.accuracy.at(-1) >= COIN)],
    ["had collapsed, to chance at the end", short.filter((run) => run.accuracy.at(-1) < COIN)],
  ].filter(([, runs]) => runs.length);
  function table() {
    const cell = (tag, text) => el(tag, { style: "text-align: left; font-weight: inherit; padding: 3px 18px 3px 0;"
      + "border-bottom: 1px solid var(--xp-line); vertical-align: top", scope: tag === "th" && "col" }, text);
    const row = (tag, ...texts) => el("tr", { style: tag === "th" && "color: var(--xp-soft)" }, texts.map((t) => cell(tag, t)));
    return el("table", { style: "font-variant-numeric: tabular-nums; margin: 0" },
      el("thead", {}, row("th", `after ${settings.steps.toLocaleString("en")} steps`, "seeds", "length reached",
        `answers right on ${fresh}`)),
      el("tbody", {}, outcomes.map(([outcome, all]) => {
        const runs = [...all].sort((a, b) => b.reached - a.reached);
        const list = (texts) => (texts.length > 1 && new Set(texts).size === 1 ? `${texts[0]} each` : texts.join(", "));
        return row("td", outcome, String(runs.length), list(runs.map((run) => String(run.reached))),
          list(runs.map((run) => percent(run.long_accuracy))));
      })));
  }
  const ended = `With the curriculum and the same budget of ${settings.steps.toLocaleString("en")} steps, of ${
    curriculum.length} seeds ${words(outcomes.map(([outcome, runs]) => `${runs.length} ${outcome}`))}.`;

  let cancel = () => {};
  const halt = (label) => { cancel(); cancel = () => {}; start.textContent = label; };
  const result = el("div");
  const slider = kit.slider({
    label: "training step", min: 0, max: total, step: total / 300, value: 0, format: (v) => Math.round(v).toLocaleString("en"),
    oninput(at) { halt("play"); show(at); },
  });
  const course = el("div", { hidden: true },
    el("div", { class: "xp-row" }, slider.node,
      el("span", { class: "xp-label" }, "numbers along a curve: the length T it is learning at that moment")),
    grid(players.map((player) => player.panel)), result);
  function show(at) {
    course.hidden = false;
    slider.set(at);
    for (const player of players) player.show(at);
    if (at < total) { result.replaceChildren(); return; }
    result.replaceChildren(table());
    say.textContent = ended;
  }
  function play() {
    const from = slider.get() < total ? slider.get() : 0;
    if (kit.still()) { show(total); return; }
    halt("pause");
    say.textContent = `The curriculum starts with one bit; each time a net is right on more than 95%, its strings grow by one.`;
    const begin = performance.now();
    let id;
    const frame = (now) => {
      const at = Math.min(total, from + total * Math.max(0, now - begin) / PLAY_MS);
      show(at);
      if (at < total) id = requestAnimationFrame(frame);
      else halt("play again");
    };
    id = requestAnimationFrame(frame);
    cancel = () => cancelAnimationFrame(id);
  }
  const start = button("start the curriculum", () => (start.textContent === "pause" ? halt("play on") : play()));

  controls.append(el("span", { class: "xp-label" },
    `Trained here are not the ten numbers above but tanh networks with ${settings.H} units, ${weights} numbers, from random starts, `
    + `on the answer after the last bit of strings of T bits, for ${settings.steps.toLocaleString("en")} steps. `
    + "Each line is the accuracy of one seed, the dashed line a coin's."));
  stage.append(...rates.flatMap(({ rate, panels }) =>
    [el("div", { style: "margin-top: 8px" }, el("strong", {}, `Learning rate ${rate}`)), grid(panels)]),
    el("div", { style: "margin: 8px 0 4px" }, el("strong", {}, "A curriculum"),
      ` at learning rate ${settings.lr}: begin with one bit, add one each time it is right on more than 95%.`),
    start, course);
  say.textContent = rates.map(({ says }) => says).join(" ");
  return () => cancel();
}

export default { render };
