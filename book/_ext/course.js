/* A box that scrolls sideways says so: the keyboard reaches it, and it fades at an end that hides something.
   A link into a folded part opens it. A page is printed in the light theme. */
(() => {
  "use strict";
  const BOXES = "main :is(.wide, pre, textarea, span.math, mjx-container, .pst-scrollable-table-container, .chapter-map):not(.xp *)";
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => look(target)));

  function look(box) {
    const hidden = /auto|scroll/.test(getComputedStyle(box).overflowX) ? box.scrollWidth - box.clientWidth : 0;
    if (!box.closest(".xp")) {  // an explorable draws its own fades
      box.classList.toggle("more-left", hidden > 1 && box.scrollLeft > 1);
      box.classList.toggle("more-right", hidden > 1 && box.scrollLeft < hidden - 1);
    }
    if (hidden > 1 && box.tabIndex < 0) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", "scrolls sideways");
      box.dataset.scrolls = "";
    } else if (hidden <= 1 && "scrolls" in box.dataset) {
      for (const name of ["tabindex", "role", "aria-label", "data-scrolls"]) box.removeAttribute(name);
    }
  }

  function watch(box) {
    sizes.observe(box);
    box.addEventListener("scroll", () => look(box), { passive: true });
  }

  async function main() {
    await window.MathJax?.startup?.promise;
    document.querySelectorAll(BOXES).forEach(watch);
  }
  addEventListener("load", main);

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target?.closest(".toggle-hidden");
    if (!folded) return;
    folded.querySelector(".toggle-button").click();
    target.scrollIntoView();
  }
  addEventListener("load", reveal);
  addEventListener("hashchange", reveal);

  addEventListener("explorable", ({ target }) => {
    for (const stage of target.querySelectorAll(".xp-stage")) {
      watch(stage);
      new MutationObserver(() => look(stage)).observe(stage, { childList: true, subtree: true });
    }
  });

  // Paper is white.
  const root = document.documentElement;
  let theme;
  addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; });
  addEventListener("afterprint", () => { root.dataset.theme = theme; });
})();
