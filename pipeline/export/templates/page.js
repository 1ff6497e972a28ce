const facts = {{facts}};
const get = id => document.getElementById(id);
const [drop, input, camera, status, cards] = ["drop", "files", "camera", "status", "cards"].map(get);
const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name || "", textContent: text ?? ""});
const percent = p => (100 * p).toFixed(1) + " %";
const SMALLEST = 1e-7; // as pipeline.evaluation.temperature has it

/** The bytes of a part of this page: 15 bits per character, compressed by gzip. */
async function unpack(id) {
  const part = get(id), text = part.textContent, bytes = new Uint8Array(Number(part.dataset.bytes));
  part.remove();
  for (let i = 0, o = 0, bits = 0, held = 0; o < bytes.length; i++) {
    held = held << 15 | text.charCodeAt(i) - 0x800;
    for (bits += 15; bits >= 8 && o < bytes.length; bits -= 8) bytes[o++] = held >> bits - 8;
    held &= (1 << bits) - 1;
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undoes `split_bytes` of the program that wrote this page. */
function joinBytes(bytes) {
  const result = new Uint8Array(bytes.length), half = Math.ceil(bytes.length / 2);
  for (let i = 0; i < bytes.length; i++) result[i] = bytes[(i & 1 ? half : 0) + (i >> 1)];
  return result;
}

const pause = () => new Promise(done => setTimeout(done)); // lets the browser draw

async function load() {
  const parts = {};
  for (const [name, what] of [["script", "the runtime"], ["runtime", "the runtime"], ["model", "the model"]]) {
    status.textContent = `Unpacking ${what} …`;
    await pause();
    parts[name] = await unpack(name);
  }
  status.textContent = "Starting the model …";
  await pause();
  const address = URL.createObjectURL(new Blob([parts.script], {type: "text/javascript"}));
  const ort = await import(address);
  URL.revokeObjectURL(address);
  Object.assign(ort.env.wasm, {wasmBinary: parts.runtime.buffer, numThreads: 1, proxy: false}); // threads need a server's headers
  const session = await ort.InferenceSession.create(joinBytes(parts.model), {executionProviders: ["wasm"]});
  const run = async pixels => {
    const outputs = await session.run({image: new ort.Tensor("float32", pixels, [1, facts.size, facts.size, 3])});
    return {probabilities: [...outputs.probabilities.data], distance: outputs.distance?.data[0]};
  };
  await run(new Float32Array(3 * facts.size ** 2)); // the first time takes longer
  status.textContent = "";
  return run;
}

/** As pipeline.evaluation.temperature. */
function calibrate(probabilities) {
  const scores = probabilities.map(p => Math.log(Math.min(Math.max(p, SMALLEST), 1)) / facts.temperature);
  const highest = Math.max(...scores), powers = scores.map(score => Math.exp(score - highest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map(power => power / sum);
}

/** What predict says of a picture: all classes, the most probable first, the set, and whether it is none of these. */
async function answer(file, run) {
  const pixels = await decode(file, facts), start = performance.now();
  const given = await run(pixels), milliseconds = performance.now() - start;
  const probabilities = calibrate(given.probabilities), order = probabilities.map((_, i) => i);
  order.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const members = order.filter((number, rank) => !rank || probabilities[number] >= facts.threshold);
  const score = facts.score === "distance" ? given.distance : 1 - probabilities[order[0]];
  return {
    predictions: order.map(number => ({label: facts.labels[number], probability: probabilities[number]})),
    set: members.map(number => facts.labels[number]),
    none_of_these: facts.limit !== null && score > facts.limit,
    score, milliseconds,
  };
}

function show(file, content) {
  const card = make("li"), picture = make("img");
  picture.alt = "";
  picture.onload = () => URL.revokeObjectURL(picture.src);
  picture.onerror = () => { URL.revokeObjectURL(picture.src); picture.remove(); };
  picture.src = URL.createObjectURL(file);
  card.append(picture, make("div", "name", file.name));
  if (content.error) card.append(make("div", "error", content.error));
  else {
    if (content.none_of_these) card.append(make("div", "none", "Looks like none of the classes. The nearest:"));
    for (const {label, probability} of content.predictions.slice(0, 3)) {
      const row = make("div", "row"), bar = make("div", "bar"), fill = make("i");
      fill.style.width = `${100 * probability}%`;
      bar.append(fill);
      row.append(make("span", "", label), make("span", "number", percent(probability)), bar);
      card.append(row);
    }
    const set = `With ${+(100 * facts.coverage).toFixed(3)} % coverage, one of: ${content.set.join(", ")}`;
    if (!content.none_of_these) card.append(make("div", "set", set)); // it is promised for pictures like those of training
    card.append(make("div", "time", `${content.milliseconds.toFixed(0)} ms`));
  }
  cards.prepend(card);
}

const loaded = load();
loaded.catch(error => { status.textContent = `The model can't be started in this browser: ${error.message}`; });
let queue = loaded; // one picture at a time, in the order in which they came

function classify(list) {
  const files = [...list];
  return queue = queue.then(async () => {
    const run = await loaded, answers = [];
    for (const file of files) {
      status.textContent = files.length > 1 ? `${answers.length} of ${files.length} …` : "…";
      const content = await answer(file, run).catch(error => ({error: error.message}));
      show(file, content);
      answers.push(content);
      await pause();
    }
    status.textContent = files.length === 1 ? "1 picture" : `${files.length} pictures`;
    return answers;
  });
}

for (const chooser of [input, camera]) chooser.onchange = () => { classify(chooser.files); chooser.value = ""; };
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, event => {
  event.preventDefault();
  drop.classList.toggle("over", name === "dragover");
  if (name === "drop") classify(event.dataTransfer.files);
});
