// Small drawings in the cells of a table, all of a column on one scale.

const STRIP = { width: 108, height: 22, edge: 7 };

/** The range of all runs, less the worst third of the rows where they lie far below. */
function runScale(rows) {
  const values = rows.flatMap(({ entry }) => entry.runs.map((run) => run.values[state.metric]));
  const means = rows.map(({ entry }) => figure(entry, state.metric)[0]).sort((a, b) => b - a);
  const high = Math.max(1, ...values);
  const middle = means[Math.floor((means.length - 1) * 0.66)] ?? 0;
  const low = Math.max(Math.min(high - 1, ...values), middle - (high - middle) * 0.6);
  return [Math.floor(low), Math.ceil(high)];
}

/** How far differences are drawn: those of the better two thirds of the rows whole. */
function differenceScale(rows) {
  const rivals = rows.filter(({ entry, difference }) => difference && entry.kind !== "bound");
  const found = rivals.map(({ difference }) => difference.values);
  const lows = found.map(([mean, low]) => low ?? mean).sort((a, b) => b - a);
  const low = Math.min(-1, lows[Math.floor((lows.length - 1) * 0.66)] ?? -1) * 1.15;
  const highs = found.map(([mean, , high]) => Math.min(high ?? mean, -low));
  return [Math.floor(low), Math.ceil(Math.max(0.5, ...highs))];
}

/** Title of a column of strips, with the ends of its scale. */
function scaleTitle(words, [low, high], sign = "") {
  const ends = [low, high].map((end) => minus(end > 0 ? sign + end : String(end)));
  return el("span", { class: "scale" }, el("i", {}, ends[0]), words, el("i", {}, ends[1]));
}

function strip(label, ...parts) {
  const { width, height } = STRIP;
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  return svg("svg", { ...size, class: "strip", role: "img", "aria-label": label }, parts);
}

/** A dot for each run and a line at their mean. */
function runStrip(entry, scale) {
  const values = entry.runs.map((run) => fixed(run.values[state.metric]));
  const mean = figure(entry, state.metric)[0];
  return strip(
    `${counted(values.length, "run")}: ${values.join(", ")}`,
    svg("line", { x1: 0, x2: STRIP.width, y1: 11, y2: 11, class: "rule" }),
    mean >= scale[0] ? bar("mean", along(mean, scale), 3) : null,
    entry.runs.map((run) => {
      const value = run.values[state.metric];
      const words = `class order ${run.order}, seed ${run.seed}: ${fixed(value, 2)} %`;
      return mark(value, scale, "run", svg("title", {}, words));
    }),
  );
}

/** A difference with its interval; filled where the interval leaves zero out. */
function differenceStrip({ difference, best }, scale) {
  const zero = bar("zero", along(0, scale), 0);
  if (!difference) return strip(best ? "the best row" : "no difference known", zero);
  const [mean, low, high] = difference.values;
  const known = low !== null;
  const ends = known && high > scale[0] ? { x1: along(low, scale), x2: along(high, scale) } : null;
  return strip(
    `${difference.words} points`,
    zero,
    ends && svg("line", { ...ends, y1: 11, y2: 11, class: "interval" }),
    mark(mean, scale, known && (low > 0 || high < 0) ? "clear" : "open"),
  );
}

const along = (value, [low, high]) =>
  STRIP.edge +
  ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (STRIP.width - 2 * STRIP.edge);

const bar = (name, x, gap) =>
  svg("line", { x1: x, x2: x, y1: gap, y2: STRIP.height - gap, class: name });

/** A dot, or an arrow where the value lies beyond an end of the scale. */
function mark(value, scale, name, ...children) {
  const arrow = (d) => svg("path", { d, class: "beyond" }, children);
  if (value < scale[0]) return arrow("M5 7L1 11L5 15");
  if (value > scale[1]) return arrow(`M${STRIP.width - 5} 7l4 4l-4 4`);
  return svg("circle", { cx: along(value, scale), cy: 11, r: 3.5, class: name }, children);
}
