// The only script of the pages. The server renders everything; this replaces parts of it when the live feed says so.
// What comes from the server is HTML that its templates escaped; nothing is put together from texts here.
const page = document.documentElement.dataset.page;
const FEED = "/api/v1/feed";
const SHOWN_MAX = 200;
const CHARTS_MS = 4000;

const link = document.getElementById("link");
const linkWords = document.getElementById("link-words");
let lostSince = null;

function tell(state) {
  if (state === "live") lostSince = null;
  else if (state === "lost" && lostSince === null) lostSince = new Date();
  const words = {
    opening: "connecting…",
    live: "live",
    lost: `connection lost ${lostSince ? ago(lostSince) : ""}; trying again`.replace("lost now", "lost"),
  }[state];
  link.dataset.link = state;
  if (linkWords.textContent !== words) linkWords.textContent = words;
}

function ago(date) {
  const seconds = (Date.now() - date.getTime()) / 1000;
  if (seconds < 5) return "now";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit} ago`;
  return `${Math.floor(seconds)} s ago`;
}

function showAges() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    if (time.closest(".since")) continue; // a sentence has the time of day
    const words = ago(new Date(time.dateTime));
    if (time.textContent !== words) time.textContent = words;
  }
  if (lostSince) tell("lost");
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

async function fetched(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" }, redirect: "manual" });
  if (answer.status === 401 || answer.type === "opaqueredirect") location.reload(); // the session has ended
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer;
}

// Replaces the element, and gives the focus back to what had it.
async function refresh(id, url) {
  const fresh = parsed(await (await fetched(url)).text()).firstElementChild;
  const old = document.getElementById(id);
  const had = old.contains(document.activeElement) ? document.activeElement : null;
  if (had instanceof HTMLInputElement) return; // somebody types
  const href = had?.getAttribute("href");
  old.replaceWith(fresh);
  if (href) [...fresh.querySelectorAll("a")].find((a) => a.getAttribute("href") === href)?.focus({ preventScroll: true });
  showAges();
}

// Runs `work` now, or once when `ms` have passed since it ran last; never twice at a time.
function atMost(ms, work) {
  let last = -Infinity, waiting = null, busy = false;
  return function run() {
    if (waiting) return;
    waiting = setTimeout(async () => {
      if (busy) { waiting = null; return run(); }
      waiting = null; busy = true; last = performance.now();
      try { await work(); } catch { /* the feed tells when it is back, and everything is fetched again */ }
      busy = false;
    }, Math.max(busy ? 100 : 0, last + ms - performance.now()));
  };
}

function listen(url, handlers) {
  let source = null, position = null;
  const open = () => {
    const resumed = new URL(url, location.href);
    if (position) resumed.searchParams.set("after", position);
    source = new EventSource(resumed);
    source.onopen = () => tell("live");
    source.onerror = () => {
      tell("lost");
      if (source.readyState === EventSource.CLOSED) setTimeout(retry, 2000); // an answer that was no feed
    };
    for (const [name, handler] of Object.entries(handlers))
      source.addEventListener(name, (event) => { position = event.lastEventId || position; tell("live"); handler(event); });
  };
  const retry = async () => {
    try { await fetched(location.href); open(); } catch { setTimeout(retry, 3000); }
  };
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
}

function fleetPage() {
  const update = atMost(1000, () => refresh("fleet", `/parts/fleet${location.search}`));
  listen(FEED, { fleet: update });
}

function brainPage() {
  const feed = document.getElementById("feed");
  const brain = feed.dataset.brain;
  const named = encodeURIComponent(brain);
  const state = atMost(1000, () => refresh("brain", `/parts/brain?id=${named}`));
  const charts = atMost(CHARTS_MS, () => drawCharts(named));
  charts();
  let drawn = document.documentElement.clientWidth;
  addEventListener("resize", () => {
    if (document.documentElement.clientWidth !== drawn) { drawn = document.documentElement.clientWidth; charts(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts);
  listen(`${FEED}?brain=${named}&type=CORRECTION&form=page&after=${feed.dataset.after}`, {
    ready: () => {},
    state,
    event: (event) => {
      if ("older" in feed.dataset) return charts(); // a page of the past stands still
      const fresh = parsed(JSON.parse(event.data)).firstElementChild;
      if (document.getElementById(fresh.id)) return;
      fresh.classList.add("fresh");
      feed.prepend(fresh);
      while (feed.children.length > SHOWN_MAX) feed.lastElementChild.remove();
      document.getElementById("feed-note").textContent = "Newest first. New ones appear by themselves.";
      showAges();
      charts();
    },
  });
}

// ---------------------------------------------------------------- charts

const plots = new Map();

async function drawCharts(named) {
  let found;
  try {
    found = await (await fetched(`/api/v1/charts?brain=${named}`)).json();
  } catch (error) {
    for (const id of ["chart-days", "chart-lag", "bars-category", "bars-severity"])
      if (!plots.has(id)) note(id, "Not available now; it is tried again with the next news.");
    throw error;
  }
  const sum = found.total.reduce((a, b) => a + b, 0);
  const days = found.days.map((day) => Date.parse(day) / 1000);
  if (sum) {
    const most = Math.max(...found.total);
    draw("chart-days", [days, found.total], `${sum} corrections in thirty days, at most ${most} a day`, {
      kind: "bars", axis: (value) => (Number.isInteger(value) ? value.toLocaleString("en") : ""), day: true,
    });
  } else note("chart-days", "No corrections in the last thirty days.");
  if (found.lags.length > 1) {
    const lags = found.lags.map((pair) => pair[1]);
    const middle = [...lags].sort((a, b) => a - b)[Math.floor(lags.length / 2)];
    const places = lags.map((_, place) => place + 1 - lags.length);
    draw("chart-lag", [places, lags.map((lag) => Math.max(lag, 0.001))], `Lag of the last ${lags.length} corrections, median ${duration(middle)}`, {
      kind: "line", axis: duration, day: false,
    });
  } else note("chart-lag", "Too few corrections that name their time.");
  bars("bars-category", found.categories);
  bars("bars-severity", found.severities);
}

// Lags differ by many orders: a logarithmic scale, whose marks are durations that people say.
const MARKS = [0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 86400, 864000, 8640000, 31536000];
const around = (low, high) => [MARKS.findLast((mark) => mark <= low) ?? 0.001, MARKS.find((mark) => mark >= high) ?? high];
const within = (low, high) => MARKS.filter((mark) => mark >= low && mark <= high);

function duration(seconds) {
  if (seconds < 1) return `${+(seconds * 1000).toPrecision(2)} ms`;
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= size) return `${Math.round(seconds / size)} ${unit}`;
  return `${+seconds.toPrecision(2)} s`;
}

function note(id, words) {
  plots.delete(id);
  const place = document.getElementById(id);
  const line = document.createElement(place.tagName === "UL" ? "li" : "p");
  line.className = "dim";
  line.textContent = words;
  place.replaceChildren(line);
  if (place.tagName !== "UL") place.setAttribute("aria-label", words);
}

function draw(id, data, label, how) {
  const place = document.getElementById(id);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const accent = colour("--accent");
  const axis = { stroke: colour("--dim"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: colour("--line"), width: 1 };
  plots.get(id)?.destroy();
  place.replaceChildren();
  place.setAttribute("aria-label", label);
  const uPlot = globalThis.uPlot;
  plots.set(id, new uPlot({
    width: place.clientWidth, height: 180, legend: { show: false }, cursor: { show: false }, padding: [8, 24, 0, 0],
    tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "UTC"),
    scales: {
      x: how.day ? { time: true, range: (_, low, high) => [low - 43200, high + 43200] } : { time: false },
      y: how.kind === "bars" ? { range: (_, __, high) => [0, Math.max(high * 1.1, 1)] } : { distr: 3, range: (_, low, high) => around(low, high) },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 28, values: how.day ? "{D} {MMM}" : (_, ticks) => ticks.map((t) => (Number.isInteger(t) ? (t === 0 ? "newest" : t) : "")) },
      { ...axis, grid, ...(how.kind === "bars" ? { size: 40 } : { size: 56, splits: (_, __, low, high) => within(low, high), filter: (_, splits) => splits }), values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : how.axis(tick))) },
    ],
    series: [{}, how.kind === "bars"
      ? { fill: accent, stroke: accent, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 28], radius: 0.2 }) }
      : { stroke: accent, width: 1.5, points: { show: data[0].length < 60, size: 5, fill: accent } }],
  }, data, place));
}

function bars(id, rows) {
  if (!rows.length) return note(id, "Nothing to show yet.");
  const most = Math.max(...rows.map((row) => row.total));
  document.getElementById(id).replaceChildren(...rows.map((row) => {
    const line = document.createElement("li");
    line.className = "bar-row";
    const label = document.createElement("span"), count = document.createElement("span");
    const bar = document.createElement("progress");
    label.className = "label"; label.textContent = label.title = row.name;
    bar.max = most; bar.value = row.total; bar.setAttribute("aria-label", `${row.name}: ${row.total}`);
    count.className = "count"; count.textContent = row.total.toLocaleString("en");
    line.append(label, bar, count);
    return line;
  }));
}

showAges();
setInterval(showAges, 1000);
if (link) tell("opening");
if (page === "fleet") fleetPage();
else if (page === "brain") addEventListener("DOMContentLoaded", brainPage, { once: true });
