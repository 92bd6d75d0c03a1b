// SPDX-License-Identifier: Apache-2.0
// Keeps the page as it is now: status.json has the same texts as the page that came, and the numbers
// of the plot. What it says is put in as text, never as markup.
"use strict";

const PERIOD = 2000;
const SVG = "http://www.w3.org/2000/svg";
const BOX = {left: 0, right: 790, top: 12, bottom: 196};
const svg = document.querySelector("#plot svg");
let plot = null;
let pointed = null;  // index of the period under the pointer

function human(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 1024 && unit + 1 < units.length) {
        bytes /= 1024;
        unit++;
    }
    return bytes.toFixed(unit && bytes < 10 ? 1 : 0) + " " + units[unit] + "/s";
}

function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) {
        made.setAttribute(key, value);
    }
    made.textContent = text || "";
    svg.append(made);
}

// 1, 2 or 5 of a power of two's thousand, at least the highest value.
function ceiling(value) {
    let unit = 1024;
    while (unit * 1024 < value) {
        unit *= 1024;
    }
    for (let step = 1;; step *= 10) {
        for (const digit of [1, 2, 5]) {
            if (digit * step * unit >= value) {
                return digit * step * unit;
            }
        }
    }
}

function draw() {
    svg.replaceChildren();
    const top = ceiling(Math.max(...plot.sent, ...plot.received, 1));
    const x = age => BOX.right - age / plot.span * (BOX.right - BOX.left);
    const y = value => BOX.bottom - value / top * (BOX.bottom - BOX.top);
    for (const part of [0, 0.5, 1]) {
        element("line", {class: "grid", x1: BOX.left, x2: BOX.right, y1: y(part * top),
                         y2: y(part * top)});
    }
    for (let minutes = 1; minutes * 60 <= plot.span; minutes++) {
        const last = minutes * 60 === plot.span;
        element("text", {x: x(minutes * 60), y: 215, "text-anchor": last ? "start" : "middle"},
                "-" + minutes + " min");
    }
    element("text", {x: BOX.right, y: 215, "text-anchor": "end"}, "now");
    for (const name of ["received", "sent"]) {
        const points = plot.ages.map((age, i) => x(age).toFixed(1) + " " + y(plot[name][i]).toFixed(1));
        if (points.length) {
            const path = "M" + points.join("L");
            const ends = ["V" + BOX.bottom, "H" + x(plot.ages[0]).toFixed(1), "Z"];
            element("path", {class: "area " + name, d: path + ends.join("")});
            element("path", {class: "line " + name, d: path});
        }
    }
    for (const part of [0.5, 1]) {
        element("text", {x: BOX.left, y: y(part * top) + 15}, human(part * top));
    }
    const readout = document.querySelector("#readout");
    const at = pointed === null ? plot.ages.length - 1 : pointed;
    readout.textContent = plot.ages[at] === undefined ? "" :
        (pointed === null ? "now" : Math.round(plot.ages[at]) + " s ago") + ": " +
        human(plot.sent[at]) + " sent, " + human(plot.received[at]) + " received";
    if (pointed !== null && plot.ages[at] !== undefined) {
        element("line", {class: "cursor", x1: x(plot.ages[at]), x2: x(plot.ages[at]),
                         y1: BOX.top, y2: BOX.bottom});
    }
}

function point(event) {
    const area = svg.getBoundingClientRect();
    const age = (BOX.right - (event.clientX - area.left) / area.width * 800) /
        (BOX.right - BOX.left) * plot.span;
    const far = plot.ages.map(each => Math.abs(each - age));
    pointed = far.length ? far.indexOf(Math.min(...far)) : null;
    draw();
}

function fill(body, rows) {
    const labels = [...body.parentElement.tHead.rows[0].cells];
    body.classList.toggle("empty", rows.length === 0);
    body.replaceChildren(...rows.map(row => {
        const line = document.createElement("tr");
        line.className = row.kind || "";
        body.dataset.columns.split(" ").forEach((column, i) => {
            const cell = line.insertCell();
            cell.textContent = row[column];
            cell.dataset.label = labels[i].textContent;
            cell.className = labels[i].className;
        });
        return line;
    }));
}

function show(view) {
    for (const place of document.querySelectorAll("[data-text]")) {
        const [part, name] = place.dataset.text.split(".");
        place.textContent = view[part][name];
    }
    for (const body of document.querySelectorAll("[data-rows]")) {
        fill(body, view[body.dataset.rows]);
    }
    document.querySelector("#state").classList.toggle("idle", !view.node.active);
    plot = view.plot;
    document.querySelector("#plot").hidden = false;
    draw();
}

async function refresh() {
    let good = true;
    try {
        const answer = await fetch("status.json", {cache: "no-store"});
        good = answer.ok;
        if (good) {
            show(await answer.json());
        }
    } catch (error) {
        good = false;
    }
    document.querySelector("#stale").hidden = good;
    setTimeout(refresh, PERIOD);
}

svg.addEventListener("pointermove", event => plot && point(event));
svg.addEventListener("pointerleave", () => {
    pointed = null;
    if (plot) {
        draw();
    }
});
refresh();
