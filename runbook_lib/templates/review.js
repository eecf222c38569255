"use strict";
const bar = document.getElementById("filter");
const chosen = document.getElementById("status");
const words = document.getElementById("words");
const items = [...document.querySelectorAll("details.item")];
const filter = () => {
  const wanted = words.value.trim().toLowerCase();
  let shown = 0;
  for (const item of items) {
    const fits = (!chosen.value || item.dataset.status === chosen.value) &&
      (!wanted || item.textContent.toLowerCase().includes(wanted));
    item.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  for (const section of document.querySelectorAll("section.phase")) {
    section.hidden = (chosen.value || wanted) && !section.querySelector("details.item:not([hidden])");
  }
  document.getElementById("shown").textContent = `${shown} of ${items.length} items`;
};
const openLinked = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || !target.matches("details.item")) return;
  if (target.hidden) { chosen.value = ""; words.value = ""; filter(); }
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
};
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => { for (const each of folded) each.open = false; });
if (bar) {
  bar.hidden = false;
  chosen.addEventListener("input", filter);
  words.addEventListener("input", filter);
  addEventListener("hashchange", openLinked);
  filter();
  openLinked();
}
