"use strict";
(function () {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  // pages opened as files may be denied any storage: then nothing is remembered
  const remember = (key, value) => { try { sessionStorage.setItem(key, value); } catch (e) { /* denied */ } };
  const recall = (key) => { try { return sessionStorage.getItem(key); } catch (e) { return null; } };
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";

  const figures = [];
  for (const element of document.querySelectorAll("script[data-figure]")) {
    figures.push({ at: document.getElementById(element.dataset.figure), spec: JSON.parse(element.textContent) });
  }

  function recoloured(value, dark) {
    if (typeof value === "string") return dark[value] || value;
    if (Array.isArray(value)) return value.map((part) => recoloured(part, dark));
    if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
      const made = {};
      for (const key of Object.keys(value)) {
        // only colours change: arrays in binary form and texts stay what they are
        made[key] = key === "bdata" || key === "text" || key === "name" ? value[key] : recoloured(value[key], dark);
      }
      return made;
    }
    return value;
  }

  function themed(spec, at) {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const dark = isDark() ? (spec.layout.meta || {}).dark || {} : {};
    const layout = JSON.parse(JSON.stringify(spec.layout));
    layout.font = Object.assign({}, layout.font, { color: colour("--ink") });
    layout.hoverlabel = { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } };
    for (const axis of ["xaxis", "yaxis"]) {
      layout[axis] = Object.assign({}, layout[axis], { gridcolor: colour("--line"), linecolor: colour("--soft"), tickcolor: colour("--soft") });
    }
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") };
    const narrow = at.clientWidth < 500;
    if (narrow) {
      layout.font.size = 11;
      layout.margin = Object.assign({}, layout.margin, { l: 48, r: 4, t: 8 });
    }
    const data = spec.data.map((trace) => recoloured(trace, dark));
    // the legend stands below the axis, in as many rows as the width makes it
    const named = data.filter((trace) => trace.name && trace.showlegend !== false);
    const letter = narrow ? 6.2 : 7, room = Math.floor((at.clientWidth - 60) / letter);
    for (const trace of named) trace.name = shortened(trace.name, room);
    const entry = 50 + letter * Math.max(1, ...named.map((trace) => raw(trace.name).length));
    const rows = Math.ceil(named.length / Math.max(1, Math.floor(at.clientWidth / entry)));
    layout.legend = Object.assign({}, layout.legend, { xref: "container", x: 0, entrywidth: entry - 42, entrywidthmode: "pixels" });
    layout.margin = Object.assign({}, layout.margin, { b: 62 + 20 * rows });
    layout.height = spec.layout.height + 20 * rows;
    at.style.height = layout.height + "px";
    return { data: data, layout: layout };
  }

  const raw = (name) => name.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  const escaped = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  // names of files differ at either end, so what is too long loses its middle
  function shortened(name, room) {
    const whole = raw(name), side = Math.max(4, Math.floor((room - 1) / 2));
    return whole.length <= room ? name : escaped(whole.slice(0, side) + "…" + whole.slice(-side));
  }

  const config = () => ({
    displaylogo: false,
    displayModeBar: window.innerWidth < 500 ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    toImageButtonOptions: { format: "svg" },
  });
  // the library is packed; unpacked it is a script that the page's policy allows by its hash
  async function unpack() {
    const packed = atob(document.getElementById("plotly-packed").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }
  function apologize() {
    for (const figure of figures) {
      figure.at.textContent = "This browser cannot draw the figure (one of 2023 or newer can); its numbers are in the table.";
    }
  }

  function draw(figure) {
    if (!window.Plotly) return Promise.resolve();
    const now = themed(figure.spec, figure.at);
    return Plotly.react(figure.at, now.data, now.layout, config()).then(() => {
      // read aloud are the figure's title, its explanation and its table, not the letters on its axes
      // (one more stands in the body: Plotly measures text with it)
      for (const svg of [...figure.at.querySelectorAll("svg"), ...document.querySelectorAll("#js-plotly-tester")]) {
        svg.setAttribute("aria-hidden", "true");
      }
      if (figure === figures[0]) performance.mark("first figure");
    });
  }
  // one figure per task, so that the page answers while they are drawn
  let queue = unpack().catch(apologize);
  function drawAll() {
    for (const figure of figures) {
      queue = queue.then(() => new Promise((done) => setTimeout(done, 0))).then(() => draw(figure));
    }
    return queue;
  }

  let width = window.innerWidth, resized = 0;
  window.addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => {
      if (window.innerWidth !== width) { width = window.innerWidth; drawAll(); }
    }, 150);
  });

  const button = document.getElementById("theme");
  function setTheme(theme) {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    button.setAttribute("aria-pressed", String(isDark()));
    drawAll();
  }
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    remember("theme", theme);
    setTheme(theme);
  });
  system.addEventListener("change", () => setTheme(root.dataset.theme));

  for (const gallery of document.querySelectorAll("ul.gallery")) {
    const buttons = document.querySelectorAll('button[data-sorts="' + gallery.id + '"]');
    const said = document.getElementById(gallery.id + "-said");
    const sort = (chosen) => {
      const key = chosen.dataset.key, sign = chosen.dataset.order === "down" ? -1 : 1;
      const items = Array.from(gallery.children);
      items.sort((a, b) => sign * (Number(a.dataset[key]) - Number(b.dataset[key])) || a.dataset.example - b.dataset.example);
      gallery.append(...items);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === chosen));
      said.textContent = "Sorted: " + chosen.textContent;
      remember("sort-" + gallery.id, key);
    };
    for (const one of buttons) {
      one.addEventListener("click", () => sort(one));
      if (recall("sort-" + gallery.id) === one.dataset.key) sort(one);
    }
  }

  const seconds = Number(document.body.dataset.reload);
  if (seconds > 0) {
    const pause = document.getElementById("pause");
    pause.addEventListener("click", () => pause.setAttribute("aria-pressed", String(pause.getAttribute("aria-pressed") !== "true")));
    setInterval(() => {
      if (pause.getAttribute("aria-pressed") !== "true" && !document.hidden) location.reload();
    }, 1000 * seconds);
  }

  if (recall("theme")) root.dataset.theme = recall("theme");
  button.setAttribute("aria-pressed", String(isDark()));
  drawAll().then(() => {
    performance.mark("last figure");
    root.dataset.drawn = String(figures.length);
  });
})();
