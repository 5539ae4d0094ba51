// Draws kernels on a canvas.  Every kernel is [height, width, channels, filters], see weights.py.
"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const data = JSON.parse(get("weights-data").textContent);
  const palette = bytes(data.palette); // red, green, blue of -127 ... 127
  const layers = data.layers.map((layer) => ({ ...layer, values: new Int8Array(bytes(layer.values).buffer) }));
  const [layerChoice, channelChoice, filterChoice, stretch] =
    ["weights-layer", "weights-channel", "weights-filter", "weights-stretch"].map(get);
  const canvas = get("weights-canvas");
  let shown; // the layer and the view on the canvas
  let cursor = [0, 0]; // where on it the pointer was last, or the arrow keys went

  const number = (value, layer) => {
    const digits = Math.max(0, -Math.floor(Math.log10(layer.scale)));
    return value.toFixed(digits).replace("-", "\u2212");
  };
  const range = (count) => [...Array(count).keys()];

  // What stands where: a picture of width x height weights, and the place in `values` of each; -1 is a gap.
  function arrange(layer, channel, filter) {
    const [height, width, channels, filters] = layer.shape;
    const rows = channel === "all" ? range(channels) : [Number(channel)];
    const columns = filter === "all" ? range(filters) : [Number(filter)];
    if (layer.dense && channel === "all" && filter === "all") {
      return {
        width: height * width * channels, height: filters, tiles: 0,
        at: (x, y) => x * filters + y,
      };
    }
    const tiles = rows.length * columns.length, gap = height * width > 1 ? 1 : 0;
    const table = rows.length > 1 && columns.length > 1;
    const across = table ? columns.length : Math.min(tiles, 2 ** Math.ceil(Math.log2(tiles) / 2));
    const [stepX, stepY] = [width + gap, height + gap];
    return {
      width: across * stepX - gap, height: Math.ceil(tiles / across) * stepY - gap, tiles,
      at: (x, y) => {
        const tile = Math.floor(y / stepY) * across + Math.floor(x / stepX);
        const [row, column] = [y % stepY, x % stepX];
        if (row >= height || column >= width || tile >= tiles) return -1;
        const c = rows[Math.floor(tile / columns.length)], f = columns[tile % columns.length];
        return ((row * width + column) * channels + c) * filters + f;
      },
    };
  }

  function describe(layer, place) {
    const [height, width, channels, filters] = layer.shape;
    const filter = place % filters, channel = Math.floor(place / filters) % channels;
    const pixel = Math.floor(place / filters / channels);
    const where = height * width > 1 ? `, row ${Math.floor(pixel / width)}, column ${pixel % width}` : "";
    const value = number(layer.values[place] * layer.scale, layer);
    return `${layer.name}, ${layer.nouns[1]} ${filter}, ${layer.nouns[0]} ${channel}${where}: ${value}`;
  }

  function draw() {
    const layer = layers[layerChoice.selectedIndex];
    const view = arrange(layer, channelChoice.value, filterChoice.value);
    shown = { layer, view };
    const places = [];
    for (let y = 0; y < view.height; y++) for (let x = 0; x < view.width; x++) places.push(view.at(x, y));
    const values = places.filter((place) => place >= 0).map((place) => layer.values[place]);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const limit = stretch.checked ? largest : 127;
    const pixels = new ImageData(view.width, view.height);
    places.forEach((place, i) => {
      if (place < 0) return;
      const colour = 3 * (127 + Math.round((127 * layer.values[place]) / limit));
      pixels.data.set(palette.subarray(colour, colour + 3), 4 * i);
      pixels.data[4 * i + 3] = 255;
    });
    paint(pixels, layer, view, limit);

    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [127, -127]);
    const say = (value) => number(value * layer.scale, layer);
    const bias = filterChoice.value === "all" ? "" : ` Its bias: ${String(layer.bias[filterChoice.value]).replace("-", "\u2212")}.`;
    const text = `${values.length.toLocaleString("en")} weights from ${say(low)} to ${say(high)}, ` +
      `mean ${say(mean)}, standard deviation ${say(spread)}.${bias}`;
    get("weights-numbers").textContent = text;
    get("weights-axes").textContent = axes(layer, view);
    canvas.setAttribute("aria-label", `Heat map of ${layer.name}: ${text}`);
    [-1, 0, 1].forEach((end, i) => { get("weights-bar").children[i + 1].textContent = say(end * limit); });
  }

  function paint(pixels, layer, view, limit) {
    const small = document.createElement("canvas");
    [small.width, small.height] = [view.width, view.height];
    small.getContext("2d").putImageData(pixels, 0, 0);
    const most = (room, size, cap) => Math.max(1, Math.min(cap, Math.floor(room / size)));
    const cap = view.tiles === 0 ? 24 : view.tiles === 1 ? 64 : 16; // pixels of a weight, at most
    let [cellX, cellY] = [most(1040, view.width, cap), most(480, view.height, cap)];
    if (view.tiles) cellX = cellY = Math.min(cellX, cellY);
    [canvas.width, canvas.height] = [view.width * cellX, view.height * cellY];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    if (view.tiles !== 1 || cellX < 48) return;
    [context.font, context.textAlign, context.textBaseline] = ["13px sans-serif", "center", "middle"];
    for (let y = 0; y < view.height; y++) for (let x = 0; x < view.width; x++) {
      const value = layer.values[view.at(x, y)];
      context.fillStyle = Math.abs(value) > 0.6 * limit ? "#fff" : "#222";
      context.fillText(number(value * layer.scale, layer), (x + 0.5) * cellX, (y + 0.5) * cellY);
    }
  }

  function axes(layer, view) {
    const [channel, filter] = layer.nouns;
    if (!view.tiles) return `One row for each ${filter}, one column for each input.`;
    if (view.tiles === 1) return "";
    const all = [channelChoice, filterChoice].map((choice) => choice.value === "all");
    if (all[0] && all[1]) return `One row for each ${channel}, one column for each ${filter}, both from 0.`;
    return `One tile for each ${all[0] ? channel : filter}, in rows from 0.`;
  }

  function fill(choice, noun, count, chosen) {
    choice.replaceChildren(...[["all", `all ${count}`], ...range(count).map((i) => [i, i])]
      .map(([value, text]) => new Option(text, value)));
    choice.value = chosen;
    choice.previousElementSibling.textContent = noun;
  }

  function choose() {
    const { shape, dense, nouns } = layers[layerChoice.selectedIndex];
    fill(channelChoice, nouns[0], shape[2], dense ? "all" : "0");
    fill(filterChoice, nouns[1], shape[3], "all");
    draw();
  }

  // The weight at a point of the picture; -1 in a gap, nothing outside.
  function at([x, y]) {
    const inside = x >= 0 && y >= 0 && x < shown.view.width && y < shown.view.height;
    return inside ? shown.view.at(x, y) : undefined;
  }

  function say(place) {
    get("weights-value").textContent = place >= 0 ? describe(shown.layer, place) : "\u00a0";
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * shown.view.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * shown.view.height);
    say(at((cursor = [x, y])));
  }

  // An arrow key goes on to the next weight in its direction.
  function step(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!direction) return;
    event.preventDefault();
    const before = at(cursor);
    if (before === undefined) cursor = [0, 0];
    let next = cursor;
    do next = [next[0] + direction[0], next[1] + direction[1]];
    while (at(next) === before || at(next) === -1);
    if (before !== undefined && at(next) !== undefined) cursor = next;
    say(at(cursor));
  }

  const stops = range(17).map((i) => 3 * Math.round((254 * i) / 16)).map((at) => `rgb(${palette.slice(at, at + 3)})`);
  get("weights-bar").firstElementChild.style.background = `linear-gradient(to right, ${stops})`;
  layers.forEach((layer) => {
    const pixels = layer.shape[0] * layer.shape[1];
    layer.nouns = layer.dense ? [pixels > 1 ? "feature map" : "input", "unit"] : ["channel", "filter"];
    layerChoice.add(new Option(`${layer.name}: ${layer.size}`));
  });
  layerChoice.addEventListener("change", choose);
  [channelChoice, filterChoice, stretch].forEach((choice) => choice.addEventListener("change", draw));
  ["pointermove", "pointerdown"].forEach((name) => canvas.addEventListener(name, point));
  canvas.addEventListener("keydown", step);
  get("weights-viewer").hidden = false;
  choose();
})();
