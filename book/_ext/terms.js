// The definition of a term beside its first use: at hover, at keyboard focus, and by tap; a second tap follows the link.
for (const link of document.querySelectorAll("a.term")) {
  const tip = document.getElementById(link.hash.replace("#term-", "definition-"));
  document.body.append(tip);
  link.setAttribute("aria-describedby", tip.id);
  let timer, tapped;
  const hide = () => { tip.hidden = true; };
  const show = () => {
    clearTimeout(timer);
    tip.hidden = false;
    const word = link.getClientRects()[0], box = tip.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const below = word.bottom + 6 + box.height < innerHeight || word.top < box.height + 6;
    tip.style.left = `${scrollX + Math.max(8, Math.min(word.left, width - box.width - 8))}px`;
    tip.style.top = `${scrollY + (below ? word.bottom + 6 : word.top - box.height - 6)}px`;
  };
  // The pointer may cross the gap to the definition.
  for (const part of [link, tip]) {
    part.addEventListener("mouseenter", show);
    part.addEventListener("mouseleave", () => { timer = setTimeout(hide, 200); });
  }
  link.addEventListener("focus", show);
  link.addEventListener("blur", hide);
  link.addEventListener("pointerdown", (event) => { tapped = event.pointerType === "touch" && tip.hidden; });
  link.addEventListener("click", (event) => { if (tapped) { event.preventDefault(); show(); } });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("pointerdown", (event) => { if (event.target !== link && !tip.contains(event.target)) hide(); });
}
