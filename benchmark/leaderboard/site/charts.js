// Charts: accuracy as classes arrive, over the memory, and over bytes. Each has its numbers as a table.

const CHART = { width: 560, height: 340, left: 40, right: 16, top: 26, bottom: 44 };

function renderCharts() {
  const rows = rowsOf(ranking(), state.metric).filter(isShown);
  byId("charts").replaceChildren(...[curves(rows), memoryCurve(rows), pareto()].filter(Boolean));
}

function curves(rows) {
  const lines = rows.map(({ entry }) => ({ entry, points: entry.curve.map(([y, std], t) => ({ x: state.board.seen[t], y, std })) }));
  return chart({ title: "Accuracy as classes arrive", text: "Percent of all test samples of the classes seen so far, mean over runs; bands are standard deviations.",
    xLabel: "classes seen", lines, ticks: state.board.seen });
}

/** The accuracies of the same methods under the other budgets of the scenario. */
function memoryCurve(rows) {
  const boards = DATA.boards.filter(({ scenario, amount }) => scenario === state.board.scenario && amount !== null);
  if (boards.length < 2) return null;
  const lines = rows.map(({ entry }) => ({ entry, points: boards.flatMap((board) => {
    const found = board.readings[state.reading] ?? board.readings.own;
    const other = found.rows.map((i) => DATA.entries[i]).find(({ name }) => name === entry.name);
    if (!other) return [];
    const [y, std] = figure(other, state.metric);
    return [{ x: board.amount, y, std }];
  }) })).filter(({ points }) => points.length > 1);
  return chart({ title: "Accuracy over the memory", text: `${METRICS[state.metric][1]}, percent, with every budget of this setting that there are results of.`,
    xLabel: `memory, untouched samples (in ${state.board.facets[6]})`, lines, ticks: boards.map(({ amount }) => amount) });
}

/** All entries of the scenario, whatever their budget: who reaches more with fewer bytes. */
function pareto() {
  const boards = DATA.boards.filter(({ scenario }) => scenario === state.board.scenario);
  const seen = new Map();
  for (const board of boards) {
    const found = board.readings[state.reading] ?? board.readings.own;
    for (const i of found.rows) if (DATA.entries[i].kind !== "bound" && !seen.has(i)) seen.set(i, board);
  }
  const points = [...seen].map(([i, board]) => ({ entry: DATA.entries[i], board, x: DATA.entries[i].bytes + DATA.entries[i].outside, y: figure(DATA.entries[i], state.metric)[0] }))
    .filter(({ entry }) => isShown({ entry })).sort((a, b) => a.x - b.x || b.y - a.y);
  let best = -1;
  for (const point of points) if ((point.front = point.y > best)) best = point.y;
  return chart({ title: "Accuracy against bytes kept", text: `${METRICS[state.metric][1]}, percent, over the bytes carried from phase to phase: memory and what is outside it. The line joins those that nothing beats with fewer bytes.`,
    xLabel: "bytes kept, logarithmic", points, log: true });
}

function chart({ title, text, xLabel, lines = [], points = [], ticks, log = false }) {
  const all = [...lines.flatMap((line) => line.points), ...points];
  if (!all.length) return null;
  const xs = all.map(({ x }) => (log ? Math.log10(Math.max(x, 1)) : x));
  const low = Math.max(0, Math.min(...all.map(({ y, std }) => y - (std ?? 0))) - 2), high = Math.min(100, Math.max(...all.map(({ y, std }) => y + (std ?? 0))) + 2);
  const x = scale(Math.min(...xs), Math.max(...xs), CHART.left + 8, CHART.width - CHART.right - 8, log);
  const y = scale(low, high, CHART.height - CHART.bottom, CHART.top);
  const id = title.toLowerCase().replaceAll(" ", "-");
  const parts = [svg("title", { id: `${id}-title` }, title), svg("desc", { id: `${id}-desc` }, text),
    svg("text", { x: 0, y: 12 }, "%"),
    round(low, high, 5).map((value) => [svg("line", { x1: CHART.left, x2: CHART.width - CHART.right, y1: y(value), y2: y(value), class: "rule" }), svg("text", { x: CHART.left - 8, y: y(value) + 4, class: "end" }, value)]),
    (log ? powers(xs) : thin(ticks)).map((value) => svg("text", { x: x(value), y: CHART.height - CHART.bottom + 18, class: "middle" }, log ? bytes(value) : value)),
    svg("text", { x: (CHART.left + CHART.width) / 2, y: CHART.height - 6, class: "middle" }, xLabel),
    [...lines].sort((a, b) => state.lines.has(a.entry.name) - state.lines.has(b.entry.name)).map((line) => drawLine(line, x, y)),
    drawFront(points, x, y),
    [...points].sort((a, b) => state.lines.has(a.entry.name) - state.lines.has(b.entry.name)).map((point) => drawPoint(point, x, y))];
  return el("figure", { class: "chart" }, el("h3", {}, title), el("figcaption", {}, text),
    svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-labelledby": `${id}-title ${id}-desc` }, parts),
    el("details", {}, el("summary", {}, "As a table"), lines.length ? lineTable(lines, xLabel) : pointTable(points)));
}

function drawLine({ entry, points }, x, y) {
  const colour = state.lines.get(entry.name);
  const path = points.map((p) => `${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`).join(" ");
  const name = svg("title", {}, entry.name);
  if (colour === undefined) return svg("polyline", { points: path, class: "line other" }, name);
  const band = points.some(({ std }) => std) && svg("polygon", { class: `band c${colour}`, points: [...points.map((p) => [p.x, p.y + (p.std ?? 0)]), ...points.map((p) => [p.x, p.y - (p.std ?? 0)]).reverse()].map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") });
  return [band || null, svg("polyline", { points: path, class: `line c${colour}${entry.kind === "bound" ? " quiet" : ""}` }, name),
    points.map((p) => svg("circle", { cx: x(p.x), cy: y(p.y), r: 3, class: `dot c${colour}` }, svg("title", {}, `${entry.name}: ${fixed(p.y)} at ${p.x}`)))];
}

function drawPoint({ entry, board, x: kept, y: accuracy, front }, x, y) {
  const colour = state.lines.get(entry.name);
  return svg("circle", { cx: x(kept), cy: y(accuracy), r: front ? 4.6 : 3.4, class: colour === undefined ? `dot other${front ? " front" : ""}` : `dot full c${colour}` },
    svg("title", {}, `${entry.name}, ${board.budget}: ${fixed(accuracy)} with ${bytes(kept)}`));
}

function drawFront(points, x, y) {
  const front = points.filter((point) => point.front);
  if (front.length < 2) return null;
  return svg("path", { class: "front", d: front.map((p, i) => (i ? `H${x(p.x).toFixed(1)}V${y(p.y).toFixed(1)}` : `M${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}`)).join("") });
}

function lineTable(lines, xLabel) {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  return scrolled(["Method", ...xs.map(String)], lines.map(({ entry, points }) => [entry.name, ...xs.map((x) => { const p = points.find((point) => point.x === x); return p ? spread([p.y, p.std]) : MISSING; })]), xLabel);
}

const pointTable = (points) => scrolled(["Method", "Memory", "Bytes kept", "Accuracy", "On the front"],
  points.map(({ entry, board, x, y, front }) => [entry.name, entry.bytes ? board.budget : "none", bytes(x), fixed(y), front ? "yes" : ""]), "points");

const scrolled = (heads, rows, label) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, el("table", { class: "plain" },
  el("thead", {}, el("tr", {}, heads.map((words) => el("th", { scope: "col" }, words)))),
  el("tbody", {}, rows.map(([first, ...cells]) => el("tr", {}, el("th", { scope: "row" }, el("bdi", {}, first)), cells.map((words) => el("td", {}, words)))))));

const scale = (low, high, start, stop, log = false) => (value) => start + (((log ? Math.log10(Math.max(value, 1)) : value) - low) / (high - low || 1)) * (stop - start);

function round(low, high, count) {
  const rough = (high - low) / count || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * [1, 2, 5, 10].reduce((a, b) => (Math.abs(b * size - rough) < Math.abs(a * size - rough) ? b : a));
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9; value += step) found.push(Number(value.toFixed(6)));
  return found;
}

function powers(xs) {
  const found = [];
  for (let power = Math.floor(Math.min(...xs)); power <= Math.ceil(Math.max(...xs)); power += 1)
    for (const lead of [1, 2, 5]) {
      const value = lead * 10 ** power;
      if (Math.log10(value) >= Math.min(...xs) - 0.02 && Math.log10(value) <= Math.max(...xs) + 0.02) found.push(value);
    }
  return found.length > 8 ? found.filter((value) => Number.isInteger(Math.log10(value) + 1e-12)) : found;
}

const thin = (values) => values.filter((_, i) => i % Math.ceil(values.length / 12) === 0);
