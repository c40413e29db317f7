// The ranked table, and what a row shows when it is opened.

/** Columns: key, title, what rows are sorted by, what a cell holds. */
function columns(rows) {
  const other = 1 - state.metric;
  const runs = runScale(rows);
  const compared = rows.some(({ difference }) => difference);
  const percent = "percent, mean ± standard deviation over runs";
  return [
    {
      key: "rank",
      title: "#",
      hint: "Rank among the rows that compete; bounds do not",
      sort: ({ rank }) => rank,
      cell: ({ rank }) => rank ?? "",
    },
    {
      key: "name",
      title: "Method",
      sort: ({ entry }) => entry.name.toLowerCase(),
      cell: methodCell,
    },
    {
      key: "metric",
      title: METRICS[state.metric].title,
      hint: percent,
      sort: ({ entry }) => figure(entry, state.metric)[0],
      cell: accuracyCell,
    },
    {
      key: "n",
      title: "n",
      hint: "Runs: pairs of a class order and a seed",
      sort: ({ entry }) => entry.runs.length,
      cell: ({ entry }) => entry.runs.length,
    },
    {
      key: "runs",
      title: scaleTitle("runs", runs),
      hint: "A dot for each run, a line at their mean; an arrow where a value lies outside",
      cell: ({ entry }) => runStrip(entry, runs),
    },
    ...(compared ? differenceColumns(differenceScale(rows)) : []),
    {
      key: "other",
      title: METRICS[other].title,
      hint: percent,
      sort: ({ entry }) => figure(entry, other)[0],
      cell: ({ entry }) => spread(figure(entry, other)),
    },
    {
      key: "forgetting",
      title: "Forgetting",
      hint: "Points: best accuracy on each phase less the last, on average",
      sort: ({ entry }) => entry.figures.forgetting?.[0] ?? null,
      cell: ({ entry }) => spread(entry.figures.forgetting),
    },
    {
      key: "exemplars",
      title: "Exemplars per class",
      sort: ({ entry }) => entry.exemplars || null,
      cell: ({ entry }) => fixed(entry.exemplars || null),
    },
    {
      key: "kept",
      title: "Bytes kept",
      hint: "In the memory and outside it, after the last phase",
      sort: ({ entry }) => keptBytes(entry),
      cell: ({ entry }) => bytes(keptBytes(entry)),
    },
    ...(rows.some(({ entry }) => entry.level !== null) ? [levelColumn()] : []),
  ];
}

const differenceColumns = (scale) => [
  {
    key: "difference",
    title: "To the best",
    hint: "Points, with a 95 % interval: test images resampled, Student’s t over class orders",
    sort: ({ difference, best }) => (best ? 0 : (difference?.values[0] ?? null)),
    cell: ({ difference, best }) => (best ? "best" : differenceWords(difference)),
  },
  {
    key: "interval",
    title: scaleTitle("points", scale, "+"),
    hint: "The difference with its interval; filled where the interval leaves zero out",
    cell: (row) => differenceStrip(row, scale),
  },
];

const levelColumn = () => ({
  key: "level",
  title: "Verified",
  hint: "The lowest level of its runs",
  sort: ({ entry }) => entry.level,
  cell: ({ entry }) => levelMark(entry.level),
});

/** What is carried from phase to phase. */
const keptBytes = (entry) => entry.bytes + entry.outside;

function renderTable() {
  const all = rowsOf(ranking());
  const rows = all.filter(({ entry }) => isShown(entry));
  const cols = columns(rows);
  const by = cols.find(({ key, sort }) => key === state.sort && sort) ?? cols[2];
  rows.sort((a, b) => order(by.sort(a), by.sort(b)));
  const none = el("tr", {}, el("td", { colspan: cols.length, class: "none" }, "No row matches."));
  byId("table").replaceChildren(
    el(
      "table",
      { class: "board" },
      el("caption", { class: "unseen" }, byId("board-title").textContent),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          cols.map((column) => head(column, by)),
        ),
      ),
      el("tbody", {}, rows.length ? rows.map((row) => lines(row, cols)) : none),
    ),
  );
  const hidden = all.length - rows.length;
  const sorted = `sorted by ${by.title.toLowerCase()}, ${state.down ? "highest" : "lowest"} first`;
  byId("status").textContent =
    `${counted(rows.length, "row")}${hidden ? `, ${hidden} hidden` : ""}; ${sorted}`;
}

/** What is unknown stands last, whichever way rows are sorted. */
function order(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return (a < b ? -1 : a > b ? 1 : 0) * (state.down ? -1 : 1);
}

function head({ key, title, hint, sort }, by) {
  if (!sort) return el("th", { scope: "col", class: key, title: hint }, title);
  const sorted = key === by.key ? (state.down ? "descending" : "ascending") : null;
  const button = el("button", { type: "button", title: hint, onclick: () => sortBy(key) }, title);
  return el("th", { scope: "col", class: key, "aria-sort": sorted }, button);
}

function sortBy(key) {
  const lowFirst = ["rank", "name", "kept", "forgetting"].includes(key);
  state.down = state.sort === key ? !state.down : !lowFirst;
  state.sort = key;
  update("#table th[aria-sort] button");
}

function lines(row, cols) {
  const { entry, index } = row;
  const cells = cols.map(({ key, cell }) =>
    key === "name"
      ? el("th", { scope: "row", class: key }, cell(row))
      : el("td", { class: key }, cell(row)),
  );
  const line = el("tr", { class: `${entry.kind}${row.winner ? " winner" : ""}` }, cells);
  if (!state.open.has(index)) return line;
  const more = el("td", { colspan: cols.length }, details(row));
  return [line, el("tr", { class: "details", id: `details-${index}` }, more)];
}

function methodCell({ entry, index }) {
  const colour = state.lines.get(entry.name);
  const open = state.open.has(index);
  const swatch = el("input", {
    type: "checkbox",
    class: colour === undefined ? "swatch" : `swatch c${colour}`,
    checked: colour !== undefined,
    disabled: colour === undefined && state.lines.size >= COLOURS,
    title: "Show in color in the charts",
    "aria-label": `Show ${entry.name} in color in the charts`,
    "data-draw": index,
    onchange: () => {
      toggleLine(entry.name);
      update(`[data-draw="${index}"]`);
    },
  });
  const more = el("button", {
    type: "button",
    class: "more",
    title: open ? "Less" : "Runs and more figures",
    "aria-label": `${open ? "Close" : "Open"} details of ${entry.name}`,
    "aria-expanded": String(open),
    "aria-controls": open ? `details-${index}` : null,
    "data-more": index,
    onclick: () => {
      if (!state.open.delete(index)) state.open.add(index);
      update(`[data-more="${index}"]`);
    },
  });
  const name = entry.page ? el("a", { href: entry.page }, entry.name) : entry.name;
  const words = el("span", {}, el("bdi", {}, name), el("small", {}, el("bdi", {}, breakable(entry.method))));
  return el("div", { class: "method" }, swatch, words, more);
}

function accuracyCell({ entry, level, winner }) {
  const words = spread(figure(entry, state.metric));
  if (winner) return el("b", { title: "Above every other row, beyond its interval" }, words);
  if (!level) return words;
  const title = "No difference to the best row is shown";
  return [el("abbr", { title, "aria-label": "no difference to the best row" }, "≈"), ` ${words}`];
}

/** Difference and interval, each of which may stand on a line of its own. */
function differenceWords(difference) {
  if (!difference) return MISSING;
  const title = `Over ${counted(difference.orders, "class order")} that both rows have`;
  const parts = minus(difference.words).split(/ (?=\[)/);
  return parts.flatMap((part) => [" ", el("span", { title }, part)]);
}

function levelMark(level) {
  if (level === null) return MISSING;
  const [word, meaning] = DATA.levels[level];
  return el("span", { class: `mark l${level}`, title: meaning }, word);
}

function details({ entry, difference, best }) {
  const orders = difference ? counted(difference.orders, "class order") : MISSING;
  const facts = [
    ...(entry.level === null ? [] : [["Verified", levelMark(entry.level)]]),
    ["To the best", best ? "the best" : differenceWords(difference)],
    ["Compared over", orders],
    ["Read by", entry.classifier || "its only classifier"],
    ["Settings from", entry.tuned ? `recipe ${entry.tuned}` : "hand or defaults"],
    ["Exemplars per class", fixed(entry.exemplars || null)],
    ["Cost of an exemplar", entry.rate === null ? MISSING : `${fixed(entry.rate, 2)} samples`],
    ["Memory", bytes(entry.bytes)],
    ["Outside the memory", bytes(entry.outside)],
    ["Trained parameters", whole(entry.parameters)],
    ["Training steps", whole(entry.steps)],
    ["Time", (entry.resumed ? "≥ " : "") + duration(entry.seconds)],
  ];
  const figures = Object.entries(DATA.metrics).map(([name, definition]) => [
    el("span", { title: definition }, name.replaceAll("_", " ")),
    spread(entry.figures[name], 2),
  ]);
  const heads = ["Class order", "Seed", ...METRICS.map(({ title }) => title), "Verified", "Files"];
  const runs = entry.runs.map((run) => [
    el("bdi", {}, run.order),
    run.seed,
    ...run.values.map((value) => fixed(value, 2)),
    levelMark(run.level),
    el("bdi", {}, run.report ? el("a", { href: run.report }, run.folder) : run.folder),
  ]);
  const fact = ([name, words]) => el("div", {}, el("dt", {}, name), el("dd", {}, words));
  return el(
    "div",
    { class: "detail" },
    el("dl", {}, facts.map(fact)),
    scrolled(`Figures of ${entry.name}`, plainTable(["Figure", "% or points"], figures)),
    scrolled(`Runs of ${entry.name}`, plainTable(heads, runs)),
  );
}

/** What is too wide is scrolled, with the keyboard too. */
const scrolled = (label, table) =>
  el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);

/** A table of texts; the first cell of a row is its header. */
function plainTable(heads, rows) {
  const line = ([first, ...cells]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      cells.map((words) => el("td", {}, words)),
    );
  return el(
    "table",
    { class: "plain" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        heads.map((words) => el("th", { scope: "col" }, words)),
      ),
    ),
    el("tbody", {}, rows.map(line)),
  );
}
