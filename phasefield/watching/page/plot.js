"use strict";
// Curves on a canvas: linear and logarithmic axes with round ticks. No state; `plot` draws what it is given.

// Okabe & Ito (2008), readable with any colour vision; on a dark ground the light blue comes first.
const DARK = window.matchMedia("(prefers-color-scheme: dark)");

function lineColor(k) {
  const [first, last] = DARK.matches ? ["#56b4e9", "#0072b2"] : ["#0072b2", "#56b4e9"];
  return [first, "#d55e00", "#009e73", "#cc79a7", "#e69f00", last, "#7d7d7d"][k % 7];
}

function numberText(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") : String(+value.toPrecision(4));
  return text.replace("-", "−");
}

// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
function linearTicks(low, high, count) {
  const raw = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw * 0.999) || 10 * power;
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(+(k * step).toPrecision(12));
  return ticks;
}

function logTicks(low, high, count) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) {
    const between = [];
    for (let p = first - 1; p <= last; p++) for (const m of [1, 2, 5]) if (m * 10 ** p >= low && m * 10 ** p <= high) between.push(+(m * 10 ** p).toPrecision(3));
    return between.length ? between : linearTicks(low, high, count);
  }
  const every = Math.ceil((last - first + 1) / Math.max(2, count)), ticks = [];
  for (let p = first; p <= last; p += every) ticks.push(+(10 ** p).toPrecision(3));
  return ticks;
}

function extent(values, log) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (v !== null && (!log || v > 0)) { if (v < low) low = v; if (v > high) high = v; }
  if (low > high) return log ? [1, 10] : [0, 1];
  if (log) return low === high ? [low / 2, high * 2] : [low, high];
  const scale = Math.max(Math.abs(low), Math.abs(high));
  if (high - low <= 1e-9 * scale || scale === 0) { const m = 0.05 * scale || 1; return [low - m, high + m]; }
  const margin = 0.04 * (high - low);
  return [low - margin, high + margin];
}

// Draws lines [{x, y, dashed}] on a canvas; `now` is marked by an upright line, unless it is null.
function plot(canvas, lines, { logX = false, logY = false, xLabel = "", now = null } = {}) {
  const style = getComputedStyle(document.documentElement), ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  const all = (key) => lines.flatMap((line) => line[key]);
  let [left, right] = extent(all("x"), logX);
  if (!logX && lines.length) { const raw = all("x").filter((v) => v !== null); if (raw.length > 1) { left = Math.min(...raw); right = Math.max(...raw); } if (left === right) right = left + 1; }
  const [low, high] = extent(all("y"), logY);
  const yTicks = (logY ? logTicks : linearTicks)(low, high, height / 45);
  const texts = yTicks.map(numberText);
  const box = { left: 8 + Math.max(...texts.map((t) => pen.measureText(t).width), 10), right: width - 10, top: 8, bottom: height - 34 };
  const place = (v, a, b, log) => (log ? Math.log(v / a) / Math.log(b / a) : (v - a) / (b - a));
  const toX = (v) => box.left + (box.right - box.left) * place(v, left, right, logX);
  const toY = (v) => box.bottom - (box.bottom - box.top) * place(v, low, high, logY);
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.fillStyle = style.getPropertyValue("--dim");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  yTicks.forEach((t, k) => {
    const y = Math.round(toY(t)) + 0.5;
    pen.beginPath(); pen.moveTo(box.left, y); pen.lineTo(box.right, y); pen.stroke();
    pen.fillText(texts[k], box.left - 5, y);
  });
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const t of (logX ? logTicks : linearTicks)(left, right, (box.right - box.left) / 80)) {
    const x = Math.round(toX(t)) + 0.5;
    pen.beginPath(); pen.moveTo(x, box.bottom); pen.lineTo(x, box.bottom + 4); pen.stroke();
    pen.fillText(numberText(t), Math.min(x, width - pen.measureText(numberText(t)).width / 2 - 1), box.bottom + 6);
  }
  pen.fillText(xLabel, (box.left + box.right) / 2, height - 13);
  pen.beginPath(); pen.moveTo(box.left, box.bottom + 0.5); pen.lineTo(box.right, box.bottom + 0.5); pen.stroke();
  pen.save();
  pen.beginPath(); pen.rect(box.left - 2, box.top - 3, box.right - box.left + 4, box.bottom - box.top + 6); pen.clip();
  if (now !== null && (!logX || now > 0)) {
    pen.strokeStyle = style.getPropertyValue("--dim");
    pen.setLineDash([2, 3]);
    pen.beginPath(); pen.moveTo(toX(now), box.top); pen.lineTo(toX(now), box.bottom); pen.stroke();
  }
  pen.lineWidth = 1.6;
  lines.forEach((line, k) => {
    pen.strokeStyle = pen.fillStyle = lineColor(k);
    pen.setLineDash(line.dashed ? [5, 3] : []);
    pen.beginPath();
    let drawing = false;
    line.x.forEach((x, i) => {
      const y = line.y[i];
      const shown = x !== null && y !== null && (!logX || x > 0) && (!logY || y > 0);
      if (shown) { if (drawing) pen.lineTo(toX(x), toY(y)); else pen.moveTo(toX(x), toY(y)); }
      drawing = shown;
    });
    pen.stroke();
    if (line.x.length <= 12) line.x.forEach((x, i) => {
      if (x !== null && line.y[i] !== null && (!logX || x > 0) && (!logY || line.y[i] > 0)) { pen.beginPath(); pen.arc(toX(x), toY(line.y[i]), 2.4, 0, 7); pen.fill(); }
    });
  });
  pen.restore();
}
