/* The tables of the page "All results": a head that is pressed sorts by its column, a field keeps the rows with all its
   words. Without scripts they are whole tables in their declared order. */
(() => {
  "use strict";

  const NUMBER = /([−-]?\d+(?:\.\d+)?(?:e[−-]?\d+)?)/;
  const MISSING = ["", "–", "undefined"];

  /* a text as words and numbers by turns */
  const parts = (text) =>
    text.toLowerCase().split(NUMBER).map((part, k) => (k % 2 ? Number(part.replace(/−/g, "-")) : part));

  /* below 0 where a comes first: words by letters, numbers by value */
  function compare(a, b) {
    const [p, q] = [parts(a), parts(b)];
    for (let k = 0; k < Math.min(p.length, q.length); k++) if (p[k] !== q[k]) return p[k] < q[k] ? -1 : 1;
    return p.length - q.length;
  }

  /* places of the texts in rising (sign 1) or falling (−1) order; equals stay as they are, what is missing is last */
  function order(texts, sign) {
    const lacks = texts.map((text) => Number(MISSING.includes(text.trim())));
    const by = (j, k) => lacks[j] - lacks[k] || (lacks[j] ? 0 : sign * compare(texts[j].trim(), texts[k].trim()));
    return texts.map((_, k) => k).sort((j, k) => by(j, k) || j - k);
  }

  const matches = (text, words) => words.every((word) => text.includes(word));
  const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  function element(tag, attributes) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function makeSortable(table, declared) {
    const [body, heads] = [table.tBodies[0], [...table.tHead.rows[0].cells]];
    heads.forEach((head, column) => {
      const button = element("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const next = now === "ascending" ? "descending" : now === "descending" ? null : "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const rows = next ? [...body.rows] : declared; // a third press: as declared
        const texts = rows.map((row) => row.cells[column].textContent);
        body.append(...(next ? order(texts, next === "ascending" ? 1 : -1).map((k) => rows[k]) : rows));
      });
    });
  }

  function addFilter(table, declared) {
    const bar = element("div", { class: "results-filter" });
    const label = element("label", {});
    const input = element("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const count = element("span", { role: "status", "aria-live": "polite" });
    const texts = declared.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const filter = () => {
      const words = wordsOf(input.value);
      declared.forEach((row, k) => (row.hidden = !matches(texts[k], words)));
      count.textContent = `${declared.filter((row) => !row.hidden).length} of ${declared.length} rows`;
    };
    input.addEventListener("input", filter);
    label.append("Filter ", input);
    bar.append(label, count);
    table.parentElement.before(bar);
    filter(); // a browser may have kept what was typed
  }

  if (typeof module === "object") module.exports = { order, matches, wordsOf };
  if (typeof document === "undefined") return;
  document.querySelectorAll("table.results").forEach((table) => {
    const declared = [...table.tBodies[0].rows];
    makeSortable(table, declared);
    addFilter(table, declared);
  });
})();
