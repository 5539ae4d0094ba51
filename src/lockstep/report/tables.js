// Every table of the page can be sorted by its columns and saved as CSV.  Without this script it reads as well.
"use strict";

const MISSING = /^[–—-]?$/;

// The number that a cell starts with: "1,234", "−0.5", "±0.2", "12 %", "+0.1 to +0.3", "1.9e-15"; otherwise NaN.
function number(text) {
  const plain = text.replace(/^[±<>≤≥≈×✓✗⚠?\s]+/, "").replace(/\u2212/g, "-").replace(/(\d),(?=\d{3})/g, "$1");
  const found = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?/i.exec(plain);
  return found && !/^n = /.test(text) ? Number(found[0]) : NaN;
}

function read(cell) {
  const copy = cell.cloneNode(true);
  for (const line of copy.querySelectorAll("br")) line.replaceWith("; ");
  return copy.textContent.replace(/\s+/g, " ").trim();
}

const rowsOf = (body) => [...body.rows].filter((row) => !row.querySelector("th.group"));

// Where more than half of what is there are numbers they are compared as numbers.  What is missing, and what is no
// number among numbers, stays last in either direction.
function comparer(texts, sign) {
  const there = texts.filter((text) => !MISSING.test(text));
  const numeric = there.filter((text) => !isNaN(number(text))).length * 2 > there.length;
  const key = (text) => (MISSING.test(text) ? null : !numeric ? text : isNaN(number(text)) ? null : number(text));
  return (first, second) => {
    const [a, b] = [key(first), key(second)];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
  };
}

// Upwards, downwards, and back to the order of the page; groups stay where they are.
function sort(table, column, original) {
  const heads = [...table.tHead.rows[0].cells];
  const order = { ascending: "descending", descending: "" }[heads[column].getAttribute("aria-sort")] ?? "ascending";
  for (const head of heads) head.removeAttribute("aria-sort");
  if (order) heads[column].setAttribute("aria-sort", order);
  const texts = new Map(original.flat().map((row) => [row, read(row.cells[column])]));
  const compare = comparer([...texts.values()], order === "descending" ? -1 : 1);
  for (const [place, body] of [...table.tBodies].entries()) {
    const rows = [...original[place]];
    if (order) rows.sort((first, second) => compare(texts.get(first), texts.get(second)));
    body.append(...rows);
  }
}

// As it is shown, in the order that it is shown in, with ASCII minus signs; the title of a group becomes a column.
function csv(table) {
  const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const grouped = table.querySelector("th.group") !== null;
  const line = (cells, group) => (grouped ? [group, ...cells] : cells).map(quote).join(",") + "\r\n";
  const lines = [line([...table.tHead.rows[0].cells].map(read), "group")];
  for (const body of table.tBodies) {
    const title = body.querySelector("th.group")?.firstChild.textContent ?? "";
    for (const row of rowsOf(body)) lines.push(line([...row.cells].map(read), title));
  }
  for (const row of table.tFoot?.rows ?? []) lines.push(line([...row.cells].map(read), ""));
  return "\ufeff" + lines.join("").replaceAll("\u2212", "-"); // the mark says UTF-8 to a spreadsheet
}

function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function button(className, label, click) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.append(...label);
  made.addEventListener("click", click);
  return made;
}

function equip(table, heading) {
  const original = [...table.tBodies].map(rowsOf);
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    if (!read(head)) continue;
    head.append(button("sort", head.childNodes, () => sort(table, column, original)));
  }
  const name = heading.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "table";
  const saver = button("csv", ["CSV"], () => save(`${name}.csv`, csv(table)));
  saver.setAttribute("aria-label", `Save this table as CSV: ${heading}`);
  table.parentElement.after(saver);
}

let heading = document.title;
for (const node of document.querySelectorAll("h1, h2, h3, summary, table")) {
  if (node.matches("table")) equip(node, heading);
  else heading = read(node);
}
