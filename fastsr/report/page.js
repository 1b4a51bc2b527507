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
