"use strict";

/* Tables: the button of a heading sorts by its column, a second time the other way round. What is missing stays at the end. */

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b), rising ? 1 : -1));
      table.tBodies[0].append(...rows);
    });
  });
}

function compare(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  return sign * (Number(a) - Number(b) || a.localeCompare(b, undefined, { numeric: true }));
}

/* Points of the plots: the name of the case that each leads to. */

for (const link of document.querySelectorAll(".figures svg a")) {
  const row = document.getElementById(link.getAttribute("xlink:href").slice(1));
  const title = document.createElementNS(link.namespaceURI, "title");
  title.textContent = row.cells[0].textContent;
  link.append(title);
}

/* On paper nothing can be opened. */

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => (details.open = true)));

/* Viewer. Volumes are (R, A, S): indices rise towards the patient's right, front and head. Pictures begin at the right, at the
   front and at the head, as radiologists look. */

const PLANES = {
  axial: { across: 0, down: 1, through: 2, letters: ["R", "L", "A", "P"] },
  coronal: { across: 0, down: 2, through: 1, letters: ["R", "L", "S", "I"] },
  sagittal: { across: 1, down: 2, through: 0, letters: ["A", "P", "S", "I"] },
};

const MOST_ZOOM = 6; // steps, of which two double the picture

/* A sprite holds the slices side by side; numbers of labels are `step` apart, so that a little noise does no harm. */
async function readVolume(sprite, [width, height, depth], columns, step) {
  const picture = new Image();
  picture.src = sprite;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const volume = new Uint8Array(width * height * depth);
  for (let slice = 0, to = 0; slice < depth; slice++) {
    const left = (slice % columns) * width;
    const top = Math.floor(slice / columns) * height;
    for (let row = 0; row < height; row++) {
      let from = 4 * ((top + row) * canvas.width + left);
      for (let column = 0; column < width; column++, from += 4) volume[to++] = Math.round(pixels[from] / step);
    }
  }
  return volume;
}

function startViewer(viewer, { cases, labels }) {
  const element = (name) => document.getElementById(`viewer-${name}`);
  const canvases = [...viewer.querySelectorAll("canvas")];
  const colours = [[0, 0, 0], ...labels.map(({ colour }) => [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)))];
  const hidden = new Set(); // names of layers
  const offered = new Set(); // of maps, which are hidden until they are asked for
  let shown = null; // the case, with its volumes
  let position = [0, 0, 0];
  let steps = 0; // of zoom
  let zoom = 1;
  let centre = [0.5, 0.5, 0.5]; // of what is seen, as shares of the axes, counted as pictures are: from the right, front and head

  async function open(number) {
    const { shape, columns, image, layers, start, ...about } = cases[number];
    const read = (sprite, step) => readVolume(sprite, shape, columns, step);
    const volumes = await Promise.all(layers.map(({ sprite, step }) => read(sprite, step)));
    shown = { shape, ...about, image: image && (await read(image, 1)), layers: layers.map((layer, k) => ({ ...layer, volume: volumes[k] })) };
    position = [...start];
    [steps, zoom] = [0, 1];
    layers.filter(({ kind, name }) => kind === "heat" && !offered.has(name)).forEach(({ name }) => {
      offered.add(name);
      hidden.add(name);
    });
    element("case").value = number;
    document.querySelectorAll("[data-open]").forEach((button) => {
      button.setAttribute("aria-current", Number(button.dataset.open) === number);
    });
    element("layers").replaceChildren(...["image", ...layers.map(({ name }) => name), "crosshair"].map(checkbox));
    const extent = shape.map((size, axis) => size * shown.spacing[axis]); // mm
    const ratio = (2 * extent[0] + extent[1]) / Math.max(extent[1], extent[2]);
    viewer.querySelector(".planes").style.setProperty("--ratio", ratio); // lest they are taller than the window
    for (const canvas of canvases) {
      const { across, down, through } = PLANES[canvas.dataset.plane];
      canvas.parentElement.style.flex = `${extent[across]} 1 0`; // one scale for all planes
      canvas.style.aspectRatio = `${extent[across]} / ${extent[down]}`;
      slider(canvas).max = shape[through] - 1;
    }
    draw();
    viewer.dataset.shown = shown.name;
  }

  function checkbox(name) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "checkbox";
    input.name = name;
    input.checked = !hidden.has(name);
    input.addEventListener("change", () => {
      hidden[input.checked ? "delete" : "add"](name);
      draw();
    });
    label.append(input, name);
    return label;
  }

  const slider = (canvas) => canvas.parentElement.querySelector("input");
  const clamp = (value, axis) => Math.min(Math.max(value, 0), shown.shape[axis] - 1);

  function moveTo(axis, value) {
    position[axis] = clamp(value, axis);
    if (zoom > 1) look(axis, Math.abs(share(axis) - centre[axis]) > 0.5 / zoom ? share(axis) : centre[axis]); // it stays in sight
    draw();
  }

  const share = (axis) => 1 - (position[axis] + 0.5) / shown.shape[axis];
  const first = (axis) => centre[axis] - 0.5 / zoom; // share of an axis at which the picture begins

  function look(axis, at) {
    centre[axis] = Math.min(Math.max(at, 0.5 / zoom), 1 - 0.5 / zoom);
  }

  /* About the crosshair, which stays where it is seen unless the picture would end within the plane. */
  function zoomTo(value) {
    const before = zoom;
    steps = Math.min(Math.max(value, 0), MOST_ZOOM);
    zoom = 2 ** (steps / 2);
    [0, 1, 2].forEach((axis) => look(axis, share(axis) + ((centre[axis] - share(axis)) * before) / zoom));
    draw();
  }

  function draw() {
    canvases.forEach(drawPlane);
    element("zoom").textContent = `${Math.round(zoom * 10) / 10} ×`;
    element("out").disabled = steps === 0;
    element("in").disabled = steps === MOST_ZOOM;
    const [width, height] = shown.shape;
    const voxel = (position[2] * height + position[1]) * width + position[0];
    const place = position.map((index, axis) => Math.min(index * shown.factors[axis] + (shown.factors[axis] >> 1), shown.fileShape[axis] - 1));
    const values = shown.layers.map(({ name, kind, highest, volume }) => {
      const value = volume[voxel];
      return `${name} ${kind === "labels" ? (labels[value - 1]?.name ?? "background") : ((value / 255) * highest).toFixed(2)}`;
    });
    const coarse = shown.factors.some((factor) => factor > 1) ? `shown at 1/${shown.factors.join(", 1/")} of its resolution` : [];
    element("readout").textContent = [`voxel (${place.join(", ")}) of ${shown.fileShape.join(" × ")}, from left, back and feet`, ...values]
      .concat(coarse, shown.toScale ? [] : "not to scale, since the spacing is unknown")
      .join("  ·  ");
  }

  function drawPlane(canvas) {
    const { across, down, through, letters } = PLANES[canvas.dataset.plane];
    const { shape, image, layers } = shown;
    const [width, height] = [shape[across], shape[down]];
    const strides = [1, shape[0], shape[0] * shape[1]];
    const voxel = (x, y) =>
      position[through] * strides[through] + (width - 1 - x) * strides[across] + (height - 1 - y) * strides[down];
    const density = devicePixelRatio || 1;
    canvas.width = Math.max(Math.round(canvas.clientWidth * density), 1);
    canvas.height = Math.max(Math.round(canvas.clientHeight * density), 1);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const [scaleX, scaleY] = [(zoom * canvas.width) / width, (zoom * canvas.height) / height];
    const [left, top] = [-first(across) * zoom * canvas.width, -first(down) * zoom * canvas.height];
    slider(canvas).value = position[through];
    canvas.parentElement.querySelector("output").textContent = `${position[through] + 1} / ${shape[through]}`;

    const paint = (colourOf, opacity, smooth) => {
      const small = document.createElement("canvas");
      small.width = width;
      small.height = height;
      const pixels = new ImageData(width, height);
      for (let y = 0, to = 0; y < height; y++) {
        for (let x = 0; x < width; x++, to += 4) pixels.data.set(colourOf(voxel(x, y)), to);
      }
      small.getContext("2d").putImageData(pixels, 0, 0);
      context.globalAlpha = opacity;
      context.imageSmoothingEnabled = smooth;
      context.imageSmoothingQuality = "high";
      context.drawImage(small, 0, 0, width * scaleX, height * scaleY);
      context.globalAlpha = 1;
    };

    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.setTransform(1, 0, 0, 1, left, top);
    if (image && !hidden.has("image")) {
      const [brightness, contrast] = [Number(element("brightness").value), Number(element("contrast").value)];
      paint((at) => {
        const grey = (image[at] - 128) * contrast + 128 + brightness;
        return [grey, grey, grey, 255];
      }, 1, true);
    }
    const opacity = Number(element("opacity").value);
    for (const { name, kind, volume } of layers.filter((layer) => !hidden.has(layer.name))) {
      if (kind === "heat") paint((at) => [255, volume[at], 40, volume[at]], opacity, true);
      else if (name === "reference") outline(context, (x, y) => volume[voxel(x, y)], width, height, scaleX, scaleY, density);
      else paint((at) => [...colours[volume[at]], volume[at] ? 255 : 0], opacity, false);
    }

    context.setTransform(1, 0, 0, 1, 0, 0);
    const point = [left + (width - 0.5 - position[across]) * scaleX, top + (height - 0.5 - position[down]) * scaleY];
    if (!hidden.has("crosshair")) cross(context, point, canvas, density);
    context.fillStyle = "rgba(255, 255, 255, .75)";
    context.font = `${12 * density}px system-ui, sans-serif`;
    const places = [
      [0.01, 0.5, "left", "middle"],
      [0.99, 0.5, "right", "middle"],
      [0.5, 0.01, "center", "top"],
      [0.5, 0.99, "center", "bottom"],
    ];
    places.forEach(([x, y, align, baseline], k) => {
      context.textAlign = align;
      context.textBaseline = baseline;
      context.fillText(letters[k], x * canvas.width, y * canvas.height);
    });
  }

  /* Along the sides of voxels, between each label and whatever else lies beside it. */
  function outline(context, labelAt, width, height, scaleX, scaleY, density) {
    const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height;
    const paths = new Map();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const label = labelAt(x, y);
        if (!label) continue;
        const path = paths.get(label) ?? paths.set(label, new Path2D()).get(label);
        const side = (dx, dy, x1, y1, x2, y2) => {
          if (inside(x + dx, y + dy) && labelAt(x + dx, y + dy) === label) return;
          path.moveTo((x + x1) * scaleX, (y + y1) * scaleY);
          path.lineTo((x + x2) * scaleX, (y + y2) * scaleY);
        };
        side(-1, 0, 0, 0, 0, 1);
        side(1, 0, 1, 0, 1, 1);
        side(0, -1, 0, 0, 1, 0);
        side(0, 1, 0, 1, 1, 1);
      }
    }
    context.lineWidth = 1.8 * density;
    context.lineCap = "square";
    for (const [label, path] of paths) {
      context.strokeStyle = `rgb(${colours[label].join(" ")})`;
      context.stroke(path);
    }
  }

  /* With a gap, so that what it points at can be seen. */
  function cross(context, [x, y], canvas, density) {
    const gap = 9 * density;
    context.strokeStyle = "rgba(255, 255, 255, .5)";
    context.lineWidth = density;
    context.beginPath();
    for (const [fromX, fromY, toX, toY] of [[0, y, x - gap, y], [x + gap, y, canvas.width, y], [x, 0, x, y - gap], [x, y + gap, x, canvas.height]]) {
      context.moveTo(fromX, fromY);
      context.lineTo(toX, toY);
    }
    context.stroke();
  }

  for (const canvas of canvases) {
    const { across, down, through } = PLANES[canvas.dataset.plane];
    const point = ({ offsetX, offsetY }) => {
      const place = (axis, part) => clamp(shown.shape[axis] - 1 - Math.floor((first(axis) + part / zoom) * shown.shape[axis]), axis);
      position[across] = place(across, offsetX / canvas.clientWidth);
      position[down] = place(down, offsetY / canvas.clientHeight);
      draw();
    };
    let from = null; // where a drag began, with what was seen then
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      from = { x: event.offsetX, y: event.offsetY, centre: [...centre], panned: false };
      if (zoom === 1) point(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons || !from) return;
      if (zoom === 1) return point(event);
      const [x, y] = [event.offsetX - from.x, event.offsetY - from.y];
      from.panned ||= Math.hypot(x, y) > 3; // pixels; a click may tremble
      if (!from.panned) return;
      look(across, from.centre[across] - x / canvas.clientWidth / zoom);
      look(down, from.centre[down] - y / canvas.clientHeight / zoom);
      draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (zoom > 1 && from && !from.panned) point(event);
      from = null;
    });
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return; // then it scrolls the page
      event.preventDefault();
      moveTo(through, position[through] - Math.sign(event.deltaY));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const keys = {
        ArrowLeft: [across, 1], ArrowRight: [across, -1], ArrowUp: [down, 1], ArrowDown: [down, -1],
        PageUp: [through, 1], PageDown: [through, -1],
      };
      const zooms = { "+": steps + 1, "=": steps + 1, "-": steps - 1, 0: 0 };
      if (event.ctrlKey || event.metaKey || !(event.key in keys || event.key in zooms)) return; // the browser's own zoom
      event.preventDefault();
      if (event.key in zooms) return zoomTo(zooms[event.key]);
      const [axis, step] = keys[event.key];
      moveTo(axis, position[axis] + step);
    });
    slider(canvas).addEventListener("input", (event) => moveTo(through, Number(event.target.value)));
  }
  for (const name of ["opacity", "brightness", "contrast"]) element(name).addEventListener("input", draw);
  element("in").addEventListener("click", () => zoomTo(steps + 1));
  element("out").addEventListener("click", () => zoomTo(steps - 1));
  element("case").addEventListener("change", (event) => open(Number(event.target.value)));
  document.querySelectorAll("[data-open]").forEach((button) => {
    button.addEventListener("click", async () => {
      await open(Number(button.dataset.open));
      viewer.scrollIntoView({ block: "nearest" });
    });
  });
  new ResizeObserver(() => shown && draw()).observe(viewer);
  open(0);
}

const viewer = document.getElementById("viewer");
if (viewer) startViewer(viewer, JSON.parse(document.getElementById("viewer-data").textContent));
