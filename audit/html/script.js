// SPDX-License-Identifier: Apache-2.0
// Sorting and filtering of tables. Without it, the page has all the same.
"use strict";

const key = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.sort ?? cell.textContent.trim();
};

const sort = (table, column, header) => {
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  const number = header.classList.contains("number");
  const compare = (a, b) => number ? Number(key(a, column)) - Number(key(b, column)) : key(a, column).localeCompare(key(b, column), "en", { numeric: true });
  const rows = [...table.tBodies[0].rows].sort((a, b) => ascending ? compare(a, b) : compare(b, a));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  table.tBodies[0].append(...rows);
};

const addFilter = (table, number) => {
  const rows = [...table.tBodies[0].rows];
  const box = document.createElement("div");
  box.className = "filter";
  const input = Object.assign(document.createElement("input"), { type: "search", id: `filter-${number}`, autocomplete: "off" });
  const label = Object.assign(document.createElement("label"), { htmlFor: input.id, textContent: "Filter " });
  label.append(Object.assign(document.createElement("span"), { className: "hidden", textContent: table.caption.textContent }));
  const status = document.createElement("output");
  status.htmlFor = input.id;
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    status.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
  });
  box.append(label, input, status);
  table.before(box);
};

document.querySelectorAll("table").forEach((table, number) => {
  const rows = table.tBodies[0].rows.length;
  if (rows > 1) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, column, header));
      header.append(button);
    });
  }
  if (rows > 8) addFilter(table, number);
});

// What is folded up is printed too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
