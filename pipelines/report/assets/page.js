"use strict";

/** The page's own controls: light or dark, and tables that sort. */
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
  }

  function tell() {
    button.setAttribute("aria-pressed", String(isDark()));
    button.querySelector("span").textContent = isDark() ? "Light" : "Dark";
    document.dispatchEvent(new Event("themechange"));
  }

  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  prefersDark.addEventListener("change", tell);
  window.addEventListener("beforeprint", () => {
    root.dataset.printed = root.dataset.theme || "";
    root.dataset.theme = "light";
    tell();
  });
  window.addEventListener("afterprint", () => {
    if (root.dataset.printed) root.dataset.theme = root.dataset.printed;
    else delete root.dataset.theme;
    tell();
  });
  tell();

  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("thead th").forEach((heading, column) => {
      if (!heading.textContent.trim()) return;
      const control = make("button", { type: "button", className: "sort" }, heading.textContent);
      heading.replaceChildren(control);
      control.addEventListener("click", () => {
        const falling = heading.getAttribute("aria-sort") !== "descending";
        for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const rows = [...table.tBodies[0].rows].sort((a, b) => {
          const [first, second] = [key(a), key(b)];
          const numbers = Number(first) - Number(second);
          return Number.isNaN(numbers) ? first.localeCompare(second) : numbers;
        });
        if (falling) rows.reverse();
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
