/* The console of the page "Python in the browser". Python runs in a worker, so that it can be stopped.
   Nothing is fetched from another host before the first run. */
const root = document.querySelector(".python");
const find = (name) => root.querySelector(`.python-${name}`);
const [example, chapter, run, stop, status, output, figures] =
  ["example", "chapter", "run", "stop", "status", "output", "figures"].map(find);
const code = document.getElementById("python-code");
const examples = JSON.parse(root.querySelector("script[type='application/json']").textContent);
const MOST = 50_000;  // letters of output that are shown
let worker = null, left = MOST;

function choose(topic) {
  example.value = topic;
  chapter.href = `${topic}.html`;
  code.value = examples[topic];
}

function busy(yes) {
  run.disabled = yes;
  stop.disabled = !yes;
}

function write(text) {
  output.append(text.slice(0, left));
  if (left > 0 && text.length > left) output.append("\n(the rest is not shown)");
  left = Math.max(0, left - text.length);
}

function draw(svg, number) {
  const image = new Image();
  image.alt = `Figure ${number} drawn by the code`;
  image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  figures.append(image);
}

function end(told) {
  worker?.terminate();
  worker = null;
  busy(false);
  status.textContent = told;
}

function start() {
  const begun = new Worker(new URL("python-worker.js", import.meta.url), { type: "module" });
  begun.onerror = (event) => {
    event.preventDefault();
    end("Python did not start: its worker could not be loaded.");
  };
  begun.onmessage = ({ data: [kind, ...values] }) => {
    if (kind === "out") write(values[0]);
    else if (kind === "status") status.textContent = values[0];
    else if (kind === "failed") end(`Python did not start: ${values[0]}`);
    else {
      values[0].forEach((svg, place) => draw(svg, place + 1));
      status.textContent = `Done in ${values[1].toFixed(values[1] < 1 ? 2 : 1)} s.`;
      busy(false);
    }
  };
  const own = (name) => new URL(name, import.meta.url).href;
  begun.postMessage(["start", root.dataset.pyodide, own("rnncourse.zip")]);
  return begun;
}

run.addEventListener("click", () => {
  output.textContent = "";
  left = MOST;
  for (const image of figures.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  figures.replaceChildren();
  busy(true);
  try {
    worker ??= start();
  } catch (error) {
    return end(`Python did not start: ${error.message}`);
  }
  status.textContent = "Running …";
  worker.postMessage(["run", code.value]);
});
stop.addEventListener("click", () => end("Stopped. The next run starts Python again."));
code.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !run.disabled) run.click();
});
example.addEventListener("change", () => {
  choose(example.value);
  history.replaceState(null, "", `#${example.value}`);
});
const wanted = location.hash.slice(1);
choose(wanted in examples ? wanted : example.value);
root.hidden = false;
document.querySelector(".python-absent").remove();
