"use strict";
// Everything can be read without this script; it sorts tables, filters the matrix and unfolds what is printed.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.type = "button";
    button.title = "Sort by this column";
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? "";
      const numeric = head.dataset.sort === "number";
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const by = numeric ? x - y : x.localeCompare(y);
        return down ? by : -by;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(order));
    });
  });
}
for (const tools of document.querySelectorAll(".tools[data-for]")) {
  const rows = [...document.getElementById(tools.dataset.for).tBodies[0].rows];
  const text = tools.querySelector("input");
  const choice = tools.querySelector("select");
  const count = tools.querySelector("output");
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const wrong = row.dataset.wrong.split(" ");
      const hit = row.textContent.toLowerCase().includes(wanted) && (!choice.value || wrong.includes(choice.value));
      row.hidden = !hit;
      shown += hit;
    }
    count.textContent = `${shown} of ${rows.length} shown`;
  };
  tools.hidden = false;
  text.addEventListener("input", apply);
  choice.addEventListener("change", apply);
}
addEventListener("beforeprint", () => document.querySelectorAll("details.print").forEach((d) => { d.open = true; }));
