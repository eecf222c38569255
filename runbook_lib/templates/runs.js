"use strict";
const $ = (id) => document.getElementById(id);
const read = (id) => JSON.parse($(id).textContent);
const environments = read("environments");
const icons = read("icons");
const runs = read("data");
const size = Number($("data").dataset.onAPage);
let fitting = runs;
let page = 0;
const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const row = ([environment, run, release, started, outcome, counts]) => {
  const folder = `./${encodeURIComponent(environments[environment])}/${encodeURIComponent(run)}/`;
  const links = document.createElement("td");
  links.append(
    element("a", run, { href: outcome === "open" ? folder : `${folder}review.html` }), " (",
    element("a", "folder", { href: folder, "aria-label": `folder of ${run}` }), ")");
  const verdict = document.createElement("td");
  verdict.append(element("span", `${icons[outcome] || "■"} ${outcome}`, { class: `status ${outcome}` }));
  const made = document.createElement("tr");
  made.append(
    element("td", environments[environment]), links, element("td", release), element("td", started), verdict,
    element("td", counts));
  return made;
};
const show = () => {
  const pages = Math.max(1, Math.ceil(fitting.length / size));
  page = Math.min(Math.max(page, 0), pages - 1);
  $("runs").replaceChildren(...fitting.slice(page * size, (page + 1) * size).map(row));
  $("page").textContent = `Page ${page + 1} of ${pages}`;
  $("newer").disabled = page === 0;
  $("older").disabled = page === pages - 1;
  $("shown").textContent = `${fitting.length} of ${runs.length} runs`;
};
const filter = () => {
  const wanted = $("words").value.trim().toLowerCase();
  const environment = $("environment").value;
  const outcome = $("outcome").value;
  fitting = runs.filter((run) =>
    (environment === "" || run[0] === Number(environment)) && (!outcome || run[4] === outcome) &&
    (!wanted || `${run[1]} ${run[2]}`.toLowerCase().includes(wanted)));
  page = 0;
  show();
};
for (const id of ["environment", "outcome", "words"]) $(id).addEventListener("input", filter);
$("newer").addEventListener("click", () => { page -= 1; show(); });
$("older").addEventListener("click", () => { page += 1; show(); });
$("filter").hidden = false;
$("pages").hidden = false;
filter();
