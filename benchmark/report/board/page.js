// The page: its controls, and everything drawn again when one of them changes.

/** Draw everything again and focus on the element that `focus` selects, which may be a new one. */
function update(focus) {
  writeAddress();
  renderFacets();
  byId("board-title").textContent =
    state.board.amount === 0 ? "No memory" : `Memory: ${state.board.budget}`;
  byId("board-note").textContent = state.board.heading;
  byId("verdict").replaceChildren(...verdict());
  const remarks = ranking().remarks.map((words) => el("p", { class: "note" }, words));
  byId("remarks").replaceChildren(...remarks);
  renderTable();
  renderCharts();
  if (focus) document.querySelector(focus)?.focus();
}

/** Which row is best and by how much, in a sentence; filters change nothing about it. */
function verdict() {
  const rivals = rowsOf(ranking()).filter(({ rank }) => rank);
  const [best, ...others] = rivals.sort((a, b) => a.rank - b.rank);
  if (!best) return [];
  const level = others.filter((row) => row.level);
  const next = others.find((row) => !row.level);
  const name = (row) => el("bdi", {}, row.entry.name);
  const words = ({ difference }) => (difference ? differenceWords(difference).slice(1) : [MISSING]);
  const unsure = ({ difference }) => (difference?.values[1] === null ? ", no interval" : "");
  const apart = (row, unit = "") => [name(row), " (", ...words(row), unit, unsure(row), ")"];
  const listed = level.slice(0, 3).flatMap((row, i) => [i ? ", " : "", ...apart(row)]);
  if (level.length > 3) listed.push(` and ${level.length - 3} more`);
  const accuracy = `${spread(figure(best.entry, state.metric))}\u00a0%`;
  return [
    `Best ${METRICS[state.metric].title.toLowerCase()}: `,
    el(best.winner ? "b" : "span", {}, name(best)),
    `, ${accuracy}${best.winner ? ", above every other row beyond its interval" : ""}.`,
    ...(level.length ? [" No difference to it is shown for ", ...listed, "."] : []),
    ...(next ? [" Next: ", ...apart(next, " points"), "."] : []),
  ];
}

/** After another board, reading or metric was chosen: other rows are the best. */
function refresh(focus) {
  state.open.clear();
  chooseLines();
  renderFilters();
  update(focus);
}

function renderFacets() {
  const fields = DATA.facets.map(([name, title], i) => {
    if (new Set(DATA.boards.map((board) => board.facets[i])).size < 2) return null;
    const options = choices(i).map((words) => [words, words]);
    const choose = (words) => {
      state.board = boardWith(state.board.facets.map((old, j) => (i === j ? words : old)));
      if (!Object.hasOwn(state.board.readings, state.reading)) state.reading = "own";
      refresh(`#facets [name="${name}"]`);
    };
    return select({ name, title, options, chosen: state.board.facets[i], choose });
  });
  byId("facets").replaceChildren(...fields.filter(Boolean));
  byId("facets").hidden = !fields.some(Boolean);
}

/** The controls that choose rows; not made again while somebody types into one. */
function renderFilters() {
  const entries = ranking().rows.map((i) => DATA.entries[i]);
  const readings = READINGS.filter(([name]) => Object.hasOwn(state.board.readings, name));
  const kinds = KINDS.filter(([kind]) => entries.some((entry) => entry.kind === kind));
  const levels = new Set(entries.map(({ level }) => level));
  const metric = METRICS.map(({ title }, i) => {
    const choose = () => {
      state.metric = i;
      refresh(`#filters [value="${i}"]`);
    };
    const checked = state.metric === i;
    const radio = { type: "radio", name: "metric", value: i, checked, onchange: choose };
    return el("label", {}, el("input", radio), el("span", {}, title));
  });
  const find = el("input", {
    type: "search",
    value: state.find,
    placeholder: "a method",
    oninput: ({ target }) => {
      state.find = target.value.trim();
      update();
    },
  });
  const boxes = kinds.map(([kind, title]) => {
    const change = () => {
      if (!state.hidden.delete(kind)) state.hidden.add(kind);
      update();
    };
    const box = { type: "checkbox", checked: !state.hidden.has(kind), onchange: change };
    return el("label", {}, el("input", box), title);
  });
  const controls = [
    el("fieldset", { class: "segments" }, el("legend", {}, "Ranked by"), metric),
    readings.length > 1 &&
      select({
        name: "reading",
        title: "Classifiers",
        options: readings,
        chosen: state.reading,
        choose: (value) => {
          state.reading = value;
          refresh('#filters [name="reading"]');
        },
      }),
    el("label", {}, el("span", {}, "Find"), find),
    kinds.length > 1 && el("fieldset", { class: "boxes" }, el("legend", {}, "Show"), boxes),
    levels.size > 1 &&
      select({
        name: "level",
        title: "Verified",
        options: DATA.levels.map(([word], i) => [i, i > 1 ? `${word} or more` : "all"]).slice(1),
        chosen: Math.max(state.level, 1),
        choose: (value) => {
          state.level = Number(value);
          update();
        },
      }),
  ];
  byId("filters").replaceChildren(...controls.filter(Boolean));
}

function select({ name, title, options, chosen, choose }) {
  const found = options.map(([value, words]) =>
    el("option", { value, selected: String(value) === String(chosen) }, words),
  );
  const attributes = { name, disabled: options.length < 2 };
  const onchange = ({ target }) => choose(target.value);
  return el("label", {}, el("span", {}, title), el("select", { ...attributes, onchange }, found));
}

function renderAbout() {
  const levels = DATA.levels
    .map(([, meaning], i) => [el("dt", {}, levelMark(i)), el("dd", {}, meaning)])
    .slice(1);
  byId("levels").replaceChildren(...(DATA.entries.some(({ level }) => level) ? levels.flat() : []));
  if (!DATA.left_out.length) return;
  const items = DATA.left_out.map(([folder, why]) =>
    el("li", {}, el("code", {}, el("bdi", {}, folder)), ` ${why}`),
  );
  const summary = `${counted(DATA.left_out.length, "result")} left out, and why`;
  byId("left-out").replaceChildren(
    el("details", {}, el("summary", {}, summary), el("ul", {}, items)),
  );
}

function start() {
  readAddress();
  chooseLines();
  renderFilters();
  update();
}

for (const form of document.forms)
  form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", start);
window.addEventListener("resize", renderCharts);
renderAbout();
start();
