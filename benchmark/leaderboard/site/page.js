// The page: its controls, and everything drawn again when one of them changes.

function update(focus) {
  writeAddress();
  renderFacets();
  renderHeading();
  renderTable();
  renderCharts();
  if (focus) document.querySelector(focus)?.focus();
}

function renderFacets() {
  const fields = DATA.facets.map(([name, title], i) => {
    const values = choices(i);
    const all = new Set(DATA.boards.map((board) => board.facets[i]));
    if (all.size < 2) return null;
    const select = el("select", { name, onchange: (event) => choose(i, event.target.value), disabled: values.length < 2 },
      values.map((words) => el("option", { value: words, selected: words === state.board.facets[i] }, words)));
    return el("label", {}, el("span", {}, title), select);
  });
  byId("facets").replaceChildren(...fields.filter(Boolean));
}

function choose(i, words) {
  const wanted = [...state.board.facets];
  wanted[i] = words;
  state.board = boardWith(wanted);
  state.open.clear();
  if (!(state.reading in state.board.readings)) state.reading = "own";
  chooseLines();
  renderFilters();
  update(`#facets [name="${DATA.facets[i][0]}"]`);
}

function renderHeading() {
  byId("board-title").textContent = `Memory: ${state.board.budget}`;
  byId("board-note").textContent = state.board.heading;
  byId("remarks").replaceChildren(...ranking().remarks.map((words) => el("p", { class: "note" }, words)));
}

/** The controls that choose rows; made once for a board, so that typing is not disturbed. */
function renderFilters() {
  const readings = READINGS.filter(([name]) => name in state.board.readings);
  const kinds = KINDS.filter(([kind]) => ranking().rows.some((i) => DATA.entries[i].kind === kind));
  const levels = new Set(ranking().rows.map((i) => DATA.entries[i].level));
  byId("filters").replaceChildren(
    radios("Ranked by", "metric", METRICS.map(([, title], i) => [i, title]), state.metric, (value) => { state.metric = Number(value); chooseLines(); update(); }),
    readings.length > 1 ? select("Classifiers", readings, state.reading, (value) => { state.reading = value; chooseLines(); update(); }) : "",
    el("label", {}, el("span", {}, "Find"), el("input", { type: "search", value: state.query, placeholder: "method", oninput: (event) => { state.query = event.target.value.trim(); update(); } })),
    kinds.length > 1 ? el("fieldset", {}, el("legend", {}, "Show"), kinds.map(([kind, title]) => el("label", {}, el("input", { type: "checkbox", checked: state.kinds.has(kind),
      onchange: () => { if (!state.kinds.delete(kind)) state.kinds.add(kind); update(); } }), title))) : "",
    levels.size > 1 ? select("Verified", DATA.levels.map(([word], i) => [i, i > 1 ? `at least ${word}` : "all"]).slice(1), Math.max(state.level, 1), (value) => { state.level = Number(value); update(); }) : "",
  );
}

function select(title, options, chosen, change) {
  return el("label", {}, el("span", {}, title), el("select", { onchange: (event) => change(event.target.value) },
    options.map(([value, words]) => el("option", { value, selected: String(value) === String(chosen) }, words))));
}

function radios(title, name, options, chosen, change) {
  return el("fieldset", { class: "segments" }, el("legend", {}, title), options.map(([value, words]) =>
    el("label", {}, el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => change(value) }), el("span", {}, words))));
}

function renderAbout() {
  const levels = DATA.levels.slice(1).map(([word, meaning], i) => [el("dt", {}, levelMark(i + 1)), el("dd", {}, meaning)]);
  byId("about-text").append(...DATA.notes.map((words) => el("p", {}, words)), el("dl", { class: "levels" }, levels));
  if (DATA.left_out.length) {
    byId("about-text").append(el("details", {}, el("summary", {}, `${counted(DATA.left_out.length, "result")} left out, and why`),
      el("ul", {}, DATA.left_out.map(([folder, why]) => el("li", {}, el("code", {}, folder), ` ${why}`)))));
  }
}

for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
readAddress();
chooseLines();
renderFilters();
renderAbout();
update();
window.addEventListener("hashchange", () => { readAddress(); chooseLines(); renderFilters(); update(); });
