// The ranked table: a row for each entry, its runs as dots, its difference to the best as an interval.

const STRIP = { width: 132, height: 22, edge: 6 };

/** The columns: key, title, what rows are sorted by, cell, and how it is set. */
function columns(rows) {
  const metric = state.metric;
  const other = 1 - metric;
  const scale = scaleOf(rows, metric);
  const reach = reachOf(rows);
  const levels = rows.some(({ entry }) => entry.level !== null);
  return [
    { key: "rank", title: "#", hint: "Place among the rows that compete; bounds do not", sort: (row) => row.rank ?? null,
      cell: (row) => row.rank ?? "", kind: "number rank" },
    { key: "name", title: "Method", sort: (row) => row.entry.name.toLowerCase(), cell: methodCell, kind: "name" },
    { key: "metric", title: METRICS[metric][1], hint: "Percent, mean ± standard deviation over runs", sort: (row) => figure(row.entry, metric)[0],
      cell: (row) => accuracyCell(row, metric), kind: "number main" },
    { key: "runs", title: scaleTitle("Runs", scale), cell: (row) => dots(row.entry, metric, scale), kind: "strip" },
    { key: "difference", title: "To the best", hint: "Points, with 95 % interval",
      sort: (row) => (row.difference ? row.difference.values[0] : row.best ? 0 : null),
      cell: (row) => (row.best ? "best" : (row.difference?.words ?? MISSING)), kind: "number" },
    { key: "interval", title: reachTitle(reach), cell: (row) => interval(row, reach), kind: "strip" },
    { key: "other", title: METRICS[other][1], hint: "Percent, mean ± standard deviation over runs",
      sort: (row) => figure(row.entry, other)[0], cell: (row) => spread(figure(row.entry, other)), kind: "number" },
    { key: "forgetting", title: "Forgetting", hint: "Points: best accuracy on each phase less the last",
      sort: (row) => row.entry.figures.forgetting?.[0] ?? null, cell: (row) => spread(row.entry.figures.forgetting), kind: "number" },
    { key: "exemplars", title: "Exemplars a class", sort: (row) => row.entry.exemplars || null,
      cell: (row) => (row.entry.exemplars ? fixed(row.entry.exemplars) : MISSING), kind: "number" },
    { key: "bytes", title: "Kept", hint: "Bytes: memory and what is carried outside it", sort: (row) => row.entry.bytes + row.entry.outside,
      cell: (row) => bytes(row.entry.bytes + row.entry.outside), kind: "number" },
    levels && { key: "level", title: "Verified", sort: (row) => row.entry.level, cell: (row) => levelMark(row.entry.level), kind: "level" },
  ].filter(Boolean);
}

function renderTable() {
  const all = rowsOf(ranking(), state.metric);
  const shown = all.filter(isShown);
  const cols = columns(shown);
  const by = cols.find(({ key, sort }) => key === state.sort && sort) ?? cols.find(({ key }) => key === "metric");
  shown.sort((a, b) => compare(by.sort(a), by.sort(b)) * (state.down ? -1 : 1));
  const body = shown.flatMap((row) => tableRow(row, cols));
  const table = el("table", { class: "board" },
    el("caption", { class: "hidden" }, byId("board-title").textContent),
    el("thead", {}, el("tr", {}, cols.map((column) => head(column, by)))),
    el("tbody", {}, body.length ? body : el("tr", {}, el("td", { colspan: cols.length, class: "none" }, "No row fits these filters."))));
  byId("table").replaceChildren(table);
  const hidden = all.length - shown.length;
  byId("status").textContent = `${counted(shown.length, "row")}${hidden ? `, ${hidden} hidden by filters` : ""}; sorted by ${by.name ?? text(by.title)}, ${state.down ? "falling" : "rising"}`;
}

const text = (title) => (typeof title === "string" ? title : title.textContent);

/** What is unknown stands last either way. */
function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null) ? ((a === null) - (b === null)) * (state.down ? -1 : 1) : 0;
  return a < b ? -1 : a > b ? 1 : 0;
}

function head({ key, title, hint, sort, kind }, by) {
  const sorted = key === by.key && (state.down ? "descending" : "ascending");
  const button = sort && el("button", { type: "button", title: hint, onclick: () => sortBy(key) }, title);
  return el("th", { scope: "col", class: kind, "aria-sort": sorted || null, title: sort ? null : hint }, button ?? title);
}

function sortBy(key) {
  state.down = state.sort === key ? !state.down : !["rank", "name", "bytes", "forgetting"].includes(key);
  state.sort = key;
  update();
  byId("table").querySelector(`th[aria-sort] button`)?.focus();
}

function tableRow(row, cols) {
  const { entry, index } = row;
  const open = state.open.has(index);
  const classes = [entry.kind === "bound" && "bound", row.winner && "winner", open && "open"].filter(Boolean).join(" ");
  const cells = cols.map((column) => {
    const tag = column.key === "name" ? "th" : "td";
    return el(tag, { class: column.kind, scope: tag === "th" ? "row" : null }, column.cell(row));
  });
  const line = el("tr", { class: classes || null }, cells);
  return open ? [line, el("tr", { class: "details", id: `details-${index}` }, el("td", { colspan: cols.length }, details(row)))] : [line];
}

function methodCell({ entry, index }) {
  const open = state.open.has(index);
  const colour = state.lines.get(entry.name);
  const name = entry.page ? el("a", { href: entry.page }, entry.name) : entry.name;
  const swatch = el("input", { type: "checkbox", class: colour === undefined ? "swatch" : `swatch c${colour}`,
    checked: colour !== undefined, "aria-label": `Draw ${entry.name}`, title: "Draw in the charts",
    disabled: colour === undefined && state.lines.size >= COLOURS,
    onchange: () => { toggleLine(entry.name); update(`[data-draw="${index}"]`); }, "data-draw": index });
  const more = el("button", { type: "button", class: "more", "aria-expanded": String(open), "aria-controls": open ? `details-${index}` : null,
    "aria-label": `Details of ${entry.name}`, "data-more": index,
    onclick: () => { if (!state.open.delete(index)) state.open.add(index); update(`[data-more="${index}"]`); } });
  return el("div", { class: "method" }, swatch,
    el("div", {}, el("bdi", {}, name), el("small", {}, el("bdi", {}, entry.method))), more);
}

function accuracyCell(row, metric) {
  const words = spread(figure(row.entry, metric));
  const mark = row.level ? el("abbr", { title: "Level: no difference to the best row is shown" }, "≈ ") : null;
  return [mark, row.winner ? el("b", { title: "Above every other row, beyond its interval" }, words) : words];
}

function levelMark(level) {
  if (level === null) return MISSING;
  const [word, meaning] = DATA.levels[level];
  return el("span", { class: `mark l${level}`, title: meaning }, word);
}

/** The range of the rows' runs, without the worst third of them if they lie far below. */
function scaleOf(rows, metric) {
  const values = rows.map(({ entry }) => entry.runs.map((run) => run.values[metric]));
  const means = rows.map(({ entry }) => figure(entry, metric)[0]).sort((a, b) => b - a);
  const high = Math.max(...values.flat(), 1);
  const middle = means[Math.floor((means.length - 1) * 0.66)] ?? 0;
  const low = Math.max(Math.min(...values.flat(), high - 1), middle - (high - middle) * 0.6);
  return [Math.floor(low), Math.ceil(high)];
}

const at = (value, [low, high]) =>
  STRIP.edge + ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (STRIP.width - 2 * STRIP.edge);

function scaleTitle(words, [low, high]) {
  return el("span", { class: "scale" }, el("span", {}, String(low)), words, el("span", {}, String(high)));
}

/** A dot for each run, a line at their mean; an arrow stands for what lies left of the scale. */
function dots(entry, metric, scale) {
  const y = STRIP.height / 2;
  const values = entry.runs.map((run) => run.values[metric]);
  const label = `${counted(values.length, "run")}: ${values.map((value) => fixed(value)).join(", ")}`;
  const marks = entry.runs.map((run) => {
    const title = svg("title", {}, `order ${run.order}, seed ${run.seed}: ${fixed(run.values[metric], 2)}`);
    return run.values[metric] < scale[0]
      ? svg("path", { d: `M4 ${y - 4}L0 ${y}L4 ${y + 4}`, class: "beyond" }, title)
      : svg("circle", { cx: at(run.values[metric], scale).toFixed(1), cy: y, r: 3.4, class: "run" }, title);
  });
  const mean = figure(entry, metric)[0];
  const line = mean >= scale[0] && svg("line", { x1: at(mean, scale), x2: at(mean, scale), y1: 3, y2: STRIP.height - 3, class: "mean" });
  return strip(label, [svg("line", { x1: 0, x2: STRIP.width, y1: y, y2: y, class: "rule" }), line || null, marks]);
}

const strip = (label, parts) =>
  svg("svg", { viewBox: `0 0 ${STRIP.width} ${STRIP.height}`, width: STRIP.width, height: STRIP.height, class: "strip", role: "img", "aria-label": label }, parts);

/** How far differences are drawn: two thirds of the rows whole. */
function reachOf(rows) {
  const found = rows.flatMap(({ entry, difference }) => (difference && entry.kind !== "bound" ? [difference.values] : []));
  const lows = found.map(([mean, low]) => low ?? mean).sort((a, b) => b - a);
  const highs = found.map(([mean, , high]) => high ?? mean);
  const low = Math.min(lows[Math.floor((lows.length - 1) * 0.66)] ?? -1, -1) * 1.15;
  return [Math.floor(low), Math.ceil(Math.max(0.5, ...highs.map((high) => Math.min(high, -low))))];
}

const reachTitle = ([low, high]) => scaleTitle("points", [low, `+${high}`].map(String)) ;

/** The difference with its interval; zero is a line. */
function interval({ difference, best }, reach) {
  const y = STRIP.height / 2;
  const zero = svg("line", { x1: at(0, reach), x2: at(0, reach), y1: 0, y2: STRIP.height, class: "zero" });
  if (!difference) return strip(best ? "the best row" : "no difference known", [zero]);
  const [mean, low, high] = difference.values;
  const shown = low !== null && (low > 0 || high < 0);
  const bar = low !== null && high > reach[0] && svg("line", { x1: at(low, reach), x2: at(high, reach), y1: y, y2: y, class: "interval" });
  const dot = mean < reach[0]
    ? svg("path", { d: `M4 ${y - 4}L0 ${y}L4 ${y + 4}`, class: "beyond" })
    : svg("circle", { cx: at(mean, reach), cy: y, r: 3.6, class: shown ? "shown" : "open" });
  return strip(difference.words, [zero, bar || null, dot]);
}

/** What a row holds besides its columns. */
function details({ entry }) {
  const figures = entry.figures;
  const facts = [
    ["Classifier", entry.classifier || "its only one"],
    ["Phase-weighted", `average ${spread(figures.average_incremental_accuracy_phase_weighted)}, last ${spread(figures.last_accuracy_phase_weighted)}`],
    ["Forgetting", spread(figures.forgetting)],
    ["Exemplars a class", entry.exemplars ? fixed(entry.exemplars) : MISSING],
    ["Cost of an exemplar", entry.rate === null ? MISSING : `${fixed(entry.rate, 2)} untouched samples`],
    ["Memory", bytes(entry.bytes)],
    ["Outside it", bytes(entry.outside)],
    ["Trained parameters", entry.parameters === null ? MISSING : Math.round(entry.parameters).toLocaleString("en")],
    ["Training steps", Math.round(entry.steps).toLocaleString("en")],
    ["Time", `${entry.resumed ? "≥ " : ""}${duration(entry.seconds)}`],
    ["Settings", entry.tuned ? `tuned: ${entry.tuned}` : "not from a recipe"],
  ];
  const runs = el("table", { class: "plain" },
    el("thead", {}, el("tr", {}, ["Class order", "Seed", ...METRICS.map(([, title]) => title), "Verified"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, entry.runs.map((run) => el("tr", {},
      el("td", {}, el("bdi", {}, run.order)), el("td", {}, run.seed), run.values.map((value) => el("td", {}, fixed(value, 2))), el("td", {}, levelMark(run.level))))));
  return el("div", { class: "detail" },
    el("dl", {}, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))), runs);
}
