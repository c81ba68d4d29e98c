"use strict";
// The page's own script. Whatever comes from a run is text: it is put into the page by textContent alone.
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, words, className) => {
    const found = document.createElement(tag);
    if (words !== undefined) found.textContent = words;
    if (className) found.className = className;
    return found;
  };
  const data = (id) => JSON.parse($(id).textContent);
  const facts = data("facts");

  // What the reader has chosen outlives a reload. Without storage (some browsers give none to files) it does not.
  const kept = (() => {
    const name = `page ${location.pathname}`; // of files, all pages share one storage
    let all = {};
    try { all = JSON.parse(sessionStorage.getItem(name) || "{}") || {}; } catch { all = {}; }
    return {
      get: (what, otherwise) => (what in all ? all[what] : otherwise),
      set: (what, value) => {
        all[what] = value;
        try { sessionStorage.setItem(name, JSON.stringify(all)); } catch { /* kept in this page alone */ }
      },
    };
  })();

  // ---- tables -----------------------------------------------------------------------------------------------------------

  const sortValue = (cell) => {
    const text = cell.dataset.v ?? cell.textContent.trim();
    if (text === "" || text === "-") return null;
    // "68.1 [61.2, 74.0]" and "12,340k" are sorted by the number that they begin with.
    const number = /^([-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)(k?)(?![\w.])/.exec(text);
    return number ? Number(number[1].replaceAll(",", "")) * (number[2] ? 1000 : 1) : text;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  const sort = (table, column, up) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [sortValue(row.cells[column]), row]);
    const known = rows.filter(([value]) => value !== null).sort((a, b) => (up ? 1 : -1) * compare(a[0], b[0]));
    const unknown = rows.filter(([value]) => value === null); // last, whichever way
    body.append(...[...known, ...unknown].map(([, row]) => row));
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  };
  document.querySelectorAll("table.sortable").forEach((table, number) => {
    const chosen = kept.get(`sort${number}`);
    if (chosen) sort(table, ...chosen);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.tabIndex = 0;
      const act = () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        sort(table, column, up);
        kept.set(`sort${number}`, [column, up]);
      };
      head.addEventListener("click", act);
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") act(); });
    });
  });

  // ---- a note beside the pointer ------------------------------------------------------------------------------------------

  const tip = make("div", "", "tip");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const showTip = (words, event) => {
    tip.textContent = words;
    tip.hidden = false;
    const right = event.clientX + 14 + tip.offsetWidth > innerWidth;
    tip.style.left = `${Math.max(0, event.clientX + (right ? -14 - tip.offsetWidth : 14))}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight)}px`;
  };
  const hideTip = () => { tip.hidden = true; };

  // ---- curves -------------------------------------------------------------------------------------------------------------

  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#332288", "#999933", "#44AA99",
    "#AA4499", "#117733", "#661100", "#767676"];
  const curves = $("curves") ? data("curves") : { runs: [], charts: [] };
  const labels = [...new Set(curves.runs.map((run) => run.label))];
  const colourOf = (label) => COLOURS[labels.indexOf(label) % COLOURS.length];
  const hidden = new Set(kept.get("hidden", []));
  const drawn = [];
  const shortly = (value) => {
    if (value === null || value === undefined) return "-";
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  };
  const nameOf = (run) => `${run.label}${run.seed === "" ? "" : `, seed ${run.seed}`}`;

  const nearest = (plot, chart) => {
    const { idx, top } = plot.cursor;
    if (idx === null || idx === undefined) return null;
    let best = null;
    chart.y.forEach((values, place) => {
      // A run that was not measured at this step is met at its last step before it.
      let at = idx;
      while (at >= 0 && values[at] === null) at -= 1;
      if (at < 0 || idx - at > 3 || !plot.series[place + 1].show) return;
      const away = Math.abs(plot.valToPos(values[at], "y") - top);
      if (best === null || away < best.away) best = { away, place, at };
    });
    return best;
  };
  const draw = (holder, chart) => {
    const width = () => Math.max(240, holder.clientWidth);
    const plot = new uPlot({
      width: width(),
      height: 220,
      title: chart.title,
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, points: { show: curves.runs.length <= 12 } },
      scales: { x: { time: false }, y: chart.log ? { distr: 3 } : {} },
      axes: [{ size: 34 }, { size: 62, values: (self, ticks) => ticks.map((tick) => (tick === null ? "" : shortly(tick))) }],
      series: [{}, ...curves.runs.map((run) => ({
        label: nameOf(run),
        stroke: colourOf(run.label),
        width: 1.3,
        spanGaps: true,
        show: !hidden.has(run.label),
        points: { show: chart.x.length < 3 },
      }))],
    }, [chart.x, ...chart.y], holder);
    plot.over.addEventListener("mousemove", (event) => {
      const best = nearest(plot, chart);
      if (!best) return hideTip();
      showTip(`${nameOf(curves.runs[best.place])}\nstep ${chart.x[best.at]}: ${shortly(chart.y[best.place][best.at])}`, event);
    });
    plot.over.addEventListener("mouseleave", hideTip);
    addEventListener("resize", () => plot.setSize({ width: width(), height: 220 }));
    drawn.push(plot);
  };
  const key = () => {
    const holder = $("key");
    for (const label of labels) {
      const button = make("button", label);
      const mark = make("span", "", "swatch");
      mark.style.background = colourOf(label);
      button.prepend(mark);
      const show = () => button.setAttribute("aria-pressed", String(!hidden.has(label)));
      button.addEventListener("click", () => {
        if (!hidden.delete(label)) hidden.add(label);
        kept.set("hidden", [...hidden]);
        for (const plot of drawn) {
          plot.batch(() => curves.runs.forEach((run, place) => {
            if (run.label === label) plot.setSeries(place + 1, { show: !hidden.has(label) });
          }));
        }
        show();
      });
      show();
      holder.append(button);
    }
  };
  const drawAll = () => {
    if (!$("charts")) return;
    key();
    const more = $("more");
    for (const chart of curves.charts) {
      const holder = make("div", undefined, "chart");
      (chart.more ? more.lastElementChild : $("charts")).append(holder);
      if (!chart.more) draw(holder, chart);
      else more.addEventListener("toggle", () => draw(holder, chart), { once: true });
    }
    more.hidden = !curves.charts.some((chart) => chart.more);
  };

  // ---- responses ------------------------------------------------------------------------------------------------------------

  const PER_PAGE = 10;
  const blocks = [...document.querySelectorAll("script.samples")];
  const parsed = [];
  const block = (place) => (parsed[place] ??= JSON.parse(blocks[place].textContent));
  const choice = (id) => $(id).value;
  const textOf = (sample) => [sample.i, sample.p, sample.x, sample.a, sample.t ? sample.t.join("") : ""].join("\n").toLowerCase();
  // Text that a reader would take for something else is shown by its number: what reorders or hides characters, and controls.
  const visible = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

  const matching = (wanted, from, count) => {
    // Blocks are read until the page is full; where nothing is asked, the ones before it are skipped unread.
    const { run, place, verdict, words } = wanted;
    const all = run === "" && place === "" && verdict === "" && words === "";
    if (all) {
      const found = [];
      for (let at = from; at < Math.min(from + count, facts.samples); at += 1) {
        found.push(block(Math.floor(at / facts.block))[at % facts.block]);
      }
      return { found, total: facts.samples };
    }
    const found = [];
    let total = 0;
    for (let number = 0; number < blocks.length; number += 1) {
      for (const sample of block(number)) {
        if (run !== "" && String(sample.c) !== run) continue;
        if (place !== "" && (sample.n ?? String(sample.s)) !== place) continue;
        if (verdict !== "" && sample.v !== verdict) continue;
        if (words !== "" && !textOf(sample).includes(words)) continue;
        if (total >= from && found.length < count) found.push(sample);
        total += 1;
      }
    }
    return { found, total };
  };
  const shade = (value, largest) => {
    if (value === null || !largest) return "";
    const strength = (0.08 + 0.72 * Math.abs(value) / largest).toFixed(3);
    return value === 0 ? "" : value > 0 ? `rgba(0,114,178,${strength})` : `rgba(213,94,0,${strength})`;
  };
  const tokenWords = (sample, place) => {
    const lines = [`token ${place + 1} of ${sample.t.length}: ${JSON.stringify(visible(sample.t[place]))}`];
    for (const [name, values] of Object.entries(sample.k)) lines.push(`${name}: ${shortly(values[place])}`);
    if (sample.l) lines.push(`log-prob: ${shortly(sample.l[place])}`);
    return lines.join("\n");
  };
  const tokensOf = (sample, term) => {
    const holder = make("pre", undefined, "tokens");
    const values = term === "log-prob" ? sample.l : sample.k[term];
    const largest = Math.max(0, ...(values || []).map((value) => Math.abs(value ?? 0)));
    const ends = new Set(sample.e || []);
    sample.t.forEach((token, place) => {
      const span = make("span", visible(token));
      span.dataset.place = place;
      if (values) span.style.background = shade(values[place], largest);
      if (ends.has(place)) span.className = "end";
      holder.append(span);
    });
    holder.addEventListener("mousemove", (event) => {
      const place = event.target.dataset.place;
      if (place === undefined) hideTip();
      else showTip(tokenWords(sample, Number(place)), event);
    });
    holder.addEventListener("mouseleave", hideTip);
    return holder;
  };
  const card = (sample, term) => {
    const holder = make("article");
    const run = facts.runs[sample.c] || { label: "?", seed: "" };
    const where = sample.n !== undefined ? `evaluation ${sample.n}, ${sample.m}` : `step ${sample.s}`;
    const head = make("p", `${nameOf(run)} · ${where} · ${sample.i ?? ""}`, "where");
    head.append(make("span", sample.v ?? "", `verdict ${sample.v === "correct" ? "right" : "wrong"}`));
    const words = [sample.r === undefined || sample.r === null ? "" : `reward ${shortly(sample.r)}`, sample.f ?? ""];
    if (sample.w) words.push(`step rewards ${sample.w.map(shortly).join(" ")}`);
    if (sample.x !== undefined) words.push(`answer ${sample.a ?? "none"}`, `gold ${sample.g ?? ""}`);
    head.append(visible(` ${words.filter(Boolean).join(" · ")}`));
    holder.append(head);
    if (sample.p) holder.append(make("p", visible(sample.p), "prompt"));
    holder.append(sample.t ? tokensOf(sample, term) : make("pre", visible(sample.x ?? ""), "tokens"));
    return holder;
  };
  let from = 0;
  const CHOICES = ["sample-run", "sample-place", "sample-verdict", "sample-words", "sample-term"];
  const showSamples = () => {
    const wanted = {
      run: choice("sample-run"), place: choice("sample-place"), verdict: choice("sample-verdict"),
      words: choice("sample-words").toLowerCase(),
    };
    let { found, total } = matching(wanted, from, PER_PAGE);
    if (!found.length && from) {
      from = 0;
      ({ found, total } = matching(wanted, 0, PER_PAGE));
    }
    $("sample-list").replaceChildren(...found.map((sample) => card(sample, choice("sample-term"))));
    $("sample-count").textContent = total ? `${from + 1} to ${from + found.length} of ${total}` : "none";
    $("sample-before").disabled = from === 0;
    $("sample-after").disabled = from + PER_PAGE >= total;
    kept.set("samples", [from, ...CHOICES.map(choice)]);
  };
  const options = (id, pairs) => {
    for (const [value, words] of pairs) {
      const option = make("option", visible(words));
      option.value = value;
      $(id).append(option);
    }
  };
  const startSamples = () => {
    if (!$("sample-list")) return;
    options("sample-run", facts.runs.map((run, place) => [String(place), nameOf(run)]));
    options("sample-place", facts.places.map((place) => [place, /^\d+$/.test(place) ? `step ${place}` : `evaluation ${place}`]));
    options("sample-verdict", facts.verdicts.map((verdict) => [verdict, verdict]));
    options("sample-term", [...facts.terms, "log-prob"].map((term) => [term, term]));
    const [before, ...chosen] = kept.get("samples", [0]);
    CHOICES.forEach((id, place) => {
      if (chosen[place] !== undefined) $(id).value = chosen[place];
      if ($(id).selectedIndex === -1) $(id).selectedIndex = 0;
      $(id).addEventListener(id === "sample-words" ? "change" : "input", () => {
        if (id !== "sample-term") from = 0;
        showSamples();
      });
    });
    from = Number(before) || 0;
    const turn = (pages) => () => { from = Math.max(0, from + pages * PER_PAGE); showSamples(); };
    $("sample-before").addEventListener("click", turn(-1));
    $("sample-after").addEventListener("click", turn(1));
    showSamples();
  };

  // ---- news -------------------------------------------------------------------------------------------------------------------

  let touched = 0;
  for (const name of ["pointermove", "keydown", "scroll", "pointerdown"]) {
    addEventListener(name, () => { touched = Date.now(); }, { passive: true });
  }
  const ago = (seconds) => (seconds < 120 ? `${Math.round(seconds)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min`
    : `${(seconds / 3600).toFixed(1)} h`);
  const news = () => {
    const age = Math.max(0, Date.now() / 1000 - facts.written);
    const late = age > Math.max(120, 10 * facts.every);
    $("news").textContent = !facts.going ? `Ended; this page was written ${ago(age)} ago and does not change any more.`
      : late ? `No news for ${ago(age)}: what wrote this page may have been ended. It still looks for news.`
        : `Going on; written ${ago(age)} ago, reloads by itself.`;
    $("news").className = !facts.going ? "ended" : late ? "late" : "going";
  };
  const reload = () => {
    // Not under the reader's hand: while something is pointed at, selected or typed, it waits.
    const busy = Date.now() - touched < 3000 || /^(INPUT|SELECT)$/.test(document.activeElement?.tagName ?? "")
      || String(getSelection()) !== "";
    if (busy) setTimeout(reload, 1000);
    else location.reload();
  };
  news();
  setInterval(news, 1000);
  if (facts.going) setTimeout(reload, 1000 * Math.max(2, facts.every));

  // The tables are painted first, then the curves and responses are drawn.
  requestAnimationFrame(() => setTimeout(() => {
    drawAll();
    startSamples();
    document.documentElement.dataset.ready = "yes";
  }));
})();
