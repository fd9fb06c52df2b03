/* The book's live figures: each <div class="live-figure" data-live="NAME"></div> of a page becomes one. Without scripts
   the div stays empty, and the ordinary figure before it says the same. Nothing is fetched, nothing moves by itself.
   First the functions (tests/test_live_figures.py runs them against the library), then the drawing. */
(() => {
  "use strict";

  // ---- functions: plain arrays and numbers in, numbers out

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const mean = (values) => sum(values) / values.length;
  const maximum = (values) => Math.max(...values);

  /* log Σ e^v, never with an exponent above 0 */
  function logSumExp(values) {
    const top = maximum(values);
    return top + Math.log(sum(values.map((v) => Math.exp(v - top))));
  }

  /* (1/λ) log((1/n) Σ e^{λs}): the mean for λ → 0, the maximum for λ → ∞ */
  const exponentialMean = (s, scale) => scaledLogSumExp(s, scale) - largestGap(s.length, scale);

  /* (1/λ) log Σ e^{λs}: above the maximum, by log(n)/λ at most */
  const scaledLogSumExp = (s, scale) => logSumExp(s.map((v) => scale * v)) / scale;
  const largestGap = (n, scale) => Math.log(n) / scale;

  /* [i, j] for every demanded order s_i < s_j */
  const demands = (y) => y.flatMap((low, i) => y.flatMap((high, j) => (low < high ? [[i, j]] : [])));

  /* log(1 + Σ e^{s_i − s_j}) over the demands; small sums keep their digits */
  function rankLoss(s, y) {
    const gaps = demands(y).map(([i, j]) => s[i] - s[j]);
    const top = maximum([0, ...gaps]);
    return top + Math.log1p(Math.expm1(-top) + sum(gaps.map((gap) => Math.exp(gap - top))));
  }

  /* ∂L/∂s_i = Σ_j p_ij − Σ_k p_ki with p_ij = e^{s_i − s_j − L} */
  function rankGradient(s, y) {
    const loss = rankLoss(s, y);
    const gradient = s.map(() => 0);
    for (const [i, j] of demands(y)) {
      const share = Math.exp(s[i] - s[j] - loss);
      gradient[i] += share;
      gradient[j] -= share;
    }
    return gradient;
  }

  /* demands in wrong order, ties included */
  const inversions = (s, y) => demands(y).filter(([i, j]) => s[i] >= s[j]);

  /* e^L − 1: at least as many as there are inversions */
  const inversionLimit = (loss) => Math.expm1(loss);

  function softmax(s) {
    const total = logSumExp(s);
    return s.map((v) => Math.exp(v - total));
  }

  /* e^entropy: n for equal weights, 1 when one weight is all */
  const effectiveNumber = (weights) => Math.exp(-sum(weights.map((w) => (w > 0 ? w * Math.log(w) : 0))));

  /* ∂L/∂cos of the loss with a margin (m = −1: the linear loss) for label 1 and label 0 */
  const marginSlope = (c, y, margin) => (y === 1 ? -1 : c > margin ? 1 : 0);
  const squaredSlope = (c, y) => 2 * (c - y);

  /* [lowest, highest] cosine that suits the loss with a margin best, where a share p of the labels is 1 */
  const marginFit = (p, margin) => (p > 0.5 ? [1, 1] : p === 0.5 ? [margin, 1] : p > 0 ? [margin, margin] : [-1, margin]);
  const squaredFit = (p) => p;

  // ---- where each figure begins

  const ARTICLES = ["Terminate", "Pause", "Downgrade", "Refund", "Renew", "Pay by phone"];
  const GRADES = [2, 1, 1, 1, 0, 0];
  const ARTICLE_SCORES = [1.2, 1.9, 0.4, 0.7, 0.9, -1.0];
  const DEPARTMENTS = ["Cancellations", "Renewals", "Pauses", "Refunds", "Upgrades", "Complaints"];
  const DEPARTMENT_SCORES = [1.6, 2.1, 0.5, 0.2, -0.4, -1.5];
  /* quantiles (k + ½)/32 of a normal distribution with standard deviation 0.13 */
  const HALF = [0.005, 0.015, 0.026, 0.036, 0.047, 0.058, 0.069, 0.081, 0.094, 0.108, 0.123, 0.14, 0.16, 0.184, 0.218, 0.28];
  const SHARES = [0, 0.2, 0.4, 0.6, 0.8, 1]; // of labels 1: those of the chapter, and both ends
  const COSINES = [...HALF.map((c) => -c).reverse(), ...HALF];

  // ---- drawing: what the figures share

  const LIMIT = 3; // scores can be moved within ±3
  const STEP = 0.1;
  const KEYS = { ArrowRight: STEP, ArrowUp: STEP, ArrowLeft: -STEP, ArrowDown: -STEP, PageUp: 5 * STEP,
    PageDown: -5 * STEP, Home: -Infinity, End: Infinity };

  const show = (value, digits = 2) => value.toFixed(digits).replace(/^-(?=.*[1-9])/, "\u2212").replace(/^-/, "");
  const showScale = (scale) => String(Number(scale.toPrecision(scale < 1 ? 2 : 3)));
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  /* a new element of the page (html) or of a drawing (svg), at the end of its parent */
  function add(parent, tag, attributes = {}, text) {
    const space = parent.namespaceURI.endsWith("svg") || tag === "svg" ? "http://www.w3.org/2000/svg" : parent.namespaceURI;
    const element = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  const line = (g, x1, y1, x2, y2, look = "live-thin") => add(g, "line", { x1, y1, x2, y2, class: look });
  const write = (g, x, y, text, anchor = "middle", look = "") => add(g, "text", { x, y, "text-anchor": anchor, class: look }, text);

  /* A mark around 0, 0: one shape and one colour for each grade, as in the book's still figures. */
  const SHAPES = ["M-8 0a8 8 0 1 0 16 0a8 8 0 1 0 -16 0", "M-7.5-7.5h15v15h-15z", "M0-9L9 7H-9z", "M0-10L10 0L0 10L-10 0z"];
  const mark = (g, shape, colour, x = 0, y = 0) =>
    add(g, "path", { d: SHAPES[shape], class: "live-fill" + colour, transform: `translate(${x} ${y})` });

  /* A map from numbers to pixels; `grow` is Math.log2 for a logarithmic axis. */
  function axis(low, high, left, right, grow = (v) => v) {
    return (v) => left + ((grow(v) - grow(low)) / (grow(high) - grow(low))) * (right - left);
  }

  function drawAxis(g, x, y, ticks, label, middle) {
    line(g, x(ticks[0]), y, x(ticks[ticks.length - 1]), y);
    for (const tick of ticks) {
      line(g, x(tick), y, x(tick), y + 5);
      write(g, x(tick), y + 19, String(tick).replace("-", "\u2212"));
    }
    write(g, middle, y + 37, label);
  }

  /* A mark that mouse, finger and keys move along its row. */
  function addHandle(svg, name, shape, colour, toScore, move) {
    const handle = add(svg, "g", { class: "live-handle", role: "slider", tabindex: 0, "aria-label": name,
      "aria-orientation": "horizontal", "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT });
    add(handle, "rect", { x: -20, y: -15, width: 40, height: 30, fill: "transparent" });
    add(handle, "circle", { r: 14, class: "live-ring" });
    mark(handle, shape, colour);
    let grip = null; // how far from the mark's middle it was taken, as a score
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      handle.focus({ preventScroll: true });
      handle.setPointerCapture(event.pointerId);
      grip = toScore(event) - Number(handle.getAttribute("aria-valuenow"));
    });
    handle.addEventListener("pointermove", (event) => grip !== null && move(toScore(event) - grip));
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => (grip = null));
    handle.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation(); // the page turns on arrow keys
      move(Number(handle.getAttribute("aria-valuenow")) + KEYS[event.key]);
    });
    return handle;
  }

  /* Build a figure in its div. `figure` has: title, hint, start() → {scores?, step?}, scale(step) → what its slider
     sets (λ, or what `dial` names and `showDial` writes), draw(g, state, width) → {height, x, rows} and
     tell(state) → {shown: html, said: text, items?: [text]}. */
  function mount(host, figure) {
    let state = figure.start();
    let drawn, waiting;
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", figure.title);
    add(add(host, "p", { class: "live-hint" }), "strong", {}, "Try it. ").after(figure.hint);
    const slider = figure.scale && addSlider(host, figure, (step) => change({ step }));
    const svg = add(host, "svg", { class: "live-drawing", role: "presentation" }); // its sliders are read, not a picture
    const still = add(svg, "g", { "aria-hidden": "true" });
    const shown = add(host, "p", { class: "live-values" });
    add(host, "button", { type: "button", class: "live-reset" }, "Reset").addEventListener("click", () => change(figure.start()));
    const said = add(host, "p", { class: "live-said", "aria-live": "polite" });

    const toScore = (event) => {
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * Number(svg.getAttribute("width"));
      return (at - drawn.x(0)) / (drawn.x(1) - drawn.x(0));
    };
    const handles = (state.scores || []).map((_, i) =>
      addHandle(svg, figure.handleName(i), ...figure.look(i), toScore, (score) => {
        const scores = [...state.scores];
        scores[i] = clamp(Number((Math.round(score / STEP) * STEP).toFixed(1)), -LIMIT, LIMIT);
        change({ scores });
      }));

    function draw() {
      const width = Math.min(host.clientWidth, 720);
      if (width === 0) return; // folded away
      still.replaceChildren();
      drawn = figure.draw(still, state, width);
      for (const [name, value] of Object.entries({ width, height: drawn.height, viewBox: `0 0 ${width} ${drawn.height}` }))
        svg.setAttribute(name, value);
      const told = figure.tell(state);
      shown.innerHTML = told.shown;
      handles.forEach((handle, i) => {
        handle.setAttribute("transform", `translate(${drawn.x(state.scores[i])} ${drawn.rows[i]})`);
        handle.setAttribute("aria-valuenow", state.scores[i]);
        handle.setAttribute("aria-valuetext", told.items[i]);
      });
      if (slider) slider(state.step);
      return told;
    }

    function change(part) {
      state = { ...state, ...part };
      const told = draw();
      clearTimeout(waiting); // a screen reader hears the numbers when the hand rests
      waiting = setTimeout(() => (said.textContent = told.said), 700);
    }
    new ResizeObserver(draw).observe(host);
    draw();
  }

  function addSlider(host, figure, move) {
    const label = add(host, "label", { class: "live-slider" });
    const [name, symbol] = figure.dial || ["scale", "λ"];
    add(label, "span", {}, `${name}\u00a0${symbol}`);
    const [min, max] = figure.steps;
    const input = add(label, "input", { type: "range", min, max, step: 1 });
    const value = add(label, "b", { "aria-hidden": "true" });
    input.addEventListener("input", () => move(Number(input.value)));
    return (step) => {
      input.value = step;
      value.textContent = (figure.showDial || showScale)(figure.scale(step));
      input.setAttribute("aria-valuetext", `${symbol} = ${value.textContent}`);
    };
  }

  const pair = (name, value, after = "") => `<span>${name} <b>${value}</b> ${after}</span> `;
  const key = (shape, colour) =>
    `<svg class="live-key" viewBox="-11 -11 22 22" aria-hidden="true"><path d="${SHAPES[shape]}" class="live-fill${colour}"/></svg>`;

  // ---- the figures

  const FIGURES = {};

  FIGURES["log-sum-exp"] = {
    title: "Live figure: log-sum-exp between the mean and the maximum",
    hint: "Move λ; drag the scores, or focus one and use the arrow keys. The two bands are where the exponential mean " +
      "and the scaled log-sum-exp can lie.",
    steps: [-50, 60],
    scale: (step) => 2 ** (step / 10), // 1/32 to 64
    start: () => ({ scores: [...DEPARTMENT_SCORES], step: 0 }),
    handleName: (i) => `${DEPARTMENTS[i]}: score`,
    look: () => [0, 0],
    draw(g, { scores, step }, width) {
      const scale = this.scale(step);
      const x = axis(-LIMIT, 5, 120, width - 22);
      const rows = scores.map((_, i) => 40 + 31 * i);
      const lanes = [0, 1].map((k) => 52 + 31 * (scores.length + k));
      const bottom = lanes[1] + 24;
      const [low, high, top] = [mean(scores), maximum(scores), maximum(scores) + largestGap(scores.length, scale)];
      rows.forEach((y, i) => {
        line(g, x(-LIMIT), y, x(LIMIT), y, "live-lane");
        write(g, 0, y + 4, DEPARTMENTS[i], "start");
      });
      for (const at of [low, high]) line(g, x(at), 24, x(at), bottom, "live-guide");
      write(g, x(low) - 5, 16, "mean", "end");
      write(g, x(high) + 5, 16, "maximum", "start");
      const end = Math.min(x(top), width);
      [[x(low), x(high), 1], [x(high), end, 2]].forEach(([from, to, colour], k) =>
        add(g, "rect", { x: from, y: lanes[k] - 6, width: Math.max(to - from, 1), height: 12, class: "live-wash live-fill" + colour }));
      write(g, 0, lanes[0] + 4, "exponential mean", "start");
      write(g, 0, lanes[1] + 4, "(1/λ) lse(λs)", "start");
      mark(g, 3, 1, x(exponentialMean(scores, scale)), lanes[0]);
      const sumAt = x(scaledLogSumExp(scores, scale));
      if (sumAt < width - 10) mark(g, 1, 2, sumAt, lanes[1]);
      else write(g, width, lanes[1] + 4, show(scaledLogSumExp(scores, scale), 1) + " →", "end"); // off the axis
      drawAxis(g, x, bottom, [-3, -2, -1, 0, 1, 2, 3, 4, 5], "score", (x(-LIMIT) + x(5)) / 2);
      return { height: bottom + 44, x, rows };
    },
    tell({ scores, step }) {
      const scale = this.scale(step);
      const [a, b, c, d, e] = [mean(scores), exponentialMean(scores, scale), maximum(scores), scaledLogSumExp(scores, scale),
        maximum(scores) + largestGap(scores.length, scale)].map((v) => show(v));
      return {
        shown: pair("mean", a) + pair(key(3, 1) + "exponential mean M<sub>λ</sub>", b) + pair("maximum", c) +
          pair(key(1, 2) + "(1/λ) lse(λs)", `${d} ≤ ${e}`, "= maximum + (log n)/λ"),
        said: `Mean ${a}, exponential mean ${b}, maximum ${c}, scaled log-sum-exp ${d}, at most ${e}.`,
        items: scores.map((s) => show(s, 1)),
      };
    },
  };

  FIGURES["order-line"] = {
    title: "Live figure: six articles, their order and the ranking loss",
    hint: "Drag the articles, or focus one and use the arrow keys. Higher grades (the numbers) belong further right. " +
      "Dotted lines join pairs in wrong order; the arrows are minus the gradient.",
    start: () => ({ scores: [...ARTICLE_SCORES] }),
    handleName: (i) => `${ARTICLES[i]}, grade ${GRADES[i]}: score`,
    look: (i) => [GRADES[i], GRADES[i]],
    draw(g, { scores }, width) {
      const x = axis(-LIMIT, LIMIT, 148, width - 26);
      const rows = scores.map((_, i) => 22 + 31 * i + 8 * (2 - GRADES[i]));
      const bottom = rows[5] + 24;
      rows.forEach((y, i) => {
        line(g, x(-LIMIT), y, x(LIMIT), y, "live-lane");
        write(g, 0, y + 4, GRADES[i], "start", "live-grade");
        write(g, 16, y + 4, ARTICLES[i], "start");
      });
      for (const [i, j] of inversions(scores, GRADES)) line(g, x(scores[i]), rows[i], x(scores[j]), rows[j], "live-wrong");
      rankGradient(scores, GRADES).forEach((slope, i) => {
        const length = -slope * 0.3 * (x(LIMIT) - x(-LIMIT)); // a force of 1 is as long as 1.8 units of score
        const from = x(scores[i]) + 9 * Math.sign(length);
        line(g, from, rows[i], from + length, rows[i], "live-arrow live-line" + GRADES[i]);
        if (Math.abs(length) > 5) // a shorter push would be hidden by its head
          add(g, "path", { d: "M0-5L9 0L0 5z", class: "live-fill" + GRADES[i],
            transform: `translate(${from + length} ${rows[i]}) rotate(${length > 0 ? 0 : 180})` });
      });
      drawAxis(g, x, bottom, [-3, -2, -1, 0, 1, 2, 3], "score", (x(-LIMIT) + x(LIMIT)) / 2);
      return { height: bottom + 44, x, rows };
    },
    tell({ scores }) {
      const loss = rankLoss(scores, GRADES);
      const [wrong, all, limit] = [inversions(scores, GRADES).length, demands(GRADES).length, inversionLimit(loss)];
      const safe = loss < Math.LN2;
      const pushes = rankGradient(scores, GRADES);
      return {
        shown: pair("loss L", show(loss)) + pair("inversions", `${wrong} ≤ ${show(limit)}`, "= e<sup>L</sup> − 1") +
          pair(`share of ${all} pairs`, `${show(wrong / all)} ≤ ${show(limit / all)}`, "= (e<sup>L</sup> − 1)/P") +
          pair("L &lt; log 2:", safe ? "yes, so no inversion" : "no"),
        said: `Loss ${show(loss)}. ${wrong} of ${all} demanded pairs in wrong order, at most ${show(limit)} by the bound.` +
          (safe ? " The loss is below log 2: no inversion." : ""),
        items: scores.map((s, i) => `${show(s, 1)}, pushed ${pushes[i] > 0 ? "left" : "right"} by ${show(Math.abs(pushes[i]))}`),
      };
    },
  };

  FIGURES.temperature = {
    title: "Live figure: temperature and the effective number of negatives",
    hint: "Move λ. The bars are the softmax weights of 32 negatives. The dashed frame has the same total in equal " +
      "shares, as many as the effective number.",
    steps: [-30, 30],
    scale: (step) => 10 * 2 ** (step / 10), // 1.25 to 80
    start: () => ({ step: 10 }),
    count: (scale) => effectiveNumber(softmax(COSINES.map((c) => scale * c))),
    draw(g, { step }, width) {
      const [left, right, n] = [44, width - 14, COSINES.length];
      const bar = axis(0, n, left, right);
      const y = axis(0, 1, 190, 14);
      const weights = softmax(COSINES.map((c) => this.scale(step) * c));
      const number = effectiveNumber(weights);
      weights.forEach((w, k) =>
        add(g, "rect", { x: bar(k) + 1, y: y(w), width: bar(1) - bar(0) - 2, height: y(0) - y(w), class: "live-fill0" }));
      add(g, "rect", { x: bar(n - number), y: y(1 / number), width: bar(number) - bar(0), height: y(0) - y(1 / number), class: "live-frame" });
      line(g, left, y(0), right, y(0));
      for (const tick of [0, 0.5, 1]) write(g, left - 8, y(tick) + 4, String(tick), "end");
      write(g, left, 12, "weight", "start");
      write(g, left, y(0) + 18, "cosine " + show(COSINES[0]), "start");
      write(g, right, y(0) + 18, show(COSINES[n - 1]), "end");

      const x = axis(1.25, 80, left, right, Math.log2);
      const tall = axis(0, n, 372, 252);
      for (const tick of [0, 8, 16, 24, 32]) {
        write(g, left - 8, tall(tick) + 4, String(tick), "end");
        line(g, left, tall(tick), right, tall(tick), "live-lane");
      }
      write(g, left, 240, "effective number of negatives", "start");
      const points = [];
      for (let k = this.steps[0]; k <= this.steps[1]; k++) points.push(`${x(this.scale(k))},${tall(this.count(this.scale(k)))}`);
      add(g, "polyline", { points: points.join(" "), class: "live-curve" });
      line(g, x(this.scale(step)), tall(number), x(this.scale(step)), tall(0), "live-guide");
      mark(g, 3, 1, x(this.scale(step)), tall(number));
      drawAxis(g, x, tall(0), [1.25, 2.5, 5, 10, 20, 40, 80], "scale λ", (left + right) / 2);
      return { height: 414 };
    },
    tell({ step }) {
      const weights = softmax(COSINES.map((c) => this.scale(step) * c));
      const [number, most] = [show(effectiveNumber(weights), 1), show(maximum(weights))];
      return {
        shown: pair("scale λ", showScale(this.scale(step))) + pair(key(3, 1) + "effective number", `${number} of 32`) + pair("largest weight", most),
        said: `λ = ${showScale(this.scale(step))}: effective number of negatives ${number} of 32, largest weight ${most}.`,
      };
    },
  };

  FIGURES.margin = {
    title: "Live figure: the margin, the slopes of the loss, and the cosines it asks for",
    hint: "Move the margin. Above, the slope of the loss over the cosine: solid for label 0, dashed for label 1, thin for the " +
      "squared loss. Below, six kinds of pairs, each judged by five annotators, and the cosine each loss wants for them.",
    steps: [-20, 19],
    dial: ["margin", "m"],
    showDial: (margin) => show(margin),
    scale: (step) => step / 20,
    start: () => ({ step: 14 }),
    draw(g, { step }, width) {
      const margin = this.scale(step);
      const x = axis(-1, 1, 62, width - 18);
      const y = axis(-4, 2, 196, 28);
      write(g, 0, 14, "slope of the loss", "start");
      for (const tick of [-4, -2, 0, 2]) {
        line(g, x(-1), y(tick), x(1), y(tick), "live-lane");
        write(g, 52, y(tick) + 4, show(tick, 0), "end");
      }
      for (const label of [0, 1]) {
        line(g, x(-1), y(squaredSlope(-1, label)), x(1), y(squaredSlope(1, label)), "live-faint live-line" + label);
        const corners = [-1, margin, margin, 1].map((c, k) => `${x(c)},${y(marginSlope(c + (k > 1 ? 1e-9 : 0), label, margin))}`);
        add(g, "polyline", { points: corners.join(" "), class: `live-stroke live-line${label}${label ? " live-dashed" : ""}` });
      }
      const rows = SHARES.map((_, k) => 250 + 27 * k);
      const bottom = rows[5] + 22;
      line(g, x(margin), 28, x(margin), bottom, "live-guide");
      write(g, 0, 228, "ones", "start");
      rows.forEach((at, k) => {
        const [low, high] = marginFit(SHARES[k], margin);
        line(g, x(-1), at, x(1), at, "live-lane");
        write(g, 0, at + 4, `${k} of 5`, "start");
        if (high > low) add(g, "rect", { x: x(low), y: at - 6, width: x(high) - x(low), height: 12, class: "live-wash live-fill2" });
        mark(g, 3, 2, x(high), at);
        add(g, "circle", { cx: x(squaredFit(SHARES[k])), cy: at, r: 6, class: "live-hollow" });
      });
      drawAxis(g, x, bottom, [-1, -0.5, 0, 0.5, 1], "cosine of the pair", (x(-1) + x(1)) / 2);
      return { height: bottom + 44 };
    },
    tell({ step }) {
      const margin = this.scale(step);
      const wanted = SHARES.map((p) => marginFit(p, margin)).map(([low, high]) => (low < high ? "any up to " : "") + show(high));
      return {
        shown: pair("margin m", show(margin), margin === -1 ? "the linear loss" : "") + pair("0 ones of 5", wanted[0]) +
          pair(key(3, 2) + "1 or 2 ones", wanted[1]) + pair("3, 4 or 5 ones", wanted[3]) +
          pair("○ squared loss", SHARES.map((p) => show(squaredFit(p), 1)).join(", ")),
        said: `Margin ${show(margin)}. Wanted cosines: without ones ${wanted[0]}, with 1 or 2 ones of 5 ${wanted[1]}, with more ${wanted[3]}.`,
      };
    },
  };

  if (typeof module === "object")
    module.exports = { mean, maximum, logSumExp, exponentialMean, scaledLogSumExp, largestGap, demands, rankLoss, rankGradient, inversions,
      inversionLimit, softmax, effectiveNumber, marginSlope, squaredSlope, marginFit, squaredFit, show, SHARES, ARTICLES, GRADES, ARTICLE_SCORES,
      DEPARTMENTS, DEPARTMENT_SCORES, COSINES, FIGURES };
  if (typeof document === "undefined") return;
  const start = () => document.querySelectorAll(".live-figure[data-live]").forEach((host) => mount(host, FIGURES[host.dataset.live]));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
