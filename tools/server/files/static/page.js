// Sends pictures as they are dropped, chosen, pasted or taken, and shows each answer as it comes.
"use strict";

const form = document.getElementById("form");
const cards = document.getElementById("cards");
const answers = document.getElementById("answers");
const announced = document.getElementById("status");
const template = document.getElementById("card");

// More would only wait in the server's queue.
const AT_A_TIME = 2;
const TRIES = 8;

const waiting = [];
let running = 0;
let asked = 0;
let answered = 0;

function addPictures(files) {
  const shown = [...files].map((file) => ({ file, card: addCard(file) }));
  if (!shown.length) return;
  asked += shown.length;
  waiting.push(...shown);
  announce(`Labelling ${shown.length === 1 ? shown[0].file.name : `${shown.length} pictures`} …`);
  for (let i = running; i < AT_A_TIME; i++) work();
}

async function work() {
  const next = waiting.shift();
  if (!next) return;
  running++;
  try {
    showAnswer(next.card, await label(next.file));
  } catch (error) {
    showError(next.card, error.message);
  }
  next.card.removeAttribute("aria-busy");
  answered++;
  running--;
  tell(next.file.name, next.card);
  work();
}

async function label(file) {
  if (file.size > Number(form.dataset.bodyBytes) - 1000) {
    throw new Error(`the file has ${megabytes(file.size)}, more than ${megabytes(form.dataset.bodyBytes)}`);
  }
  for (let tried = 1; ; tried++) {
    const body = new FormData();
    body.append("image", file, file.name);
    const address = `${form.action}?top=${form.dataset.top}`;
    const response = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" } })
      .catch(() => { throw new Error("the server cannot be reached"); });
    if (response.status === 503 && tried < TRIES) {
      await seconds(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    const found = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
    if (!response.ok) throw new Error(found.error);
    return found.pictures[0];
  }
}

function addCard(file) {
  const card = template.content.firstElementChild.cloneNode(true);
  card.setAttribute("aria-busy", "true");
  text(card, ".name", file.name);
  text(card, ".verdict", "…");
  const preview = card.querySelector(".preview");
  preview.src = URL.createObjectURL(file);
  preview.onload = () => { preview.hidden = false; URL.revokeObjectURL(preview.src); };
  preview.onerror = () => URL.revokeObjectURL(preview.src);
  cards.prepend(card);
  answers.hidden = false;
  return card;
}

function showAnswer(card, found) {
  const bars = card.querySelector(".bars");
  const row = bars.firstElementChild;
  bars.replaceChildren(...found.labels.map((one) => {
    const bar = row.cloneNode(true);
    text(bar, ".label", one.label);
    text(bar, ".percentage", `${one.percentage.toFixed(1)} %`);
    bar.querySelector("meter").value = one.percentage;
    return bar;
  }));
  bars.hidden = false;
  text(card, ".verdict", found.labels[0].label);
  text(card, ".time", `${found.milliseconds.toFixed(0)} ms`);
}

function showError(card, message) {
  text(card, ".verdict", "No answer");
  text(card, ".error", message);
  card.querySelector(".error").hidden = false;
}

function tell(name, card) {
  const label = card.querySelector(".verdict").textContent;
  const percentage = card.querySelector(".error").hidden ? card.querySelector(".percentage").textContent : "";
  const count = asked > 1 ? ` (${answered} of ${asked})` : "";
  announce(`${name}: ${label} ${percentage}${count}`);
}

function announce(message) {
  announced.textContent = message;
}

function text(parent, selector, content) {
  parent.querySelector(selector).textContent = content;
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function seconds(count) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * count));
}

function pick(event) {
  addPictures(event.target.files);
  // So that the same file can be chosen again.
  event.target.value = "";
}

function drag(event) {
  event.preventDefault();
  document.documentElement.classList.toggle("dragging", event.type === "dragover");
}

document.documentElement.classList.add("js");
document.getElementById("choose").addEventListener("change", pick);
document.getElementById("camera").addEventListener("change", pick);
document.addEventListener("dragover", drag);
document.addEventListener("dragleave", drag);
document.addEventListener("drop", (event) => {
  drag(event);
  addPictures(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => addPictures(event.clipboardData.files));
