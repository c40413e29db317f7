// Elements of the page. Text from results is only ever set as text, never parsed as markup.

/** An HTML element; attributes that are null or false are left out. */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** A name of a program that may be broken after its signs and nowhere else, if there is room. */
const breakable = (name) => name.split(/(?<=[_@:/.])/).flatMap((part) => [el("wbr"), part]);

const byId = (id) => document.getElementById(id);
const MISSING = "–";

/** Numbers in figures, with a real minus sign. */
const minus = (words) => words.replaceAll("-", "−");

const whole = (value) => (value === null ? MISSING : Math.round(value).toLocaleString("en"));

/** A number with so many decimals; what is unknown is a dash. */
const fixed = (value, digits = 1) => (value === null ? MISSING : minus(value.toFixed(digits)));

/** Mean and deviation of [mean, std, n]. */
function spread(figure, digits = 1) {
  if (!figure) return MISSING;
  const [mean, std] = figure;
  return std === null ? fixed(mean, digits) : `${fixed(mean, digits)} ± ${fixed(std, digits)}`;
}

/** Bytes in decimal units with three figures. */
function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (count >= 999.5 && unit < 3) {
    count /= 1000;
    unit += 1;
  }
  return `${Number(count.toPrecision(3))} ${units[unit]}`;
}

/** A duration in its two largest units. */
function duration(seconds) {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
