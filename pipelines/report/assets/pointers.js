"use strict";

/** Mouse, touch and keys over the map: hover, pan, pinch, wheel, lasso. */
class Pointers {
  constructor(explorer, surface) {
    this.explorer = explorer;
    this.scatter = explorer.scatter;
    this.surface = surface;
    this.down = new Map();
    surface.addEventListener("pointerdown", (event) => this.press(event));
    surface.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) surface.addEventListener(end, (event) => this.release(event));
    surface.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && explorer.hide());
    surface.addEventListener("dblclick", (event) => this.scatter.zoomAt(...this.where(event), 2));
    surface.addEventListener("keydown", (event) => this.key(event));
    surface.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  where(event) {
    const box = this.surface.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    this.surface.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, this.where(event));
    this.moved = 0;
    if ((this.explorer.lassoing || event.shiftKey) && this.down.size === 1) this.scatter.lasso = [this.where(event)];
  }

  move(event) {
    const now = this.where(event);
    const before = this.down.get(event.pointerId);
    if (!before) return this.explorer.hover(...now);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    this.moved += Math.hypot(dx, dy);
    if (this.down.size === 2) {
      const [, other] = [...this.down].find(([id]) => id !== event.pointerId);
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.scatter.zoomAt(...other, spread(now) / spread(before));
    } else if (this.scatter.lasso.length) {
      this.scatter.lasso.push(now);
      this.scatter.drawOverlay();
    } else if (this.moved > 3) {
      this.explorer.hide();
      this.scatter.pan(dx, dy);
    }
    this.down.set(event.pointerId, now);
  }

  release(event) {
    this.down.delete(event.pointerId);
    const { lasso } = this.scatter;
    this.scatter.lasso = [];
    if (lasso.length) {
      this.scatter.drawOverlay();
      this.explorer.pick(lasso);
    } else if (this.moved <= 3) this.explorer.hover(...this.where(event));
  }

  /** Zoom with the wheel only where the map has the focus or Ctrl is held, so that the page still scrolls past it. */
  wheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.surface) return;
    event.preventDefault();
    this.scatter.zoomAt(...this.where(event), Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)));
  }

  key(event) {
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    const middle = [this.scatter.width / 2, this.scatter.height / 2];
    if (step) this.scatter.pan(...step);
    else if (event.key === "+" || event.key === "=") this.scatter.zoomAt(...middle, 1.4);
    else if (event.key === "-") this.scatter.zoomAt(...middle, 1 / 1.4);
    else if (event.key === "0") this.scatter.reset();
    else if (event.key === "Escape") this.explorer.clear();
    else return;
    event.preventDefault();
  }
}

const mapData = Packed.block("map-data");
if (mapData) new Explorer(document.getElementById("map"), mapData);
