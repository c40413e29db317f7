// What is shown: the board, how it is read and sorted, which rows and lines. It stands in the address.

const DATA = JSON.parse(byId("data").textContent);
const METRICS = [["average", "Average accuracy"], ["last", "Last accuracy"]];
const READINGS = [
  ["own", "each method's own"],
  ["linear", "the linear head, where there is one"],
  ["all", "all of them"],
];
const KINDS = [["replay", "replay"], ["memory-free", "no exemplars"], ["bound", "bounds"]];
const COLOURS = 8;

const state = {
  board: null,
  reading: "own",
  metric: 0,
  sort: "metric",
  down: true,
  query: "",
  kinds: new Set(KINDS.map(([kind]) => kind)),
  level: 0,
  open: new Set(), // entries whose details are shown
  lines: new Map(), // entry name -> colour in the charts
};

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** The board that most results stand in: the first one that visitors see. */
function mainBoard() {
  const size = (board) => sum(board.readings.own.rows.map((i) => DATA.entries[i].runs.length));
  return DATA.boards.reduce((best, board) => (size(board) > size(best) ? board : best));
}

/**
 * The board with these facets. A facet is kept if a board has it together with those before it;
 * else the first value that there is takes its place.
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
  return [...new Set(kin.map((board) => board.facets[i]))];
}

/** How the present board is ranked. */
const ranking = () => state.board.readings[state.reading] ?? state.board.readings.own;

/** The rows of a ranking: entry, its place among those that compete, and how it stands. */
function rowsOf(found, metric) {
  const mean = (entry) => figure(entry, metric)[0];
  const standing = found.standings[metric];
  const rows = found.rows.map((index, i) => ({
    entry: DATA.entries[index],
    index,
    difference: standing.differences[i],
    best: standing.best === i,
    winner: standing.winner === i,
    level: standing.level.includes(i),
  }));
  const order = rows.filter(({ entry }) => entry.kind !== "bound");
  order.sort((a, b) => mean(b.entry) - mean(a.entry));
  order.forEach((row, i) => (row.rank = i + 1));
  return rows;
}

/** Mean, deviation and number of an accuracy of METRICS. */
const figure = (entry, metric) => entry.figures[metric ? "last_accuracy" : "average_incremental_accuracy"];

function isShown({ entry }) {
  const text = `${entry.name} ${entry.method}`.toLowerCase();
  return (
    state.kinds.has(entry.kind) &&
    (entry.level === null || entry.level >= state.level) &&
    state.query.toLowerCase().split(/\s+/).every((word) => text.includes(word))
  );
}

/** Choose what the charts show: the best rows, and bounds to measure them against. */
function chooseLines() {
  const rows = rowsOf(ranking(), state.metric);
  const best = rows.filter((row) => row.rank && row.rank <= 5).sort((a, b) => a.rank - b.rank);
  const chosen = [...best, ...rows.filter(({ entry }) => entry.kind === "bound").slice(0, 2)];
  state.lines = new Map(chosen.map(({ entry }, i) => [entry.name, i]));
}

/** Show a row's lines in colour, or no longer; the first free colour is taken. */
function toggleLine(name) {
  if (state.lines.delete(name)) return;
  const taken = new Set(state.lines.values());
  const free = [...Array(COLOURS).keys()].find((colour) => !taken.has(colour));
  if (free !== undefined) state.lines.set(name, free);
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const main = mainBoard();
  state.board = boardWith(DATA.facets.map(([name], i) => given.get(name) ?? main.facets[i]));
  state.reading = given.get("reading") in state.board.readings ? given.get("reading") : "own";
  state.metric = given.get("metric") === "last" ? 1 : 0;
  const [, down, column] = /^(-?)(\w+)$/.exec(given.get("sort") ?? "") ?? [null, "-", "metric"];
  state.sort = column;
  state.down = down === "-";
  state.query = given.get("find") ?? "";
}

/** So that what is seen can be passed on as a link. */
function writeAddress() {
  const words = new URLSearchParams();
  const main = mainBoard();
  DATA.facets.forEach(([name], i) => {
    if (state.board.facets[i] !== main.facets[i]) words.set(name, state.board.facets[i]);
  });
  if (state.reading !== "own") words.set("reading", state.reading);
  if (state.metric) words.set("metric", METRICS[state.metric][0]);
  if (state.sort !== "metric" || !state.down) words.set("sort", `${state.down ? "-" : ""}${state.sort}`);
  if (state.query) words.set("find", state.query);
  history.replaceState(null, "", `#${words}`);
}
