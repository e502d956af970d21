// Draws both links' timelines from the page's data, one under the other on one scale. Knows nothing of the page but two
// places: where the data stands, and where the drawing goes. Without it the tables say the same.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("chart");
  const sides = [["in-process", data.in_process], ["distributed", data.distributed]].map(([name, cost]) => ({
    name,
    phases: cost.phases,
    wall: cost.wall_ms,
    bars: cost.backends.filter((span) => span.slot !== null).sort((a, b) => a.start - b.start),
    slots: cost.backends.reduce((most, span) => Math.max(most, span.slot === null ? 0 : span.slot + 1), 0),
  }));
  const end = Math.max(1, ...sides.map((side) => Math.max(side.wall, ...side.phases.map((one) => one.start_ms + one.ms))));
  const slots = Math.max(...sides.map((side) => side.slots));
  const row = slots <= 8 ? 22 : slots <= 32 ? 14 : 9;
  const HEAD = 26, PHASES = 20, GAP = 18, AXIS = 24, LABELS = 96, MOST = 256;

  const html = (name, attributes = {}, ...inside) => fill(document.createElement(name), attributes, inside);
  const svg = (name, attributes = {}, ...inside) => fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, inside);
  function fill(element, attributes, inside) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inside);
    return element;
  }
  const seconds = (ms) => (ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`);

  // Backends of one module belong together, those of one name in their order.
  const modules = new Map();
  for (const [at, side] of sides.entries()) {
    const seen = new Map();
    side.bars.forEach((span, number) => {
      const count = seen.get(span.name) ?? 0;
      seen.set(span.name, count + 1);
      const key = `${count} ${span.name}`;
      if (!modules.has(key)) modules.set(key, [null, null]);
      modules.get(key)[at] = number;
      span.key = key;
    });
  }

  const names = html("datalist", { id: "modules" }, ...[...new Set([...modules.keys()].map((key) => key.slice(key.indexOf(" ") + 1)))].sort().map((name) => html("option", { value: name })));
  const find = html("input", { type: "search", list: "modules", autocomplete: "off", spellcheck: "false" });
  const button = (text, label, act) => {
    const made = html("button", { type: "button", "aria-label": label }, text);
    made.addEventListener("click", act);
    return made;
  };
  const less = button("−", "Zoom out", () => zoomTo(zoom / 2));
  const more = button("+", "Zoom in", () => zoomTo(zoom * 2));
  const whole = button("Whole", "Show the whole timeline", () => zoomTo(1));
  const labels = svg("svg", { width: LABELS, "aria-hidden": "true" });
  const drawing = svg("svg", { role: "img", "aria-label": described() });
  const scroll = html("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Timeline: arrow keys go from backend to backend, plus and minus zoom" }, drawing);
  const said = html("p", { class: "said", role: "status" }, "Point at a backend, or go to one with the arrow keys: it is marked in both links.");
  const sample = (shade) => svg("svg", { width: 14, height: 10, "aria-hidden": "true" }, svg("rect", { class: shade, width: 14, height: 10 }));
  const legend = html("ul", { class: "legend" }, ...[
    ["phase-scan", "scan: inputs opened"],
    ["phase-thin-link", "thin link"],
    ["phase-backends", "backends"],
    ["phase-final-link", "final link"],
    ["bar", "a backend; the next on its slot has the other shade"],
    ["bar chosen", "the one that is chosen, in both links"],
    ["slot", "a slot that is idle"],
  ].map(([shade, text]) => html("li", {}, sample(shade), text)));
  place.append(legend, html("div", { class: "tools" }, less, more, whole, html("label", {}, "Find a module", find), names), html("div", { class: "chart" }, labels, scroll), said);
  place.hidden = false;

  let zoom = 1, chosen = null, bars = [new Map(), new Map()], width = 0;

  function described() {
    return sides.map((side) => `${side.name}: ${side.phases.map((one) => `${one.name} ${seconds(one.ms)}`).join(", ")}; ${side.bars.length} backends on ${side.slots} slots`).join(". ");
  }

  // 1, 2 or 5 of some power of ten, so that ticks stand about 90 pixels apart.
  function step(pixels) {
    const wanted = (end * 90) / pixels;
    const power = 10 ** Math.floor(Math.log10(wanted));
    return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= wanted);
  }

  function draw() {
    width = Math.max(240, scroll.clientWidth) * zoom;
    const x = (ms) => (ms / end) * (width - 12) + 1;
    const wide = (ms) => Math.max(1, (ms / end) * (width - 12));
    const over = [], left = [], ground = [];
    bars = [new Map(), new Map()];
    let y = 0;
    sides.forEach((side, at) => {
      left.push(svg("text", { class: "side", x: 8, y: y + 18 }, side.name));
      over.push(svg("text", { class: "side", x: 4, y: y + 18 }, `${seconds(side.wall)} in all`));
      y += HEAD;
      left.push(svg("text", { x: 8, y: y + 14 }, "phases"));
      for (const phase of side.phases) {
        const [start, length] = [x(phase.start_ms), wide(phase.ms)];
        over.push(svg("rect", { class: `phase-${phase.name.replace(" ", "-")}`, x: start, y, width: length, height: PHASES - 3 }, svg("title", {}, `${phase.name}, ${seconds(phase.ms)}`)));
        const text = `${phase.name} ${seconds(phase.ms)}`;
        if (length > text.length * 7) over.push(svg("text", { class: "phase", x: start + 4, y: y + 13 }, text));
      }
      y += PHASES;
      const counts = new Array(side.slots).fill(0);
      for (let slot = 0; slot < side.slots; slot++) {
        const top = y + slot * row;
        ground.push(svg("rect", { class: "slot", x: 1, y: top, width: width - 12, height: row - 2 }));
        if (row > 12 || slot % 4 === 0) left.push(svg("text", { x: 8, y: top + Math.min(row - 3, 15) }, `slot ${slot + 1}`));
      }
      side.bars.forEach((span, number) => {
        const length = wide(span.end - span.start);
        const odd = counts[span.slot]++ % 2 ? " odd" : "";
        const bar = svg("rect", { class: `bar${odd}`, x: x(span.start), y: y + span.slot * row, width: Math.max(0.8, length - (length > 3 ? 1 : 0)), height: row - 2, "data-side": at, "data-number": number });
        bars[at].set(number, bar);
        over.push(bar);
      });
      y += side.slots * row + GAP;
    });
    const each = step(width);
    for (let ms = 0; ms <= end; ms += each) {
      ground.push(svg("line", { class: "grid", x1: x(ms), x2: x(ms), y1: HEAD, y2: y - 4 }));
      over.push(svg("text", { x: x(ms) + 3, y: y + 12 }, end < 1000 ? `${Number(ms.toFixed(3))} ms` : `${Number((ms / 1000).toFixed(6))} s`));
    }
    const height = y + AXIS;
    for (const one of [labels, drawing]) one.setAttribute("height", height);
    drawing.setAttribute("width", width);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    labels.replaceChildren(...left);
    drawing.replaceChildren(...ground, ...over);
    less.disabled = whole.disabled = zoom <= 1;
    more.disabled = zoom >= MOST;
    mark();
  }

  function zoomTo(wanted) {
    const before = zoom;
    const bar = chosen && shown();
    const middle = bar ? (Number(bar.getAttribute("x")) / width) : (scroll.scrollLeft + scroll.clientWidth / 2) / width;
    zoom = Math.min(MOST, Math.max(1, wanted));
    if (zoom === before) return;
    draw();
    scroll.scrollLeft = middle * width - scroll.clientWidth / 2;
  }

  const shown = () => bars[chosen.side].get(chosen.number);

  function mark() {
    for (const bar of drawing.querySelectorAll(".chosen")) bar.classList.remove("chosen");
    if (!chosen) return;
    modules.get(sides[chosen.side].bars[chosen.number].key).forEach((number, side) => {
      if (number !== null) bars[side].get(number).classList.add("chosen");
    });
  }

  function choose(side, number, moves) {
    chosen = { side, number };
    mark();
    const span = sides[side].bars[number];
    const told = modules.get(span.key).map((at, which) => {
      if (at === null) return `${sides[which].name} not told`;
      const one = sides[which].bars[at];
      return `${sides[which].name} ${seconds(one.end - one.start)} on slot ${one.slot + 1}, from ${seconds(one.start)}`;
    });
    said.replaceChildren(html("code", {}, span.name), `: ${told.join("; ")}`);
    if (!moves) return;
    const at = Number(shown().getAttribute("x"));
    if (at < scroll.scrollLeft || at > scroll.scrollLeft + scroll.clientWidth - 20) scroll.scrollLeft = at - scroll.clientWidth / 2;
  }

  const under = (event) => event.target.closest?.(".bar");
  for (const kind of ["pointerover", "click"]) {
    drawing.addEventListener(kind, (event) => {
      const bar = under(event);
      if (bar) choose(Number(bar.dataset.side), Number(bar.dataset.number), false);
    });
  }
  find.addEventListener("input", () => {
    const key = `0 ${find.value}`;
    const found = modules.get(key) ?? modules.get([...modules.keys()].find((one) => find.value && one.includes(find.value)));
    if (!found) return void (said.textContent = find.value ? "No backend of that name." : "");
    const side = found[1] === null ? 0 : 1;
    choose(side, found[side], true);
  });
  scroll.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const now = chosen ?? { side: sides[0].bars.length ? 0 : 1, number: -1 };
    const go = (side, number) => sides[side].bars.length && choose(side, Math.min(Math.max(number, 0), sides[side].bars.length - 1), true);
    const across = (side) => {
      const at = chosen && modules.get(sides[now.side].bars[now.number].key)[side];
      go(side, at ?? Math.max(now.number, 0));
    };
    const acts = {
      ArrowRight: () => go(now.side, now.number + 1),
      ArrowLeft: () => go(now.side, now.number - 1),
      ArrowDown: () => across(1),
      ArrowUp: () => across(0),
      Home: () => go(now.side, 0),
      End: () => go(now.side, Infinity),
      "+": () => zoomTo(zoom * 2),
      "=": () => zoomTo(zoom * 2),
      "-": () => zoomTo(zoom / 2),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });

  let drawn = 0;
  new ResizeObserver(() => {
    if (scroll.clientWidth === drawn) return;
    drawn = scroll.clientWidth;
    draw();
  }).observe(scroll);
  draw();
})();
