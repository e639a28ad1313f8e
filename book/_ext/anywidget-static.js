/* Runs the anywidgets of a published page from their stored state: no kernel, no require.js, no html-manager. */
(() => {
  "use strict";
  const stored = (kind) => [...document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`)]
    .map((script) => [script, JSON.parse(script.textContent)]);

  class Model {
    constructor({ state, buffers = [] }) {
      for (const { path, data } of buffers) {
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        path.slice(0, -1).reduce((o, key) => o[key], state)[path.at(-1)] = new DataView(bytes.buffer);
      }
      this.state = state;
      this.listeners = new Map();
    }
    get(key) { return this.state[key]; }
    set(key, value) {
      if (typeof key === "object") { for (const k in key) this.set(k, key[k]); return; }
      if (this.state[key] === value) return;
      this.state[key] = value;
      this.emit(`change:${key}`, this, value);
      this.emit("change", this);
    }
    save_changes() { }  // no kernel: nothing to save to, nobody to send to
    send() { }
    on(name, f) { this.listeners.set(name, (this.listeners.get(name) || new Set()).add(f)); }
    off(name, f) {
      if (name === undefined) this.listeners.clear();
      else if (f) this.listeners.get(name)?.delete(f);
      else this.listeners.delete(name);
    }
    emit(name, ...values) { for (const f of [...(this.listeners.get(name) || [])]) f(...values); }
  }

  const styles = new Set();
  async function start(entry) {
    const { _esm, _css } = entry.state;
    if (_css && !styles.has(_css)) {
      const style = document.createElement("style");
      style.textContent = _css;
      document.head.append(style);
      styles.add(_css);
    }
    // A module from a blob also loads on a page opened as a file.
    const url = URL.createObjectURL(new Blob([_esm], { type: "text/javascript" }));
    const exported = (await import(url)).default;
    URL.revokeObjectURL(url);
    const widget = typeof exported === "function" ? await exported() : exported;
    const model = new Model(entry);
    await widget.initialize?.({ model, experimental: {} });
    return { widget, model };
  }

  async function main() {
    const entries = Object.assign({}, ...stored("state").map(([, json]) => json.state)), live = {};
    for (const [script, { model_id: id }] of stored("view")) {
      const el = document.createElement("div");
      el.className = "anywidget-static";
      script.before(el);
      if (entries[id]?.model_name !== "AnyModel") {
        el.classList.add("needs-kernel");
        el.textContent = "(This control needs a running Python kernel: open the notebook to use it.)";
        continue;
      }
      try {
        const { widget, model } = await (live[id] ??= start(entries[id]));
        await widget.render({ model, el, experimental: {} });
        el.dataset.ready = "";
        el.dispatchEvent(new Event("explorable", { bubbles: true }));
      } catch (error) {
        console.error(error);
        el.textContent = `This figure failed to start: ${error}`;
      }
    }
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", main);
  else main();
})();
