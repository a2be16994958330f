"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const KINDS = { in: "from peers", out: "to peers", event: "decisions", wish: "application", driver: "driver", timer: "timers" };
const GUTTER = 100;
const state = { zoom: 1, kinds: new Set(Object.keys(KINDS)), peers: new Set(data.columns.map((_, n) => n)), find: "", picked: null };

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";");
const clock = (ns) => (Math.floor(ns / 1e6) / 1e3).toFixed(3) + " s";
const height = () => Math.round(24 * state.zoom);
const lane = () => Math.round(230 * state.zoom);
// Behind the last column there is room for details.
const width = () => GUTTER + lane() * (columns.length + 1) + 300;
const cut = (text, room) => (text.length > room ? text.slice(0, Math.max(room - 1, 1)) + "\u2026" : text);

let rows = [];
let columns = [];

// Which rows and columns are shown.
function choose() {
  const word = state.find.toLowerCase();
  columns = data.columns.map((_, n) => n).filter((n) => state.peers.has(n));
  rows = data.rows.filter((row) => state.kinds.has(row.kind)
    && (row.column === null || state.peers.has(row.column))
    && (word === "" || (row.label + " " + row.detail + " " + row.full).toLowerCase().includes(word)));
  at("tall").style.height = rows.length * height() + 40 + "px";
  at("tall").style.width = at("head").style.width = width() + "px";
  const names = ["us"].concat(columns.map((n) => data.columns[n].name));
  const ids = [data.us].concat(columns.map((n) => data.columns[n].id));
  at("head").innerHTML = names.map((name, n) =>
    `<span style="left:${GUTTER + n * lane()}px;max-width:${lane() - 10}px" title="${escape(ids[n])}">${escape(name)}</span>`).join("");
  draw();
}

// Only what is in sight.
function draw() {
  const view = at("scroll");
  const first = Math.max(0, Math.floor(view.scrollTop / height()) - 10);
  const last = Math.min(rows.length, first + Math.ceil(view.clientHeight / height()) + 20);
  const top = first * height();
  const tall = (last - first) * height() + 20;
  const svg = at("picture");
  svg.style.top = top + "px";
  svg.setAttribute("width", width());
  svg.setAttribute("height", tall);
  let text = "";
  for (let n = 0; n <= columns.length; n++) {
    const x = GUTTER + n * lane();
    text += `<line class="lane" x1="${x}" x2="${x}" y1="0" y2="${tall}"/>`;
  }
  for (let n = first; n < last; n++) text += one(rows[n], n, (n - first) * height() + height() / 2);
  svg.innerHTML = text;
}

function one(row, n, y) {
  const before = n > 0 ? rows[n - 1].at_ns : -1;
  const place = row.column === null ? -1 : columns.indexOf(row.column);
  const arrow = (row.kind === "in" || row.kind === "out") && place >= 0;
  const size = 7.3;
  const classes = ["row", row.kind, row.step === data.differs ? "differs" : "", row === state.picked ? "picked" : ""].join(" ");
  let text = `<g class="${classes}" data-n="${n}"><rect class="hit" x="0" y="${y - height() / 2}" width="${width()}" height="${height()}"/>`;
  if (row.at_ns !== before) text += `<text class="time" x="8" y="${y + 4}">${clock(row.at_ns)}</text>`;
  if (arrow) {
    const near = GUTTER, far = GUTTER + (place + 1) * lane();
    const tip = row.kind === "out" ? far : near, back = row.kind === "out" ? -8 : 8;
    text += `<line x1="${near}" x2="${far}" y1="${y + 5}" y2="${y + 5}" stroke-width="1.3"/>`;
    text += `<path d="M${tip} ${y + 5} l${back} -4 v8 z"/>`;
    const whole = row.detail ? row.label + ": " + row.detail : row.label;
    const room = Math.floor((far - near - 24) / size);
    const fits = whole.length <= room;
    const label = fits ? whole : cut(row.label, room);
    if (!fits) {
      const beside = cut(row.detail, Math.floor((width() - far - 20) / size));
      text += `<text class="detail" x="${far + 12}" y="${y + 4}">${escape(beside)}</text>`;
    }
    text += `<text class="label" x="${(near + far) / 2}" y="${y + 1}" text-anchor="middle">${escape(label)}</text>`;
  } else {
    const room = Math.floor((width() - GUTTER - 24) / size);
    text += `<circle cx="${GUTTER}" cy="${y}" r="4"/>`;
    text += `<text x="${GUTTER + 12}" y="${y + 4}"><tspan class="label">${escape(row.label)}</tspan>`;
    const left = room - row.label.length - 2;
    if (row.detail && left > 3) text += `<tspan class="detail">  ${escape(cut(row.detail, left))}</tspan>`;
    text += "</text>";
  }
  return text + "</g>";
}

function show(row) {
  const card = at("card");
  card.hidden = row === null;
  if (row === null) return;
  const who = row.column === null ? "" : `<p>${escape(data.columns[row.column].id)}</p>`;
  card.innerHTML = `<h2>${escape(row.label)}</h2><p>step ${row.step}, ${(row.at_ns / 1e9).toFixed(9)} s, ${KINDS[row.kind]}</p>`
    + `<p>${escape(row.detail)}</p>${who}<pre>${escape(row.full)}</pre>`;
}

function zoom(by) {
  const view = at("scroll");
  const row = view.scrollTop / height();
  state.zoom = Math.min(3, Math.max(0.5, state.zoom * by));
  choose();
  view.scrollTop = row * height();
}

function boxes(where, all, set) {
  at(where).innerHTML = all.map(([key, name, title]) =>
    `<label title="${escape(title)}"><input type="checkbox" data-key="${escape(key)}" checked> ${escape(name)}</label> `).join("");
  at(where).addEventListener("change", (event) => {
    const key = event.target.dataset.key;
    const value = where === "peers" ? Number(key) : key;
    if (event.target.checked) set.add(value); else set.delete(value);
    choose();
  });
}

const about = at("about");
about.textContent = `${data.us}, ${data.steps} steps, recorded by tidewire-host ${data.version}; `
  + (data.differs === null ? "replayed identically; " : `step ${data.differs} is the first that is not as it was recorded; `) + data.ending;
about.classList.toggle("bad", data.differs !== null);
boxes("kinds", Object.entries(KINDS).map(([key, name]) => [key, name, name]), state.kinds);
boxes("peers", data.columns.map((column, n) => [n, column.name, column.id]), state.peers);
at("find").addEventListener("input", (event) => { state.find = event.target.value; choose(); });
at("in").addEventListener("click", () => zoom(1.2));
at("out").addEventListener("click", () => zoom(1 / 1.2));
at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.classList.contains("dark") || (!root.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
  root.classList.toggle("dark", !dark);
  root.classList.toggle("light", dark);
});
at("scroll").addEventListener("scroll", draw, { passive: true });
at("scroll").addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
}, { passive: false });
at("picture").addEventListener("mouseover", (event) => {
  const group = event.target.closest("[data-n]");
  if (group && state.picked === null) show(rows[Number(group.dataset.n)]);
});
at("picture").addEventListener("mouseleave", () => { if (state.picked === null) show(null); });
at("picture").addEventListener("click", (event) => {
  const group = event.target.closest("[data-n]");
  const row = group ? rows[Number(group.dataset.n)] : null;
  state.picked = row === state.picked ? null : row;
  show(state.picked);
  draw();
});
addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT") return;
  if (event.key === "+") zoom(1.2);
  if (event.key === "-") zoom(1 / 1.2);
  if (event.key === "Escape") { state.picked = null; show(null); draw(); }
});
addEventListener("resize", draw);
choose();
