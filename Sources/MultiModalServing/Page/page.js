"use strict";

const $ = (id) => document.getElementById(id);
let picture = null; // a data: URL
let running = null; // what stops the request
let explanation = null;
let camera = null; // its stream

function headers() {
  const key = $("key").value;
  return { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
}

async function failure(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

// The picture

function show(url) {
  $("picture").src = url;
  $("picture").hidden = false;
  $("hint").hidden = true;
  $("heat").hidden = true;
}

function take(file) {
  if (!file) return;
  closeCamera();
  const reader = new FileReader();
  reader.onload = () => {
    running?.abort();
    picture = reader.result;
    show(picture);
    $("picture").alt = `The picture ${file.name || "that was pasted"}`;
    $("go").disabled = false;
    clear();
  };
  reader.onerror = () => { $("error").textContent = "The picture cannot be read."; };
  reader.readAsDataURL(file);
}

for (const id of ["file", "capture"]) $(id).addEventListener("change", (event) => take(event.target.files[0]));
document.addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
for (const kind of ["dragover", "dragenter"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});

// The camera: the first press shows what it sees, the second takes that. Pages that came over plain HTTP from another machine
// may not look, so there the system takes the picture.

async function openCamera() {
  if (!navigator.mediaDevices) return $("capture").click();
  const view = $("viewfinder");
  try {
    $("camera").disabled = true;
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    view.srcObject = camera;
    await view.play();
    $("camera").textContent = "Take it";
    $("error").textContent = "";
    view.hidden = false;
    for (const id of ["picture", "heat", "hint"]) $(id).hidden = true;
  } catch {
    closeCamera();
    $("error").textContent = "The camera cannot be used: there is none, or the browser does not let this page.";
  }
  $("camera").disabled = false;
}

function closeCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  $("camera").textContent = "Take one";
  $("viewfinder").hidden = true;
}

$("camera").addEventListener("click", () => {
  if (!camera) return openCamera();
  const view = $("viewfinder");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
  canvas.getContext("2d").drawImage(view, 0, 0);
  canvas.toBlob((bytes) => take(new File([bytes], "from the camera", { type: "image/jpeg" })), "image/jpeg", 0.95);
});

// The text

function clear() {
  for (const id of ["text", "error", "times", "tokens"]) $(id).textContent = "";
  $("explanation").hidden = true;
  explanation = null;
}

function request() {
  const content = [{ type: "image_url", image_url: { url: picture } }];
  if ($("prompt").value) content.unshift({ type: "text", text: $("prompt").value });
  const body = { messages: [{ role: "user", content }], temperature: Number($("temperature").value) };
  if ($("top-p").value) body.top_p = Number($("top-p").value);
  if ($("max-tokens").value) body.max_tokens = Number($("max-tokens").value);
  // The explanation is of the same text, so both have one seed.
  body.seed = $("seed").value ? Number($("seed").value) : Math.floor(Math.random() * 2 ** 31);
  return body;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function write(body, signal) {
  const began = performance.now();
  const response = await fetch("v1/chat/completions", {
    method: "POST", headers: headers(), signal, body: JSON.stringify({ ...body, stream: true, logprobs: true }),
  });
  if (!response.ok) throw new Error(await failure(response));
  const times = [];
  for await (const event of events(response)) {
    if (event.error) throw new Error(event.error.message);
    const choice = event.choices[0];
    if (!choice) continue;
    if (choice.logprobs) times.push(performance.now());
    $("text").textContent += choice.delta.content ?? "";
  }
  if (times.length === 0) return;
  const first = `first token after ${(times[0] - began).toFixed(0)} ms`;
  const each = (times[times.length - 1] - times[0]) / (times.length - 1);
  $("times").textContent = times.length > 1 ? `${first}, then ${each.toFixed(1)} ms each` : first;
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!picture || running) return;
  clear();
  show(picture);
  const body = request();
  running = new AbortController();
  $("go").disabled = true;
  $("stop").hidden = false;
  try {
    await write(body, running.signal);
    await explain(body, running.signal);
  } catch (error) {
    if (error.name !== "AbortError") $("error").textContent = error.message;
  }
  running = null;
  $("go").disabled = false;
  $("stop").hidden = true;
});
$("stop").addEventListener("click", () => running?.abort());

// Where the model looked

async function explain(body, signal) {
  const response = await fetch("v1/explain", { method: "POST", headers: headers(), signal, body: JSON.stringify(body) });
  // A model without cross-attention has nothing to show.
  if (!response.ok) return;
  explanation = await response.json();
  explanation.tokens.forEach((token, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    const probability = Math.exp(token.logprob);
    const name = token.token || "end";
    button.textContent = name;
    button.title = `${(100 * probability).toFixed(1)} %`;
    button.setAttribute("aria-label", `${name}, probability ${(100 * probability).toFixed(0)} percent`);
    const meter = document.createElement("meter");
    meter.value = probability;
    button.append(meter);
    for (const kind of ["mouseenter", "focus", "click"]) button.addEventListener(kind, () => look(index));
    $("tokens").append(button);
  });
  $("explanation").hidden = false;
  $("tokens").addEventListener("mouseleave", lookAway);
}

function look(index) {
  const { rows, columns, tokens, seen } = explanation;
  [...$("tokens").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
  // The map belongs to what the model saw, which may be a part of the picture.
  if ($("picture").src !== seen) {
    $("picture").onload = () => look(index);
    $("picture").src = seen;
    return;
  }
  $("picture").onload = null;
  const image = $("picture");
  const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  const heat = $("heat");
  [heat.width, heat.height] = [columns, rows];
  heat.style.width = `${width}px`;
  heat.style.height = `${height}px`;
  heat.style.left = `${image.offsetLeft + (image.clientWidth - width) / 2}px`;
  heat.style.top = `${image.offsetTop + (image.clientHeight - height) / 2}px`;
  const context = heat.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  const most = Math.max(...tokens[index].attention);
  tokens[index].attention.forEach((weight, place) => {
    pixels.data.set([230, 30, 20, 190 * weight / most], 4 * place);
  });
  context.putImageData(pixels, 0, 0);
  heat.hidden = false;
}

function lookAway() {
  if ($("tokens").contains(document.activeElement)) return;
  $("heat").hidden = true;
  if (picture) $("picture").src = picture;
  for (const button of $("tokens").children) button.setAttribute("aria-pressed", "false");
}

function name() {
  fetch("v1/models", { headers: headers() }).then((response) => response.json()).then((models) => {
    $("model").textContent = models.data ? `with ${models.data[0].id}` : "";
  }).catch(() => {});
}
$("key").addEventListener("change", name);
name();
