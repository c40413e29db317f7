// What is shown: the board, how it is read and sorted, which rows and lines. It stands in the address.

const DATA = JSON.parse(byId("data").textContent);
const FACETS = DATA.facets.map(([name]) => name);
const METRICS = [
  { name: "average", title: "Average accuracy", figure: "average_incremental_accuracy" },
  { name: "last", title: "Last accuracy", figure: "last_accuracy" },
];
const READINGS = [
  ["own", "each method’s own"],
  ["linear", "linear head, where there is one"],
  ["all", "all of them"],
];
const KINDS = [
  ["replay", "replay"],
  ["memory-free", "no exemplars"],
  ["bound", "bounds"],
];
const COLOURS = 8;
const QUIET = 7; // the grey one, for a bound

const state = {
  board: null,
  reading: "own",
  metric: 0, // position in METRICS: what ranks the rows
  sort: "metric",
  down: true,
  find: "",
  hidden: new Set(), // kinds
  level: 0,
  open: new Set(), // positions of entries whose details are shown
  lines: new Map(), // names of the rows that charts show in colour
};

const sum = (values) => values.reduce((total, value) => total + value, 0);
const facet = (board, name) => board.facets[FACETS.indexOf(name)];

/** Mean, deviation and number of runs. */
const figure = (entry, metric) => entry.figures[METRICS[metric].figure];

/** The board that most results stand in: the first one that visitors see. */
function mainBoard() {
  const size = (board) => sum(board.readings.own.rows.map((i) => DATA.entries[i].runs.length));
  return DATA.boards.reduce((best, board) => (size(board) > size(best) ? board : best));
}

/**
 * The board with these facets. One is kept if a board has it together with those before it; else
 * the first value that there is takes its place.
 */
function boardWith(wanted) {
  let left = DATA.boards;
  wanted.forEach((words, i) => {
    const same = left.filter((board) => board.facets[i] === words);
    left = same.length ? same : left.filter((board) => board.facets[i] === left[0].facets[i]);
  });
  return left[0];
}

/** The values of facet `i` among the boards that agree with the present one in those before. */
function choices(i) {
  const before = state.board.facets.slice(0, i);
  const kin = DATA.boards.filter((board) => before.every((words, j) => board.facets[j] === words));
  const found = [...new Set(kin.map((board) => board.facets[i]))];
  return found.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

/** How a board is ranked in the reading that is chosen, or as methods read themselves. */
const ranking = (board = state.board) => board.readings[state.reading] ?? board.readings.own;

/** Which bounds take no part in; those that do have a place from the best on. */
function rowsOf(found) {
  const standing = found.standings[state.metric];
  const rows = found.rows.map((index, i) => ({
    index,
    entry: DATA.entries[index],
    difference: standing.differences[i],
    best: standing.best === i,
    winner: standing.winner === i,
    level: standing.level.includes(i),
    rank: null,
  }));
  rows
    .filter(({ entry }) => entry.kind !== "bound")
    .sort((a, b) => figure(b.entry, state.metric)[0] - figure(a.entry, state.metric)[0])
    .forEach((row, i) => {
      row.rank = i + 1;
    });
  return rows;
}

function isShown(entry) {
  const text = `${entry.name} ${entry.method}`.toLowerCase();
  return (
    !state.hidden.has(entry.kind) &&
    (entry.level === null || entry.level >= state.level) &&
    state.find
      .toLowerCase()
      .split(/\s+/)
      .every((word) => text.includes(word))
  );
}

/** Choose what charts show in colour: the best rows, and the best bound to measure them against. */
function chooseLines() {
  const rows = rowsOf(ranking());
  const best = rows.filter(({ rank }) => rank && rank <= 5).sort((a, b) => a.rank - b.rank);
  state.lines = new Map(best.map(({ entry }, i) => [entry.name, i]));
  const bounds = rows.filter(({ entry }) => entry.kind === "bound");
  bounds.sort((a, b) => figure(b.entry, state.metric)[0] - figure(a.entry, state.metric)[0]);
  if (bounds.length) state.lines.set(bounds[0].entry.name, QUIET);
}

/** Show a row in colour, or no longer; it gets the first colour that is free. */
function toggleLine(name) {
  if (state.lines.delete(name)) return;
  const taken = new Set(state.lines.values());
  const free = [...Array(COLOURS).keys()].find((colour) => !taken.has(colour));
  if (free !== undefined) state.lines.set(name, free);
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const main = mainBoard();
  state.board = boardWith(FACETS.map((name, i) => given.get(name) ?? main.facets[i]));
  state.reading = Object.hasOwn(state.board.readings, given.get("reading") ?? "")
    ? given.get("reading")
    : "own";
  state.metric = Math.max(
    0,
    METRICS.findIndex(({ name }) => name === given.get("metric")),
  );
  const [, down, column] = /^(-?)(\w+)$/.exec(given.get("sort") ?? "") ?? [null, "-", "metric"];
  state.sort = column;
  state.down = down === "-";
  state.find = given.get("find") ?? "";
}

/** What is seen can be passed on as a link. */
function writeAddress() {
  const words = new URLSearchParams();
  const main = mainBoard();
  FACETS.forEach((name, i) => {
    if (state.board.facets[i] !== main.facets[i]) words.set(name, state.board.facets[i]);
  });
  if (state.reading !== "own") words.set("reading", state.reading);
  if (state.metric) words.set("metric", METRICS[state.metric].name);
  const sort = `${state.down ? "-" : ""}${state.sort}`;
  if (sort !== "-metric") words.set("sort", sort);
  if (state.find) words.set("find", state.find);
  history.replaceState(null, "", `${words}` ? `#${words}` : location.pathname);
}
