"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// "67 (39–86)", "1,234", "−5", "< 0.001", "30*" by their first number; what has none comes last
const numberIn = (text) => {
  if (text.startsWith("∞")) return Infinity;
  const found = text.replaceAll(",", "").replaceAll("−", "-").match(/[-+]?\d+(\.\d+)?/);
  return found ? Number(found[0]) : NaN;
};

function sort(head) {
  const table = head.closest("table"), column = head.cellIndex, numeric = head.classList.contains("number");
  const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
  const text = (row) => row.cells[column].textContent;
  const compare = (a, b) => {
    if (!numeric) return (down ? -1 : 1) * text(a).localeCompare(text(b));
    const [x, y] = [numberIn(text(a)), numberIn(text(b))];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return x === y ? 0 : (x < y) === down ? 1 : -1;
  };
  all("th", table).forEach((one) => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/);
  for (const row of all(".sortable tbody tr")) {
    const said = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
    row.hidden = !words.every((word) => said.includes(word));
  }
}

function pick(section) {
  const value = (selector) => section.querySelector(selector)?.value ?? "";
  const language = value(".pick-language"), verdict = value(".pick-verdict"), text = value(".search").toLowerCase();
  const everything = section.querySelector(".all-sides")?.checked ?? true;
  const sides = all(".pick-side", section).map((one) => one.value);
  let shown = 0;
  for (const one of all(".case", section)) {
    let panels = 0;
    for (const panel of all(".panel", one)) {
      panel.hidden = !(everything || sides.includes(panel.dataset.label)) || (verdict && !panel.classList.contains(verdict));
      panels += !panel.hidden;
    }
    const here = !language || one.dataset.language === language;
    one.hidden = !here || !panels || !one.textContent.toLowerCase().includes(text);
    shown += !one.hidden;
    // left and right, as they were picked
    if (sides.length) {
      const place = (panel) => (everything ? 0 : sides.indexOf(panel.dataset.label));
      all(".panel", one).forEach((panel) => panel.style.setProperty("order", place(panel)));
    }
  }
  section.querySelector(".count").textContent = `${shown} shown`;
}

all(".sortable th").forEach((head) => head.addEventListener("click", () => sort(head)));
document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
for (const section of all(".cases")) {
  section.addEventListener("input", () => pick(section));
  pick(section);
}
