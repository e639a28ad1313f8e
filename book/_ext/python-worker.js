/* Python in a worker: Pyodide from the address that the page names, the course's package from the page's own host.
   It gets ["start", address, archive] and ["run", code]; it sends ["status", text], ["out", text],
   ["done", figures, seconds] and ["failed", reason]. */
const HARNESS = `
import io, os, sys, time, traceback
from pyodide.code import eval_code

os.environ["MPLBACKEND"] = "agg"
NAME = "<your code>"

def told(error):
    """The traceback from the reader's own line on."""
    frame = error.__traceback__
    while frame and frame.tb_frame.f_code.co_filename != NAME:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))

def drawn():
    """What was drawn, as SVG."""
    if "matplotlib.pyplot" not in sys.modules:
        return []
    import matplotlib.pyplot as plt
    figures = []
    for number in plt.get_fignums():
        buffer = io.StringIO()
        plt.figure(number).savefig(buffer, format="svg")
        figures.append(buffer.getvalue())
    plt.close("all")
    return figures

def run(code, style):
    started = time.perf_counter()
    try:
        if style:
            import matplotlib
            from rnncourse.plot import STYLE
            matplotlib.rcParams.update(STYLE)
        value = eval_code(code, {"__name__": "__main__"}, filename=NAME)
        if value is not None:
            print(repr(value))
        figures = drawn()
    except BaseException as error:
        figures = []
        print(told(error), end="")
    sys.stdout.flush()
    return figures, time.perf_counter() - started
run
`;
let started = null, from = "";

async function load(pyodide, names, title) {
  let missing = false;
  postMessage(["status", `Fetching ${title} …`]);
  await pyodide.loadPackage(names, { messageCallback() {}, errorCallback() { missing = true; } });
  if (missing) throw new Error(`${title} could not be fetched from ${from}`);
}

async function start(address, archive) {
  from = new URL(address).host;
  postMessage(["status", "Fetching Python …"]);
  const { loadPyodide } = await import(`${address}pyodide.mjs`)
    .catch(() => { throw new Error(`it could not be fetched from ${from}`); });
  const pyodide = await loadPyodide({ indexURL: address });
  await load(pyodide, ["numpy", "tqdm"], "NumPy");
  const response = await fetch(archive);
  if (!response.ok) throw new Error(`${archive}: ${response.status}`);
  pyodide.unpackArchive(await response.arrayBuffer(), "zip");
  const decoder = new TextDecoder();
  const write = (bytes) => {
    postMessage(["out", decoder.decode(bytes, { stream: true })]);
    return bytes.length;
  };
  pyodide.setStdout({ write });
  pyodide.setStderr({ write });
  return { pyodide, run: pyodide.runPython(HARNESS) };
}

async function run(code) {
  const { pyodide, run } = await started;
  const draws = /\bmatplotlib\b|\brnncourse\.plot\b/.test(code);
  if (draws && !("matplotlib" in pyodide.loadedPackages)) {
    try {
      await load(pyodide, ["matplotlib"], "Matplotlib");
    } catch (error) {
      postMessage(["out", `${error.message}.\n`]);
      return postMessage(["done", [], 0]);
    }
  }
  postMessage(["status", "Running …"]);
  const answer = run(code, draws);
  const [figures, seconds] = answer.toJs();
  answer.destroy();
  postMessage(["done", figures, seconds]);
}

onmessage = ({ data: [kind, ...values] }) => {
  const failed = (error) => postMessage(["failed", error.message]);
  if (kind === "run") run(...values).catch(failed);  // a failed start is told here too
  else started = start(...values);
};
