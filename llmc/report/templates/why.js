"use strict";
// Without this the links still go to the place. With it both places are lit together and each text scrolls by itself.
(() => {
  const all = (group) => document.querySelectorAll(`[data-group="${CSS.escape(group)}"]`);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const groupsAt = (node) => {
    const found = [];
    for (let at = node; at && at.closest; at = at.parentElement) if (at.dataset && at.dataset.group) found.push(at.dataset.group);
    return found;
  };
  const light = (node, on) => groupsAt(node).forEach((group) => all(group).forEach((one) => one.classList.toggle("lit", on)));
  for (const [enter, leave] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
    document.addEventListener(enter, (event) => light(event.target, true));
    document.addEventListener(leave, (event) => light(event.target, false));
  }
  const clear = () => document.querySelectorAll(".chosen").forEach((one) => one.classList.remove("chosen"));
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    const there = link && document.getElementById(link.getAttribute("href").slice(1));
    if (!there || !there.closest(".box")) return;
    event.preventDefault();
    clear();
    const group = there.dataset.group || link.dataset.group;
    if (group) all(group).forEach((one) => one.classList.add("chosen"));
    history.replaceState(null, "", link.getAttribute("href"));
    there.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
    if (!there.matches("a")) there.tabIndex = -1;
    there.focus({ preventScroll: true });
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
})();
