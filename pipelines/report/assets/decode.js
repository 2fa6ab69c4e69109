"use strict";

/** What the page was written with: JSON blocks, and arrays packed as base64. */
const Packed = {
  /** Parse the JSON block with an id; null if the page has none. */
  block(id) {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  },

  bytes(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
  },

  shorts(text) {
    return new Uint16Array(Packed.bytes(text).buffer);
  },

  /** Unpack shorts from 0 to 65535 as numbers from 0 to 1. */
  unit(text) {
    const shorts = Packed.shorts(text);
    const values = new Float32Array(shorts.length);
    for (let i = 0; i < shorts.length; i++) values[i] = shorts[i] / 65535;
    return values;
  },

  /** Unpack shares from 0 to 1; NaN where one is not known. */
  shares(text) {
    return Float32Array.from(Packed.shorts(text), (short) => (short === 65535 ? NaN : short / 65534));
  },
};

/** Make an element with properties and children; text goes in as text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const count = (number) => number.toLocaleString("en-US");
