// Sends images that are dropped, chosen, pasted or taken, and shows each result as it arrives.
"use strict";

const form = document.getElementById("form");
const cards = document.getElementById("cards");
const results = document.getElementById("results");
const announcement = document.getElementById("status");
const template = document.getElementById("card");

// More parallel requests would only wait in the server's queue.
const MAX_REQUESTS = 2;
const MAX_TRIES = 8;
const NONE = "None of these classes";

const waiting = [];
let running = 0;
let total = 0;
let finished = 0;

function addImages(files) {
  const added = [...files].map((file) => ({ file, card: addCard(file) }));
  if (!added.length) return;
  total += added.length;
  waiting.push(...added);
  announce(`Labelling ${added.length === 1 ? added[0].file.name : `${added.length} images`} …`);
  for (let i = running; i < MAX_REQUESTS; i++) labelNext();
}

async function labelNext() {
  const next = waiting.shift();
  if (!next) return;
  running++;
  try {
    const result = await label(next.file);
    showResult(next.card, result);
    offerHeatMaps(next.card, next.file, result.labels);
  } catch (error) {
    showError(next.card, error.message);
  }
  next.card.removeAttribute("aria-busy");
  finished++;
  running--;
  announceResult(next.file.name, next.card);
  labelNext();
}

async function label(file) {
  const response = await send(`${form.action}?top=${form.dataset.top}`, file);
  return (await response.json()).images[0];
}

async function send(url, file) {
  if (file.size > Number(form.dataset.maxBodyBytes) - 1000) {
    throw new Error(`the file has ${megabytes(file.size)}, more than ${megabytes(form.dataset.maxBodyBytes)}`);
  }
  for (let attempt = 1; ; attempt++) {
    const body = new FormData();
    body.append("image", file, file.name);
    const response = await fetch(url, { method: "POST", body, headers: { Accept: "application/json" } })
      .catch(() => { throw new Error("the server cannot be reached"); });
    if (response.ok) return response;
    if (response.status === 503 && attempt < MAX_TRIES) {
      await sleep(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
    throw new Error(answer.error);
  }
}

function addCard(file) {
  const card = template.content.firstElementChild.cloneNode(true);
  card.setAttribute("aria-busy", "true");
  setText(card, ".name", file.name);
  setText(card, ".top-label", "…");
  const preview = card.querySelector(".preview");
  preview.src = URL.createObjectURL(file);
  preview.onload = () => { preview.hidden = false; URL.revokeObjectURL(preview.src); };
  preview.onerror = () => URL.revokeObjectURL(preview.src);
  cards.prepend(card);
  results.hidden = false;
  return card;
}

function showResult(card, result) {
  const bars = card.querySelector(".bars");
  const template = bars.firstElementChild;
  bars.replaceChildren(...result.labels.map(({ label, score }) => {
    const bar = template.cloneNode(true);
    setText(bar, ".label", label);
    setText(bar, ".percentage", `${(100 * score).toFixed(1)} %`);
    bar.querySelector("meter").value = score;
    return bar;
  }));
  bars.hidden = false;
  card.classList.toggle("unknown", Boolean(result.unknown));
  card.querySelector(".explanation").hidden = !result.unknown;
  setText(card, ".top-label", result.unknown ? NONE : result.labels[0].label);
  setText(card, ".time", `${result.milliseconds.toFixed(0)} ms`);
}

function offerHeatMaps(card, file, labels) {
  const list = card.querySelector(".heat-maps");
  const template = list.firstElementChild;
  list.replaceChildren(...labels.slice(0, Number(form.dataset.heatMaps)).map(({ label }) => {
    const details = template.cloneNode(true);
    setText(details, ".label", label);
    details.addEventListener("toggle", () => { if (details.open) showHeatMap(details, file, label); });
    return details;
  }));
  list.hidden = false;
}

async function showHeatMap(details, file, label) {
  const image = details.querySelector(".heat-map");
  if (image.src || details.hasAttribute("aria-busy")) return;
  details.setAttribute("aria-busy", "true");
  const error = details.querySelector(".error");
  error.hidden = true;
  try {
    const response = await send(`${form.dataset.heatMapUrl}?label=${encodeURIComponent(label)}`, file);
    image.src = URL.createObjectURL(await response.blob());
    image.onload = () => URL.revokeObjectURL(image.src);
    image.alt = `Heat map: where the image looks like ${label}`;
    image.hidden = false;
  } catch (reason) {
    error.textContent = reason.message;
    error.hidden = false;
  }
  details.removeAttribute("aria-busy");
}

function showError(card, message) {
  setText(card, ".top-label", "No label");
  setText(card, ".failure", message);
  card.querySelector(".failure").hidden = false;
}

function announceResult(name, card) {
  const label = card.querySelector(".top-label").textContent;
  const hasLabel = card.querySelector(".failure").hidden && !card.classList.contains("unknown");
  const percentage = hasLabel ? card.querySelector(".percentage").textContent : "";
  const count = total > 1 ? ` (${finished} of ${total})` : "";
  announce(`${name}: ${label} ${percentage}${count}`);
}

function announce(message) {
  announcement.textContent = message;
}

function setText(parent, selector, content) {
  parent.querySelector(selector).textContent = content;
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}

function addChosen(event) {
  addImages(event.target.files);
  // Lets the user choose the same file again.
  event.target.value = "";
}

function showDrag(event) {
  event.preventDefault();
  document.documentElement.classList.toggle("dragging", event.type === "dragover");
}

document.documentElement.classList.add("js");
document.getElementById("choose").addEventListener("change", addChosen);
document.getElementById("camera").addEventListener("change", addChosen);
document.addEventListener("dragover", showDrag);
document.addEventListener("dragleave", showDrag);
document.addEventListener("drop", (event) => {
  showDrag(event);
  addImages(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => addImages(event.clipboardData.files));
