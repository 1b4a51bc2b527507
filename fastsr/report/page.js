"use strict";

function themeButton() {
  const button = document.getElementById("theme");
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wish.matches);
  const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  wish.addEventListener("change", name);
  button.hidden = false;
  name();
}

function comparison(box) {
  const stage = box.querySelector(".stage");
  const range = stage.querySelector("input");
  const sides = { before: ".tag.left", after: ".tag.right" };
  const chosen = (side) => box.querySelector(`select[data-side="${side}"]`);

  function move() {
    stage.style.setProperty("--at", `${range.value}%`);
    const names = Object.keys(sides).map((side) => chosen(side).selectedOptions[0].text);
    range.setAttribute("aria-valuetext", `${range.value} % ${names[0]}, the rest ${names[1]}`);
  }

  function choose() {
    for (const image of stage.querySelectorAll("img")) image.className = "";
    // The right-hand picture last: where both sides show the same one, it has to fill the stage.
    for (const side of Object.keys(sides)) {
      const select = chosen(side);
      stage.querySelector(`img[data-method="${select.value}"]`).className = side;
      stage.querySelector(sides[side]).textContent = select.selectedOptions[0].text;
    }
    move();
  }

  function drag(event) {
    const place = stage.getBoundingClientRect();
    range.value = String(Math.round((100 * (event.clientX - place.left)) / place.width));
    move();
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    drag(event);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => { if (stage.hasPointerCapture(event.pointerId)) drag(event); });
  range.addEventListener("input", move);
  for (const side of Object.keys(sides)) chosen(side).addEventListener("change", choose);
  range.disabled = false;
  box.querySelector(".choices").hidden = false;
  choose();
}

function switches(plot) {
  for (const key of plot.querySelectorAll(".key")) {
    key.disabled = false;
    key.title = "Show or hide";
    key.addEventListener("click", () => {
      const shown = key.getAttribute("aria-pressed") !== "true";
      key.setAttribute("aria-pressed", String(shown));
      for (const line of plot.querySelectorAll(".series"))
        if (line.dataset.series === key.dataset.series) line.classList.toggle("off", !shown);
    });
  }
}

function element(name, parent, className, text = "") {
  const one = document.createElement(name);
  one.className = className;
  one.textContent = text;
  parent.append(one);
  return one;
}

// The values of all lines at the step under the pointer, or where the arrow keys lead.
function values(svg) {
  const [low, high, start, end] = svg.dataset.x.split(" ").map(Number);
  const box = element("div", svg.parentElement, "values");
  const guide = svg.querySelector(".axis").cloneNode();
  const lines = [...svg.querySelectorAll(".series")].filter((line) => line.dataset.points).map((line) => ({
    line, name: line.dataset.series, colour: line.dataset.colour,
    points: line.dataset.points.split(" ").map((point) => point.split(",").map(Number)),
  }));
  const steps = [...new Set(lines.flatMap(({ points }) => points.map(([step]) => step)))].sort((a, b) => a - b);
  let at = steps.length - 1;

  const nearest = (points, step) =>
    points.reduce((best, point) => (Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best));
  const place = (step) => start + ((step - low) / (high - low)) * (end - start);

  function hide() { box.hidden = true; guide.style.display = "none"; }

  function show() {
    const step = steps[at];
    const shown = lines.filter(({ line, points }) =>
      !line.classList.contains("off") && points[0][0] <= step && step <= points.at(-1)[0]);
    box.textContent = "";
    element("div", box, "", `step ${Math.round(step).toLocaleString("en")}`);
    for (const { name, colour, points } of shown) {
      const row = element("div", box, colour, name);
      element("span", row, "", nearest(points, step)[1].toPrecision(4).replace("-", "−"));
    }
    const x = place(step);
    guide.setAttribute("d", `M${x},22V174`);
    guide.style.display = box.hidden = "";
    const share = (100 * x) / svg.viewBox.baseVal.width;
    box.style.left = share < 50 ? `${share + 3}%` : "auto";
    box.style.right = share < 50 ? "auto" : `${103 - share}%`;
  }

  function point(event) {
    const area = svg.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * svg.viewBox.baseVal.width;
    const step = low + ((x - start) / (end - start)) * (high - low);
    at = steps.indexOf(nearest(steps.map((one) => [one]), step)[0]);
    show();
  }

  function press(event) {
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 };
    if (event.key === "Escape") return hide();
    if (!(event.key in moves)) return undefined;
    at = Math.min(steps.length - 1, Math.max(0, moves[event.key]));
    event.preventDefault();
    return show();
  }

  if (!steps.length) return;
  guide.setAttribute("class", "guide");
  svg.append(guide);
  box.setAttribute("aria-live", "polite");
  for (const title of svg.querySelectorAll("title")) title.remove();  // else browsers show them too
  svg.tabIndex = 0;
  for (const kind of ["pointermove", "pointerdown"]) svg.addEventListener(kind, point);
  for (const kind of ["pointerleave", "blur"]) svg.addEventListener(kind, hide);
  svg.addEventListener("keydown", press);
  hide();
}

function openForPrinting() {
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
}

themeButton();
openForPrinting();
for (const box of document.querySelectorAll(".compare")) comparison(box);
for (const plot of document.querySelectorAll(".plot")) switches(plot);
for (const svg of document.querySelectorAll("svg[data-x]")) values(svg);
