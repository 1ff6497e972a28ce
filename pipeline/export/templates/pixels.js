// From a picture's bytes to the model's input, as decode.py does it with Pillow: the same integers, step by step.

const TYPES = {
  "image/jpeg": [0xff, 0xd8, 0xff], "image/png": [0x89, 0x50, 0x4e, 0x47], "image/gif": [0x47, 0x49, 0x46, 0x38],
  "image/webp": [0x52, 0x49, 0x46, 0x46], "image/bmp": [0x42, 0x4d], "image/x-icon": [0, 0, 1, 0],
};
const ORIENTATION = 0x0112;
// EXIF orientation to what turns the picture upright: whether to mirror left-right, top-bottom, and then along the diagonal.
const TURNS = {2: [1, 0, 0], 3: [1, 1, 0], 4: [0, 1, 0], 5: [0, 0, 1], 6: [0, 1, 1], 7: [1, 1, 1], 8: [1, 0, 1]};

/** The MIME type by the first bytes; undefined for what this page does not read. */
function findType(bytes) {
  return Object.keys(TYPES).find(type => TYPES[type].every((byte, i) => bytes[i] === byte));
}

/** {orientation: 1 to 8, at: where it stands in `bytes`, size: [width, height], bands, hasHalfColours} of a JPEG. */
function readJpegHead(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), head = {orientation: 1};
  for (let at = 2; at + 10 <= bytes.length;) {
    if (bytes[at] !== 0xff) break;
    const marker = bytes[at + 1];
    if (marker === 0xff) { at++; continue; }
    const end = at + 2 + view.getUint16(at + 2);
    if (marker === 0xe1 && head.at === undefined) Object.assign(head, readExif(view, at + 4, Math.min(end, bytes.length)));
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return Object.assign(head, {size: [view.getUint16(at + 7), view.getUint16(at + 5)], bands: bytes[at + 9],
        hasHalfColours: bytes[at + 9] === 3 && bytes[at + 11] === 0x22 && bytes[at + 14] === 0x11});
    }
    at = end;
  }
  return head;
}

/** The same of a WebP, of which only the orientation is needed: some browsers turn it, others do not. */
function readWebpHead(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), head = {orientation: 1};
  for (let at = 12; at + 8 <= bytes.length; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
    if (view.getUint32(at) !== 0x45584946) continue; // EXIF
    const end = Math.min(at + 8 + view.getUint32(at + 4, true), bytes.length);
    Object.assign(head, readExif(view, at + 8, end), readTiff(view, at + 8, end));
  }
  return head;
}

function readExif(view, start, end) {
  return end - start > 6 && view.getUint32(start) === 0x45786966 ? readTiff(view, start + 6, end) : {};
}

function readTiff(view, start, end) {
  const order = end - start > 10 ? view.getUint16(start) : 0, little = order === 0x4949;
  if (!little && order !== 0x4d4d) return {};
  const directory = start + view.getUint32(start + 4, little);
  if (directory + 2 > end) return {};
  for (let i = 0, count = view.getUint16(directory, little); i < count && directory + 14 + 12 * i <= end; i++) {
    const entry = directory + 2 + 12 * i;
    if (view.getUint16(entry, little) === ORIENTATION) {
      return {orientation: view.getUint16(entry + 8, little), at: entry + 8, little};
    }
  }
  return {};
}

/** {data: RGBA, width, height} of a bitmap; with exact colours below transparency where the browser has WebGL 2. */
function readBitmap(bitmap) {
  const {width, height} = bitmap, canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", {willReadFrequently: true, colorSpace: "srgb"});
  context.drawImage(bitmap, 0, 0);
  const {data} = context.getImageData(0, 0, width, height);
  for (let i = 3; i < data.length; i += 4) {
    if (data[i] !== 255) return {data: readByWebGl(bitmap) || data, width, height};
  }
  return {data, width, height};
}

// A 2D canvas keeps colours multiplied by their opacity, and so rounded.
function readByWebGl(bitmap) {
  const {width, height} = bitmap, gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const data = new Uint8ClampedArray(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  const failed = gl.getError() !== gl.NO_ERROR;
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return failed ? null : data;
}

/** RGB of RGBA: transparent parts on white, as Pillow's alpha_composite; what is transparent everywhere keeps its colours. */
function flatten({data, width, height}) {
  const rgb = new Uint8Array(3 * width * height);
  let isSeen = false;
  for (let i = 3; i < data.length && !isSeen; i += 4) isSeen = data[i] > 0;
  for (let i = 0, o = 0; i < data.length; i += 4) {
    const alpha = isSeen ? data[i + 3] : 255;
    if (alpha === 255) { rgb[o++] = data[i]; rgb[o++] = data[i + 1]; rgb[o++] = data[i + 2]; continue; }
    for (let band = 0; band < 3; band++) {
      const sum = (data[i + band] * alpha + 255 * (255 - alpha)) * 128 + (128 << 7);
      rgb[o++] = ((sum >> 8) + sum >> 8) >> 7;
    }
  }
  return {data: rgb, width, height};
}

/** A JPEG at 1/`scale` of its size, as libjpeg decodes it: means of blocks, and colours that were stored at half the size at
 * that size, while the browser has enlarged them before. */
function draft({data, width, height}, scale, hasHalfColours) {
  const size = [Math.ceil(width / scale), Math.ceil(height / scale)];
  if (!hasHalfColours) {
    return {data: Uint8ClampedArray.from(average(data, width, height, scale, ...size)), width: size[0], height: size[1]};
  }
  const [w, h] = size.map(side => side * scale / 2), half = average(data, width, height, 2, w, h);
  for (let i = 0; i < half.length; i += 3) {
    const red = half[i], blue = half[i + 2], y = 0.299 * red + 0.587 * half[i + 1] + 0.114 * blue;
    half[i] = y; half[i + 1] = (blue - y) / 1.772; half[i + 2] = (red - y) / 1.402;
  }
  for (const band of [1, 2]) {
    for (let y = 0; y < h; y++) sharpen(half, 3 * y * w + band, 3, w);
    for (let x = 0; x < w; x++) sharpen(half, 3 * x + band, 3 * w, h);
  }
  const small = average(half, w, h, scale / 2, ...size), result = new Uint8ClampedArray(small.length);
  for (let i = 0; i < small.length; i += 3) {
    const [y, blue, red] = small.subarray(i, i + 3).map(Math.round);
    result[i] = y + 1.402 * red; result[i + 1] = y - 0.344136 * blue - 0.714136 * red; result[i + 2] = y + 1.772 * blue;
  }
  return {data: result, width: size[0], height: size[1]};
}

/** Of blocks of `side` x `side`; beyond its edge the picture goes on as there. */
function average(data, width, height, side, w, h) {
  const result = new Float32Array(3 * w * h);
  for (let y = 0, o = 0; y < h; y++) for (let x = 0; x < w; x++, o += 3) for (let band = 0; band < 3; band++) {
    let sum = 0;
    for (let v = y * side; v < (y + 1) * side; v++) {
      const row = width * Math.min(v, height - 1);
      for (let u = x * side; u < (x + 1) * side; u++) sum += data[3 * (row + Math.min(u, width - 1)) + band];
    }
    result[o + band] = sum / (side * side);
  }
  return result;
}

/** Undoes, in one line of numbers, what enlarging to twice the size and averaging pairs does: (left + 6 middle + right) / 8. */
function sharpen(data, start, step, count) {
  if (count < 2) return;
  const above = new Float64Array(count), last = count - 1;
  for (let i = 0, before = 0; i < count; i++) {
    const at = start + i * step, pivot = (i && i < last ? 6 : 7) - (i ? above[i - 1] : 0);
    above[i] = 1 / pivot;
    data[at] = before = (8 * data[at] - before) / pivot;
  }
  for (let i = last - 1; i >= 0; i--) data[start + i * step] -= above[i] * data[start + (i + 1) * step];
}

function turn({data, width, height}, orientation) {
  const how = TURNS[orientation];
  if (!how) return {data, width, height};
  const [mirrorX, mirrorY, swap] = how, [w, h] = swap ? [height, width] : [width, height];
  const result = new Uint8Array(data.length);
  for (let y = 0, o = 0; y < h; y++) for (let x = 0; x < w; x++, o += 3) {
    const [u, v] = swap ? [y, x] : [x, y];
    const i = 3 * ((mirrorY ? height - 1 - v : v) * width + (mirrorX ? width - 1 - u : u));
    result[o] = data[i]; result[o + 1] = data[i + 1]; result[o + 2] = data[i + 2];
  }
  return {data: result, width: w, height: h};
}

/** Means of blocks of `across` x `down` pixels, as Pillow's `reduce`. */
function reduce({data, width, height}, across, down) {
  const [w, h] = [Math.ceil(width / across), Math.ceil(height / down)], result = new Uint8Array(3 * w * h);
  for (let y = 0, o = 0; y < h; y++) for (let x = 0; x < w; x++) for (let band = 0; band < 3; band++) {
    const [right, bottom] = [Math.min((x + 1) * across, width), Math.min((y + 1) * down, height)];
    const count = (right - x * across) * (bottom - y * down);
    let sum = count >> 1;
    for (let v = y * down; v < bottom; v++) for (let u = x * across; u < right; u++) sum += data[3 * (v * width + u) + band];
    result[o++] = Math.floor(sum * Math.trunc(Math.fround(2 ** 32 / (256 * count))) / 2 ** 24);
  }
  return {data: result, width: w, height: h};
}

/** For each of `size` pixels between `start` and `end` of a side: the first source pixel, and weights in units of 2^-22. */
function weigh(side, start, end, size) {
  const scale = (end - start) / size, support = Math.max(scale, 1), weights = [];
  for (let out = 0; out < size; out++) {
    const center = start + (out + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), side);
    const parts = [];
    let total = 0;
    for (let i = first; i < last; i++) {
      const part = Math.max(1 - Math.abs((i - center + 0.5) * (1 / support)), 0);
      parts.push(part);
      total += part;
    }
    weights.push([first, parts.map(part => Math.trunc(0.5 + part / total * (1 << 22)))]);
  }
  return weights;
}

function squeezeAcross({data, width, height}, left, right, w) {
  if (w === width && !left && right === w) return {data, width, height};
  const result = new Uint8Array(3 * w * height);
  weigh(width, left, right, w).forEach(([first, parts], x) => {
    for (let y = 0; y < height; y++) for (let band = 0; band < 3; band++) {
      let sum = 1 << 21;
      for (let i = 0; i < parts.length; i++) sum += data[3 * (y * width + first + i) + band] * parts[i];
      result[3 * (y * w + x) + band] = sum >> 22;
    }
  });
  return {data: result, width: w, height};
}

function squeezeDown({data, width, height}, top, bottom, h) {
  if (h === height && !top && bottom === h) return {data, width, height};
  const row = 3 * width, result = new Uint8Array(row * h);
  weigh(height, top, bottom, h).forEach(([first, parts], y) => {
    for (let x = 0; x < row; x++) {
      let sum = 1 << 21;
      for (let i = 0; i < parts.length; i++) sum += data[row * (first + i) + x] * parts[i];
      result[row * y + x] = sum >> 22;
    }
  });
  return {data: result, width, height: h};
}

/** Pillow's bilinear `resize` of what is in `box`, with antialiasing, rounded to bytes between its two passes. */
function resample(image, box, w, h) {
  const [left, top, right, bottom] = box.map(Math.fround);
  // Since Pillow 13: down first, where the height shrinks by more than twice what the width does.
  if (image.height > h && image.height - h > 2 * (image.width - w)) {
    return squeezeAcross(squeezeDown(image, top, bottom, h), left, right, w);
  }
  return squeezeDown(squeezeAcross(image, left, right, w), top, bottom, h);
}

const roundHalfEven = x => Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);

/** `resize`, ImageOps.fit or ImageOps.pad: see decode.py. */
function fit(image, size, how) {
  const {width, height} = image;
  if (width === size && height === size) return image;
  if (how === "stretch") {
    const [across, down] = [width, height].map(side => Math.trunc(side / size / 2) || 1);
    const small = across > 1 || down > 1 ? reduce(image, across, down) : image;
    return resample(small, [0, 0, width / across, height / down], size, size);
  }
  if (how === "crop") {
    const ratio = width / height;
    const [w, h] = ratio === 1 ? [width, height] : ratio >= 1 ? [height, height] : [width, width];
    const [left, top] = [(width - w) * 0.5, (height - h) * 0.5];
    return resample(image, [left, top, left + w, top + h], size, size);
  }
  // ImageOps.pad, whose strips of no height at all this project draws as a line.
  const w = width < height ? Math.max(roundHalfEven(width / height * size), 1) : size;
  const h = width > height ? Math.max(roundHalfEven(height / width * size), 1) : size;
  const small = resample(image, [0, 0, width, height], w, h), data = new Uint8Array(3 * size * size);
  const [left, top] = [roundHalfEven((size - w) * 0.5), roundHalfEven((size - h) * 0.5)];
  for (let y = 0; y < h; y++) data.set(small.data.subarray(3 * w * y, 3 * w * (y + 1)), 3 * ((y + top) * size + left));
  return {data, width: size, height: size};
}

/** float32 (size x size x 3), RGB, 0 to 255, of a File. Throws an Error, one line, for what is no picture that can be used. */
async function decode(file, {size, resize, minSide, maxMegapixels}) {
  const bytes = new Uint8Array(await file.arrayBuffer()), type = findType(bytes);
  if (!type) throw new Error(bytes.length ? "not a picture that this page reads: save it as JPEG or PNG" : "empty");
  if (type === "image/png" && bytes[24] === 16) throw new Error("more than 8 bits per sample: save it as RGB of 8 bits first");
  const readHead = {"image/jpeg": readJpegHead, "image/webp": readWebpHead}[type];
  const head = readHead ? readHead(bytes) : {orientation: 1};
  if (head.bands === 4) throw new Error("a CMYK picture: save it as RGB first");
  // Blocks of a JPEG lie as they are stored: so it is turned here, and not by the browser.
  if (head.at !== undefined) new DataView(bytes.buffer).setUint16(head.at, 1, head.little);
  const options = {colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image"};
  const bitmap = await createImageBitmap(new Blob([bytes], {type}), options).catch(() => {
    throw new Error("damaged, or of a kind that this browser does not read");
  });
  try {
    const {width, height} = bitmap;
    if (width * height > maxMegapixels * 1e6) throw new Error(`too large: ${width}x${height} pixels`);
    if (Math.min(width, height) < minSide) throw new Error(`too small: ${width}x${height} pixels`);
    let image = flatten(readBitmap(bitmap));
    const smaller = Math.floor(Math.min(width, height) / (2 * size));
    const scale = type === "image/jpeg" ? [8, 4, 2].find(number => smaller >= number) : 0;
    if (scale) image = draft(image, scale, head.hasHalfColours);
    return Float32Array.from(fit(turn(image, head.orientation), size, resize).data);
  } finally {
    bitmap.close();
  }
}
