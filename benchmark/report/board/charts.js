// Charts: accuracy as classes arrive, over the memory, and against bytes. Each has its numbers as a
// table. Rows that are ticked are in colour, the others grey.

const EDGE = { left: 36, right: 14, top: 24, bottom: 46, height: 330 };

function renderCharts() {
  const rows = rowsOf(ranking()).filter(({ entry }) => isShown(entry));
  const figures = [phaseChart(rows), memoryChart(rows), bytesChart()];
  byId("figures").replaceChildren(...figures.filter(Boolean));
  const legend = [...state.lines].map(([name, colour]) => {
    const remove = () => {
      toggleLine(name);
      update("#legend button");
    };
    const label = `Show ${name} in gray`;
    const button = { type: "button", class: `c${colour}`, "aria-label": label, onclick: remove };
    return el("li", {}, el("button", button, el("i", {}), el("bdi", {}, name)));
  });
  byId("legend").replaceChildren(...legend);
}

function phaseChart(rows) {
  const lines = rows.map(({ entry }) => ({
    entry,
    points: entry.curve.map(([y, std], t) => ({ x: state.board.seen[t], y, std })),
  }));
  return chart({
    id: "phases",
    title: "Accuracy as classes arrive",
    text: "On all test samples of the classes seen so far; mean over runs.",
    xLabel: "classes seen",
    ticks: state.board.seen,
    lines,
  });
}

/** The same methods under the other budgets of this setting, in the same currency. */
function memoryChart(rows) {
  const boards = DATA.boards.filter(
    ({ scenario, amount }) => scenario === state.board.scenario && amount,
  );
  if (boards.length < 2) return null;
  const point = (name) => (board) => {
    const entries = ranking(board).rows.map((i) => DATA.entries[i]);
    const found = entries.find((entry) => entry.name === name);
    if (!found) return [];
    const [y, std] = figure(found, state.metric);
    return [{ x: board.amount, y, std }];
  };
  const lines = rows.map(({ entry }) => ({ entry, points: boards.flatMap(point(entry.name)) }));
  return chart({
    id: "memory",
    title: "Accuracy over the memory",
    text: `${METRICS[state.metric].title} at each memory for which there are results.`,
    xLabel: `memory in untouched samples, counted in ${facet(state.board, "currency")}`,
    ticks: boards.map(({ amount }) => amount),
    lines: lines.filter(({ points }) => points.length > 1),
  });
}

/** Every row of the setting, whatever its budget; bounds are not bound by any. */
function bytesChart() {
  const places = new Map();
  for (const board of DATA.boards.filter(({ scenario }) => scenario === state.board.scenario))
    for (const i of ranking(board).rows) if (!places.has(i)) places.set(i, board);
  const points = [...places]
    .map(([i, board]) => ({ entry: DATA.entries[i], board }))
    .filter(({ entry }) => entry.kind !== "bound" && isShown(entry))
    .map((at) => ({ ...at, x: keptBytes(at.entry), y: figure(at.entry, state.metric)[0] }));
  points.sort((a, b) => a.x - b.x || b.y - a.y);
  let best = -1;
  for (const point of points) {
    point.front = point.y > best;
    best = Math.max(best, point.y);
  }
  return chart({
    id: "bytes",
    title: "Accuracy against bytes",
    text:
      `${METRICS[state.metric].title} over all bytes kept, in the memory and outside it, under ` +
      "every budget. Nothing on the dashed front is beaten with fewer bytes.",
    xLabel: "bytes kept (logarithmic)",
    log: true,
    points,
  });
}

function chart({ id, title, text, xLabel, ticks = [], lines = [], points = [], log = false }) {
  const all = [...lines.flatMap((line) => line.points), ...points];
  if (!all.length) return null;
  const place = (x) => (log ? Math.log10(Math.max(x, 1)) : x);
  const width = Math.max(300, Math.min(620, byId("figures").clientWidth));
  const right = width - EDGE.right;
  const bottom = EDGE.height - EDGE.bottom;
  const [low, high] = heights(lines, points);
  const xs = all.map(({ x }) => place(x));
  const onX = scale(Math.min(...xs), Math.max(...xs), EDGE.left + 10, right - 10);
  const at = { x: (x) => onX(place(x)), y: scale(low, high, bottom, EDGE.top) };
  const rules = round(low, high, 5).map((value) => [
    svg("line", { x1: EDGE.left, x2: right, y1: at.y(value), y2: at.y(value), class: "rule" }),
    svg("text", { x: EDGE.left - 8, y: at.y(value) + 4, class: "end" }, value),
  ]);
  const marks = thin(log ? powers(xs) : ticks, at.x).map((value) =>
    svg("text", { x: at.x(value), y: bottom + 18, class: "middle" }, log ? bytes(value) : value),
  );
  const clip = svg("rect", {
    x: EDGE.left,
    y: EDGE.top - 6,
    width: right,
    height: bottom - EDGE.top + 8,
  });
  const drawing = svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${EDGE.height}`,
      role: "img",
      "aria-labelledby": `${id}-title ${id}-text`,
    },
    svg("title", { id: `${id}-title` }, title),
    svg("desc", { id: `${id}-text` }, text),
    svg("clipPath", { id: `${id}-clip` }, clip),
    svg("text", { x: 0, y: 11 }, "%"),
    rules,
    marks,
    svg("text", { x: (EDGE.left + right) / 2, y: EDGE.height - 5, class: "middle" }, xLabel),
    svg(
      "g",
      { "clip-path": `url(#${id}-clip)` },
      colourLast(lines).map((line) => drawLine(line, at)),
      drawFront(points, at),
      colourLast(points).map((point) => drawPoint(point, at)),
    ),
    nameFront(points, at, right),
  );
  const table = lines.length ? lineTable(lines) : pointTable(points);
  return el(
    "figure",
    { class: "chart" },
    el("figcaption", {}, el("h3", {}, title), el("p", {}, text)),
    drawing,
    el("details", {}, el("summary", {}, "As a table"), scrolled(`${title}, numbers`, table)),
  );
}

/** The range of what is in colour, else of everything; grey lines may leave it. */
function heights(lines, points) {
  const coloured = lines.filter(({ entry }) => state.lines.has(entry.name));
  const shown = (coloured.length ? coloured : lines).flatMap((line) => line.points);
  const ys = [...shown, ...points].map(({ y }) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const margin = Math.max(1, (high - low) * 0.06);
  return [Math.max(0, low - margin), Math.min(100.5, high + margin)];
}

const colourLast = (items) =>
  [...items].sort((a, b) => state.lines.has(a.entry.name) - state.lines.has(b.entry.name));

function drawLine({ entry, points }, at) {
  const colour = state.lines.get(entry.name);
  const path = points.map(({ x, y }) => `${at.x(x).toFixed(1)},${at.y(y).toFixed(1)}`).join(" ");
  const title = svg("title", {}, entry.name);
  if (colour === undefined) return svg("polyline", { points: path, class: "line other" }, title);
  const quiet = entry.kind === "bound" ? " quiet" : "";
  const dots = points.map(({ x, y, std }) => {
    const words = svg("title", {}, `${entry.name}: ${spread([y, std])} % at ${x}`);
    return svg("circle", { cx: at.x(x), cy: at.y(y), r: 3, class: `dot c${colour}` }, words);
  });
  return [svg("polyline", { points: path, class: `line c${colour}${quiet}` }, title), dots];
}

function drawPoint({ entry, board, x, y, front }, at) {
  const colour = state.lines.get(entry.name);
  const memory = entry.bytes ? board.budget : "no memory";
  return svg(
    "circle",
    {
      cx: at.x(x),
      cy: at.y(y),
      r: front ? 5 : 3.6,
      class: colour === undefined ? "dot other" : `dot full c${colour}`,
    },
    svg("title", {}, `${entry.name}, ${memory}: ${fixed(y)} % with ${bytes(x)}`),
  );
}

function drawFront(points, at) {
  const steps = points.filter(({ front }) => front).map(({ x, y }) => [at.x(x), at.y(y)]);
  if (steps.length < 2) return null;
  const path = steps.map(([x, y], i) => (i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x} ${y}`));
  return svg("path", { class: "front", d: path.join("") });
}

/** Names beside the points of the front, as many as there is room for. */
function nameFront(points, at, right) {
  const taken = [];
  const names = [];
  for (const { entry, x, y } of points.filter(({ front }) => front).reverse()) {
    const size = entry.name.length * 6.6 + 8;
    const toLeft = at.x(x) - size > EDGE.left;
    const box = [toLeft ? at.x(x) - size : at.x(x), at.y(y) - 18, size, 15];
    const crossed = taken.some(
      (o) => Math.abs(o[1] - box[1]) < 15 && o[0] < box[0] + size && box[0] < o[0] + o[2],
    );
    if (crossed || (!toLeft && box[0] + size > right)) continue;
    taken.push(box);
    const place = {
      x: at.x(x) + (toLeft ? -6 : 6),
      y: at.y(y) - 7,
      class: toLeft ? "name end" : "name",
    };
    names.push(svg("text", place, entry.name));
  }
  return names;
}

function lineTable(lines) {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(({ x }) => x)))];
  xs.sort((a, b) => a - b);
  const cell = (points, x) => {
    const found = points.find((point) => point.x === x);
    return found ? spread([found.y, found.std]) : MISSING;
  };
  const rows = lines.map(({ entry, points }) => [entry.name, ...xs.map((x) => cell(points, x))]);
  return plainTable(["Method", ...xs.map(String)], rows);
}

function pointTable(points) {
  const rows = points.map(({ entry, board, x, y, front }) => {
    const memory = entry.bytes ? board.budget : "none";
    return [entry.name, memory, bytes(x), `${fixed(y)} %`, front ? "yes" : "no"];
  });
  return plainTable(["Method", "Memory", "Bytes kept", "Accuracy", "On the front"], rows);
}

/** From a range to a place; a range of one value lies in the middle. */
const scale = (low, high, start, stop) => (value) =>
  start + (high > low ? (value - low) / (high - low) : 0.5) * (stop - start);

/** Round numbers within a range, about as many as asked. */
function round(low, high, count) {
  const rough = (high - low) / count || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const off = (step) => Math.abs(step * size - rough);
  const step = size * [1, 2, 5, 10].reduce((a, b) => (off(b) < off(a) ? b : a));
  const first = Math.ceil(low / step);
  const found = Array.from(
    { length: Math.floor(high / step) - first + 1 },
    (_, i) => (first + i) * step,
  );
  return found.map((value) => Number(value.toFixed(6)));
}

/** 1, 2 and 5 times powers of ten, within the range of their logarithms; its ends if none is. */
function powers(logs) {
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1)
    for (const lead of [1, 2, 5]) found.push(lead * 10 ** power);
  const within = found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
  return within.length ? within : [...new Set([low, high])].map((end) => 10 ** end);
}

/** The marks that there is room for, from the left. */
function thin(values, placed) {
  let last = -Infinity;
  return values.filter((value) => {
    const room = placed(value) - last >= 48;
    if (room) last = placed(value);
    return room;
  });
}
