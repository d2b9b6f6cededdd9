"use strict";
// The page of a run: what is chosen, what is fetched for it, what is drawn. Data come from the server that sent this page alone.

const $ = (id) => document.getElementById(id);
const RUN = new URLSearchParams(location.search).get("run") || "";
const KEPT = 48 * 2 ** 20; // bytes of snapshots that are kept
const POLL = 2000, FRAME = 100; // milliseconds

let state = null, colors = null, shown = null, playing = false, wanted = 0, frames = new Map(), bytes = 0;
const logs = new Map(); // axes that were switched by hand, by the label of the curves

function ask(name, query) {
  const url = new URL(name, location.href.split("?")[0]);
  if (RUN) url.searchParams.set("run", RUN);
  for (const [key, value] of Object.entries(query || {})) if (value !== "") url.searchParams.set(key, value);
  return fetch(url, { cache: "no-store" });
}

async function json(name) {
  const answer = await ask(name), found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

function trouble(text) {
  $("trouble").textContent = text || "";
  $("trouble").hidden = !text;
}

// ---- what is chosen

const field = () => state.fields.find((f) => f.name === $("field").value) || state.fields[0];
const fieldName = () => $("part").value || field().name;
const slice = () => (state.space.length === 3 ? `${$("normal").value}:${$("place").value}` : "");
const isMap = () => field().parts.length > 0 && !$("part").value;

function axesShown() {
  const [x, y, z] = state.space;
  if (state.space.length < 3) return [x, y];
  return { z: [x, y], y: [x, z], x: [y, z] }[$("normal").value];
}

// Entries of a <select>, its value kept where it is still one of them.
function fill(select, entries) {
  const before = select.value, same = [...select.options].map((o) => o.value).join("\n") === entries.map((e) => e[0]).join("\n");
  if (same) return;
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  if (entries.some((e) => e[0] === before)) select.value = before;
}

function limits() {
  if ($("range").value === "fixed") {
    const low = parseFloat($("from").value), high = parseFloat($("to").value);
    if (low < high) return [low, high];
  }
  const f = field(), k = Math.max(0, f.parts.indexOf($("part").value));
  if ($("range").value === "run" && f.ranges[k]) return f.ranges[k];
  const [low, high] = shown.head.limits;
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

// ---- snapshots

async function snapshot(index) {
  const most = Math.min(2048, Math.ceil($("stage").clientWidth * (window.devicePixelRatio || 1)));
  const key = [index, fieldName(), slice(), state.space.length === 1 ? "" : most].join("|");
  if (frames.has(key)) {
    const found = frames.get(key);
    frames.delete(key); frames.set(key, found); // the latest used last
    return found;
  }
  const answer = await ask("snapshot", { index, field: fieldName(), slice: slice(), most });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const head = JSON.parse(answer.headers.get("X-Picture")), raw = await answer.arrayBuffer();
  const found = { head, values: head.kind === "values" ? new Float32Array(raw) : new Uint8Array(raw) };
  frames.set(key, found);
  for (bytes += raw.byteLength; bytes > KEPT && frames.size > 1;) {
    const [oldest, dropped] = frames.entries().next().value;
    frames.delete(oldest);
    bytes -= dropped.values.byteLength;
  }
  return found;
}

async function show(index) {
  const mine = ++wanted;
  try {
    const found = await snapshot(index);
    if (mine !== wanted) return; // something else has been chosen meanwhile
    shown = found;
    trouble("");
    draw();
  } catch (error) {
    if (mine === wanted) trouble(error.message);
  }
}

const showChosen = () => show(+$("index").value);

function draw() {
  if (!shown) return;
  const { head, values } = shown, canvas = $("picture"), line = state.space.length === 1;
  const [right, up] = axesShown(), unit = (axis) => (axis.unit ? ` ${axis.unit}` : "");
  const room = $("stage").clientWidth - (head.limits && !line ? $("bar").offsetWidth + 12 : 0);
  $("bar").hidden = !head.limits || line;
  const count = state.times.length, index = Math.min(+$("index").value, count - 1);
  $("when").textContent = `t = ${numberText(head.time)}${state.clock ? " " + state.clock : ""} · snapshot ${index + 1} of ${count}`
    + [right, up].filter(Boolean).map((a) => ` · ${a.name} ${numberText(a.low)} to ${numberText(a.high)}${unit(a)}`).join("");
  if (line) {
    canvas.style.width = `${room}px`;
    canvas.style.height = "280px";
    const width = (right.high - right.low) / head.columns;
    const x = Array.from(values, (_, k) => right.low + (k + 0.5) * width), y = Array.from(values, (v) => (isFinite(v) ? v : null));
    const colored = isMap() ? [] : [{ x, y }];
    plot(canvas, colored, { xLabel: right.unit ? `${right.name} (${right.unit})` : right.name });
  } else {
    const ratio = (up.high - up.low) / (right.high - right.low);
    const width = Math.max(80, Math.min(room, Math.max(240, window.innerHeight * 0.72) / ratio));
    canvas.width = head.columns;
    canvas.height = head.rows;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${Math.max(24, width * ratio)}px`;
    paint(canvas, head, values);
  }
  const where = state.space.length === 3 ? `, plane across ${$("normal").value}` : "";
  const range = head.limits ? `values from ${numberText(head.limits[0])} to ${numberText(head.limits[1])}` : "map of the largest components";
  canvas.setAttribute("aria-label", `${fieldName()}${where} at time ${numberText(head.time)}${unit({ unit: state.clock })}, ${range}`);
  drawCurves(head.time);
}

function paint(canvas, head, values) {
  const pen = canvas.getContext("2d"), image = pen.createImageData(head.columns, head.rows), out = image.data;
  if (head.kind === "colors") {
    for (let i = 0, j = 0; i < values.length; i += 3, j += 4) { out[j] = values[i]; out[j + 1] = values[i + 1]; out[j + 2] = values[i + 2]; out[j + 3] = 255; }
  } else {
    const table = colors.maps[$("map").value], [low, high] = limits(), scale = 256 / (high - low);
    const grey = [1, 3, 5].map((k) => parseInt(colors.grey.slice(k, k + 2), 16));
    for (let i = 0, j = 0; i < values.length; i++, j += 4) {
      const v = values[i];
      if (Number.isFinite(v)) {
        const k = 3 * Math.min(255, Math.max(0, Math.floor((v - low) * scale)));
        out[j] = table[k]; out[j + 1] = table[k + 1]; out[j + 2] = table[k + 2];
      } else [out[j], out[j + 1], out[j + 2]] = grey;
      out[j + 3] = 255;
    }
    ramp(table);
    $("low").textContent = numberText(low);
    $("high").textContent = numberText(high);
  }
  pen.putImageData(image, 0, 0);
}

function ramp(table) {
  const pen = $("ramp").getContext("2d"), image = pen.createImageData(1, 256);
  for (let k = 0; k < 256; k++) for (let c = 0; c < 4; c++) image.data[4 * (255 - k) + c] = c < 3 ? table[3 * k + c] : 255;
  pen.putImageData(image, 0, 0);
}

function point(event) {
  if (!shown || state.space.length === 1) return;
  const box = $("picture").getBoundingClientRect(), { head, values } = shown, [right, up] = axesShown();
  const u = (event.clientX - box.left) / box.width, v = (event.clientY - box.top) / box.height;
  if (u < 0 || u >= 1 || v < 0 || v >= 1) return;
  const at = Math.floor(v * head.rows) * head.columns + Math.floor(u * head.columns);
  const x = numberText(right.low + u * (right.high - right.low)), y = numberText(up.high - v * (up.high - up.low));
  const value = head.kind === "values" ? `${fieldName()} = ${Number.isFinite(values[at]) ? numberText(values[at]) : "not finite"} at ` : "";
  $("pointed").textContent = `${value}${right.name} ${x}, ${up.name} ${y}`;
}

// ---- curves

function drawCurves(now) {
  for (const box of $("curves").children) {
    const panel = box.panel, canvas = box.querySelector("canvas"), [logX, logY] = logs.get(panel.label) || panel.log;
    plot(canvas, panel.lines, { logX, logY, xLabel: state.clock ? `time (${state.clock})` : "time", now });
  }
}

function curveBox(panel) {
  const box = document.createElement("div"), head = document.createElement("h3"), canvas = document.createElement("canvas");
  box.className = "curve";
  box.panel = panel;
  const name = document.createElement("b"), switches = document.createElement("span");
  name.textContent = panel.label;
  ["log x", "log y"].forEach((text, k) => {
    const label = document.createElement("label"), check = document.createElement("input");
    check.type = "checkbox";
    check.checked = (logs.get(panel.label) || panel.log)[k];
    check.addEventListener("change", () => {
      const now = [...(logs.get(panel.label) || panel.log)];
      now[k] = check.checked;
      logs.set(panel.label, now);
      drawCurves(shown ? shown.head.time : null);
    });
    label.append(check, ` ${text}`);
    switches.append(label);
  });
  head.append(name, switches);
  canvas.setAttribute("role", "img");
  const last = panel.lines.map((l) => `${l.name || panel.label} ${numberText(l.y[l.y.length - 1])}`).join(", ");
  canvas.setAttribute("aria-label", `${panel.label} over time; last: ${last}`);
  box.append(head, canvas);
  if (panel.lines.length > 1 || panel.lines[0].name || panel.more) {
    const legend = document.createElement("ul");
    legend.className = "legend";
    panel.lines.forEach((line, k) => {
      const item = document.createElement("li"), svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const stroke = document.createElementNS(svg.namespaceURI, "line");
      for (const [key, value] of Object.entries({ x1: 0, x2: 28, y1: 7, y2: 7, stroke: lineColor(k), "stroke-width": 3, "stroke-dasharray": line.dashed ? "6 3" : "none" })) stroke.setAttribute(key, value);
      svg.setAttribute("viewBox", "0 0 28 14");
      svg.setAttribute("aria-hidden", "true");
      svg.append(stroke);
      item.append(svg, line.name || panel.label);
      legend.append(item);
    });
    if (panel.more) legend.append(Object.assign(document.createElement("li"), { textContent: `and ${panel.more} more` }));
    box.append(legend);
  }
  return box;
}

// ---- what is told

function facts(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value]) => {
    const box = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    box.append(dt, dd);
    return box;
  }));
}

function badge(target, [kind, text]) {
  target.className = `badge ${kind}`;
  target.textContent = text;
}

function arrange() {
  document.title = `${state.folder} · phasefield`;
  $("name").textContent = state.folder;
  $("up").hidden = !RUN;
  $("sweep").hidden = state.kind !== "sweep";
  if (state.kind === "sweep") return members();
  badge($("standing"), state.standing);
  $("title").textContent = [state.title, state.energy && `f = ${state.energy}`].filter(Boolean).join(" · ");
  $("run").hidden = !state.fields.length;
  if (!state.fields.length) return trouble("There is no snapshot yet; it is shown when it comes.");
  trouble((state.warnings || []).join(" "));
  fill($("field"), state.fields.map((f) => [f.name, f.label]));
  parts();
  $("plane").hidden = state.space.length !== 3;
  $("range").options[0].disabled = !field().ranges.length;
  if (!field().ranges.length && $("range").value === "run") $("range").value = "picture";
  const slider = $("index"), last = state.times.length - 1, follows = +slider.value === +slider.max;
  slider.max = last;
  if (follows) slider.value = last;
  facts($("facts"), state.facts);
  facts($("properties"), state.properties);
  $("properties-head").hidden = !state.properties.length;
  $("curves").replaceChildren(...state.curves.map(curveBox));
  showChosen();
}

function parts() {
  const f = field();
  $("part-label").hidden = !f.parts.length;
  fill($("part"), f.parts.length ? [["", state.space.length > 1 ? "all: map of the largest" : "—"], ...f.parts.map((p) => [p, p])] : [["", ""]]);
  if (!f.parts.length) $("part").value = "";
  else if (state.space.length === 1 && !$("part").value) $("part").value = f.parts[0];
  const map = isMap();
  for (const id of ["map", "range"]) $(id).parentElement.hidden = map || state.space.length === 1;
  for (const label of document.querySelectorAll(".fixed")) label.hidden = map || $("range").value !== "fixed" || state.space.length === 1;
}

function members() {
  badge($("standing"), ["", `sweep of ${state.members.length} runs`]);
  $("members").replaceChildren(...state.members.map((m) => {
    const row = document.createElement("tr"), link = document.createElement("a"), mark = document.createElement("span");
    link.href = `?run=${encodeURIComponent(m.name)}`;
    link.textContent = m.name;
    badge(mark, m.standing);
    for (const content of [m.standing[0] === "none" ? m.name : link, m.asked, mark]) {
      const cell = document.createElement("td");
      cell.append(content);
      row.append(cell);
    }
    return row;
  }));
}

// ---- time

async function poll() {
  try {
    if (!document.hidden) {
      const { version } = await json("version");
      if (state === null || version !== state.version) {
        state = await json("state");
        arrange();
      }
    }
  } catch (error) {
    const gone = error instanceof TypeError; // the server does not answer
    trouble(gone ? "phasefield watch has ended; what is shown does not change any more." : error.message);
  }
  setTimeout(poll, POLL);
}

async function play() {
  const slider = $("index");
  if (playing && +slider.value === +slider.max) slider.value = 0;
  while (playing) {
    const began = performance.now();
    await showChosen();
    await new Promise((go) => setTimeout(go, Math.max(10, FRAME - (performance.now() - began))));
    if (!playing) break;
    if (+slider.value >= +slider.max) { setPlaying(false); break; }
    slider.value = +slider.value + 1;
  }
}

function setPlaying(on) {
  if (playing === on) return;
  playing = on;
  $("play").textContent = on ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", String(on));
  if (on) play();
}

// ---- what people do

$("play").addEventListener("click", () => setPlaying(!playing));
$("index").addEventListener("input", () => { setPlaying(false); showChosen(); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !state || state.kind === "sweep") return;
  const on = event.target.tagName;
  if (event.key === " " && !["BUTTON", "SELECT", "INPUT", "A"].includes(on)) { event.preventDefault(); setPlaying(!playing); }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && !["SELECT", "INPUT"].includes(on)) { setPlaying(false); $("index").value = +$("index").value + step; showChosen(); }
});
$("field").addEventListener("change", () => { $("part").value = ""; arrange(); });
$("part").addEventListener("change", () => { parts(); showChosen(); });
for (const id of ["normal", "place"]) $(id).addEventListener("input", showChosen);
for (const id of ["map", "from", "to"]) $(id).addEventListener("input", draw);
$("range").addEventListener("change", () => {
  const fixed = $("range").value === "fixed";
  if (fixed && shown && shown.head.limits && !$("from").value) [$("from").value, $("to").value] = (field().ranges[Math.max(0, field().parts.indexOf($("part").value))] || shown.head.limits).map((v) => +v.toPrecision(4));
  parts();
  draw();
});
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("picture").addEventListener("pointermove", point);
$("picture").addEventListener("pointerdown", point);
$("picture").addEventListener("pointerleave", () => { $("pointed").textContent = ""; });
window.addEventListener("resize", () => { if (state && state.fields) draw(); });
DARK.addEventListener("change", () => { if (state) arrange(); });

(async () => {
  try {
    colors = await json("colors");
    fill($("map"), Object.keys(colors.maps).map((name) => [name, name]));
  } catch (error) { trouble(error.message); }
  poll();
})();
