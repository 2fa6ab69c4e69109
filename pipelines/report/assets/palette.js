"use strict";

/** Colours that most colour-blind people can tell apart (after Paul Tol), in the order in which they are given out. */
const CATEGORIES = [
  "#4477aa", "#ee7733", "#228855", "#cc3377", "#33a9d6", "#b59a2b", "#8856a7", "#00998a", "#d64550", "#7a8b1f",
];
const REST = "#8b9098";
const RIGHT_WRONG = { right: "#8fa3b8", wrong: "#d4482f" };
const RAMP = ["#3b4cc0", "#5a86c9", "#5bb3ac", "#a2cf6e", "#f0d64f"];

function packColour(hex) {
  const value = parseInt(hex.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** Return the ramp's colour at a share from 0 to 1, packed; NaN has the colour of what is not known. */
function rampColour(share) {
  if (Number.isNaN(share)) return packColour(REST);
  const at = Math.min(0.9999, Math.max(0, share)) * (RAMP.length - 1);
  const [low, high] = [packColour(RAMP[Math.floor(at)]), packColour(RAMP[Math.floor(at) + 1])];
  const part = at - Math.floor(at);
  let colour = 0xff000000;
  for (const shift of [0, 8, 16]) {
    const from = (low >> shift) & 255;
    colour |= Math.round(from + (((high >> shift) & 255) - from) * part) << shift;
  }
  return colour >>> 0;
}

/** Give the most frequent categories of a column colours of their own, and the others one together. */
function categoryColours(column) {
  if (column.key === "answer") return column.names.map((name) => RIGHT_WRONG[name] || REST);
  const order = column.names.map((_, code) => code).sort((a, b) => column.counts[b] - column.counts[a]);
  const colours = new Array(column.names.length).fill(REST);
  order.slice(0, CATEGORIES.length).forEach((code, number) => {
    if (column.names[code] !== "—") colours[code] = CATEGORIES[number];
  });
  return colours;
}
