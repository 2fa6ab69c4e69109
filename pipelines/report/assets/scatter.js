"use strict";

const GRID = 160;

/** Points under a grid, so that the one under the pointer is found without looking at all of them. */
class PointGrid {
  constructor(x, y) {
    const cells = new Uint32Array(x.length);
    this.starts = new Uint32Array(GRID * GRID + 1);
    for (let i = 0; i < x.length; i++) {
      cells[i] = PointGrid.cell(y[i]) * GRID + PointGrid.cell(x[i]);
      this.starts[cells[i] + 1]++;
    }
    for (let c = 0; c < GRID * GRID; c++) this.starts[c + 1] += this.starts[c];
    const next = this.starts.slice();
    this.points = new Uint32Array(x.length);
    for (let i = 0; i < x.length; i++) this.points[next[cells[i]]++] = i;
    this.x = x;
    this.y = y;
  }

  static cell(value) {
    return Math.min(GRID - 1, Math.max(0, Math.floor(value * GRID)));
  }

  /** Return the nearest shown point within a reach, or -1. */
  nearest(x, y, reach, shown) {
    let best = -1;
    let least = reach * reach;
    const right = PointGrid.cell(x + reach);
    for (let row = PointGrid.cell(y - reach); row <= PointGrid.cell(y + reach); row++) {
      const from = this.starts[row * GRID + PointGrid.cell(x - reach)];
      const until = this.starts[row * GRID + right + 1];
      for (let at = from; at < until; at++) {
        const i = this.points[at];
        const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
        if (distance < least && shown[i]) {
          least = distance;
          best = i;
        }
      }
    }
    return best;
  }
}

/** Draws points on a canvas, pixel by pixel: 100,000 take some milliseconds on any machine. */
class Scatter {
  constructor(canvas, overlay, points) {
    this.canvas = canvas;
    this.overlay = overlay;
    this.context = canvas.getContext("2d", { alpha: false });
    this.points = points;
    this.shown = new Uint8Array(points).fill(1);
    this.colours = new Uint32Array(points);
    this.marked = -1;
    this.lasso = [];
    this.zoom = 1;
    this.left = 0;
    this.top = 0;
  }

  place(x, y) {
    this.x = x;
    this.y = y;
    this.grid = new PointGrid(x, y);
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    this.width = Math.max(1, box.width);
    this.height = Math.max(1, box.height);
    for (const canvas of [this.canvas, this.overlay]) {
      canvas.width = Math.round(this.width * this.ratio);
      canvas.height = Math.round(this.height * this.ratio);
    }
    this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.draw();
  }

  /** Screen pixels of a side of the square that holds all points at zoom 1, and where it begins. */
  get side() {
    return (Math.min(this.width, this.height) - 36) * this.zoom;
  }

  toScreen(x, y) {
    const side = this.side;
    return [this.width / 2 + (x - 0.5 - this.left) * side, this.height / 2 + (y - 0.5 - this.top) * side];
  }

  toPlane(px, py) {
    const side = this.side;
    return [(px - this.width / 2) / side + 0.5 + this.left, (py - this.height / 2) / side + 0.5 + this.top];
  }

  pan(dx, dy) {
    this.left -= dx / this.side;
    this.top -= dy / this.side;
    this.schedule();
  }

  zoomAt(px, py, factor) {
    const [x, y] = this.toPlane(px, py);
    this.zoom = Math.min(400, Math.max(0.5, this.zoom * factor));
    const [nx, ny] = this.toPlane(px, py);
    this.left += x - nx;
    this.top += y - ny;
    this.schedule();
  }

  reset() {
    this.zoom = 1;
    this.left = this.top = 0;
    this.schedule();
  }

  centre(i) {
    this.left = this.x[i] - 0.5;
    this.top = this.y[i] - 0.5;
    this.zoom = Math.max(this.zoom, 2);
    this.schedule();
  }

  at(px, py) {
    const [x, y] = this.toPlane(px, py);
    return this.grid.nearest(x, y, 12 / this.side, this.shown);
  }

  /** Return which shown points lie within a polygon of screen points. */
  within(polygon) {
    const corners = polygon.map(([px, py]) => this.toPlane(px, py));
    const inside = new Uint8Array(this.points);
    let [low, high] = [Infinity, -Infinity];
    for (const [, y] of corners) [low, high] = [Math.min(low, y), Math.max(high, y)];
    for (let i = 0; i < this.points; i++) {
      if (!this.shown[i] || this.y[i] < low || this.y[i] > high) continue;
      let odd = false;
      for (let a = 0, b = corners.length - 1; a < corners.length; b = a++) {
        const [ax, ay] = corners[a];
        const [bx, by] = corners[b];
        if (ay > this.y[i] !== by > this.y[i] && this.x[i] < ((bx - ax) * (this.y[i] - ay)) / (by - ay) + ax) odd = !odd;
      }
      inside[i] = odd ? 1 : 0;
    }
    return inside;
  }

  schedule() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  get radius() {
    const size = this.points > 40000 ? 1.5 : this.points > 8000 ? 2.1 : this.points > 1500 ? 3 : 4.2;
    return size * Math.min(2.2, Math.max(0.9, this.zoom ** 0.35));
  }

  /** Make a round stamp: offsets of pixels and how much of each is covered, of 256. */
  stamp(radius, strength) {
    const reach = Math.ceil(radius);
    const offsets = [];
    const cover = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const covered = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
        if (covered > 0.02) {
          offsets.push(dy * this.canvas.width + dx);
          cover.push(Math.round(256 * covered * strength));
        }
      }
    }
    return { reach, offsets: Int32Array.from(offsets), cover: Int32Array.from(cover) };
  }

  draw() {
    if (!this.pixels || !this.x) return;
    this.pixels.fill(this.background);
    const radius = this.radius * this.ratio;
    this.paint(0, this.stamp(radius * 0.8, 0.16));
    this.paint(1, this.stamp(radius, this.points > 40000 ? 0.7 : 0.82));
    this.context.putImageData(this.image, 0, 0);
    this.drawOverlay();
  }

  paint(shown, { reach, offsets, cover }) {
    const { pixels, ratio } = this;
    const [width, height] = [this.canvas.width, this.canvas.height];
    const side = this.side * ratio;
    const [ox, oy] = this.toScreen(0, 0).map((value) => value * ratio);
    for (let i = 0; i < this.points; i++) {
      if (this.shown[i] !== shown) continue;
      const px = Math.round(ox + this.x[i] * side);
      const py = Math.round(oy + this.y[i] * side);
      if (px < reach || py < reach || px >= width - reach || py >= height - reach) continue;
      const colour = shown ? this.colours[i] : this.faint;
      const [r, g, b] = [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
      const at = py * width + px;
      for (let k = 0; k < offsets.length; k++) {
        const under = pixels[at + offsets[k]];
        const share = cover[k];
        const ur = under & 255;
        const ug = (under >> 8) & 255;
        const ub = (under >> 16) & 255;
        pixels[at + offsets[k]] =
          0xff000000 | ((ub + (((b - ub) * share) >> 8)) << 16) | ((ug + (((g - ug) * share) >> 8)) << 8) | (ur + (((r - ur) * share) >> 8));
      }
    }
  }

  drawOverlay() {
    const context = this.overlay.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.strokeStyle = context.fillStyle = this.ink;
    if (this.marked >= 0) {
      const [px, py] = this.toScreen(this.x[this.marked], this.y[this.marked]);
      context.lineWidth = 2;
      context.beginPath();
      context.arc(px, py, this.radius + 4, 0, 7);
      context.stroke();
    }
    if (this.lasso.length > 1) {
      context.lineWidth = 1.5;
      context.setLineDash([5, 4]);
      context.beginPath();
      this.lasso.forEach(([px, py], n) => (n ? context.lineTo(px, py) : context.moveTo(px, py)));
      context.closePath();
      context.stroke();
      context.globalAlpha = 0.07;
      context.fill();
      context.globalAlpha = 1;
      context.setLineDash([]);
    }
  }
}
