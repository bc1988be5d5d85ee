// Title cards for what has no cover: drawn from the item's id, in the palette and the motif of its category. The same
// item always gets the same card. Everything is a list of SVG paths {d, fill, stroke, width, opacity}.

// ground, ink of the title, then three colours
const PALETTES = {
  dusk: ["#22203a", "#f6e7cf", "#e2725b", "#f0b04a", "#5d5a8c"],
  brick: ["#7c2f22", "#fbead2", "#e58a4e", "#f3c57b", "#4a1a16"],
  moss: ["#24352b", "#f1ead6", "#7fa06b", "#d9b65d", "#12201a"],
  ink: ["#14161c", "#efe9dc", "#9aa3ad", "#d8d2c4", "#2e333d"],
  blood: ["#180d10", "#f3ddd0", "#a81c2b", "#e0502f", "#3a1519"],
  rose: ["#7a2848", "#fdeadf", "#ef8fa0", "#f6c7a3", "#4b1530"],
  sea: ["#123b4a", "#f1ecdc", "#3f9c9c", "#f0b567", "#0a2430"],
  space: ["#0f1030", "#eef0ff", "#6a6ff0", "#f08fb8", "#2a2c68"],
  sand: ["#c98a4b", "#2a1508", "#8a3b1f", "#f2d49b", "#5a2512"],
  sun: ["#f0b243", "#33150a", "#e4572e", "#fbe6b2", "#b3341f"],
  candy: ["#ef7f5a", "#34101c", "#fbe3b5", "#3d9c94", "#c13f5a"],
  sky: ["#3f7fa6", "#fff6e2", "#f6cf6b", "#e8674a", "#1f4a6b"],
  plum: ["#3b1f4f", "#f8e9dd", "#b56bc0", "#f2b056", "#22102f"],
  steel: ["#343f3c", "#f0e8d6", "#a54a2e", "#8f9a86", "#1c2422"],
  paper: ["#e9dcc3", "#2b1d12", "#b5452c", "#6d8a83", "#c9b48d"],
  teal: ["#0f4f4a", "#f8efda", "#e9a23b", "#64b6a6", "#072e2d"],
};

// what a category looks like: palettes, motifs
const LOOKS = {
  action: [["brick", "blood", "steel"], ["shards", "rays"]],
  adventure: [["sea", "sand", "teal"], ["hills", "sails"]],
  animation: [["sky", "candy", "sun"], ["pebbles", "rays"]],
  "children's": [["candy", "sky", "sun"], ["pebbles", "arches"]],
  comedy: [["sun", "candy", "paper"], ["rays", "pebbles", "steps"]],
  crime: [["ink", "steel", "brick"], ["blinds", "steps"]],
  documentary: [["paper", "moss", "sea"], ["contours", "columns"]],
  drama: [["dusk", "paper", "brick", "moss", "plum"], ["fields", "halves", "window", "meeting", "hills", "steps"]],
  fantasy: [["plum", "teal", "space"], ["arches", "moon"]],
  "film-noir": [["ink"], ["blinds", "window"]],
  horror: [["blood", "ink"], ["thorns", "eye"]],
  musical: [["rose", "plum", "sun"], ["waves", "columns"]],
  music: [["rose", "plum", "teal", "sun"], ["waves", "columns", "rings"]],
  mystery: [["plum", "ink", "teal"], ["rings", "eye", "window"]],
  romance: [["rose", "dusk", "candy"], ["meeting", "halves"]],
  "sci-fi": [["space", "sea"], ["orbits", "rings"]],
  thriller: [["ink", "blood", "steel"], ["blinds", "shards", "eye"]],
  war: [["steel", "moss", "brick"], ["shards", "fields"]],
  western: [["sand", "sun", "brick"], ["hills"]],
  nature: [["moss", "teal", "sea"], ["contours", "hills", "sails"]],
  animals: [["moss", "sand", "teal"], ["contours", "pebbles", "hills"]],
  speech: [["paper", "dusk", "rose"], ["waves", "rings"]],
  sound: [["teal", "plum", "sea", "dusk"], ["waves", "columns", "rings"]],
};
const ANY_LOOK = [Object.keys(PALETTES), ["fields", "rings", "hills", "halves", "contours", "columns", "arches", "meeting"]];

export function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length && i < 4096; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}

function chance(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let x = Math.imul(a ^ (a >>> 15), 1 | a);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

const n = (x) => Math.round(x * 10) / 10;
const circle = (x, y, r) => `M${n(x - r)} ${n(y)}a${n(r)} ${n(r)} 0 1 0 ${n(2 * r)} 0a${n(r)} ${n(r)} 0 1 0 ${n(-2 * r)} 0z`;
const ellipse = (x, y, a, b, turn) => {
  const [c, s] = [Math.cos(turn), Math.sin(turn)];
  const [dx, dy, deg] = [a * c, a * s, n((turn * 180) / Math.PI)];
  return `M${n(x - dx)} ${n(y - dy)}A${n(a)} ${n(b)} ${deg} 1 0 ${n(x + dx)} ${n(y + dy)}A${n(a)} ${n(b)} ${deg} 1 0 ${n(x - dx)} ${n(y - dy)}z`;
};
const rect = (x, y, w, h) => `M${n(x)} ${n(y)}h${n(w)}v${n(h)}h${n(-w)}z`;
const poly = (points) => "M" + points.map(([x, y]) => `${n(x)} ${n(y)}`).join("L") + "z";
const fill = (d, colour, opacity = 1) => ({ d, fill: colour, opacity });
const line = (d, colour, width, opacity = 1) => ({ d, fill: "none", stroke: colour, width: n(width), opacity });

/** A flowing line across the card at height y, closed down to the ground. */
function hill(w, h, y, swing, r) {
  const a = y + (r() - 0.5) * swing;
  const b = y + (r() - 0.5) * swing;
  const c = y + (r() - 0.5) * swing;
  return `M0 ${n(a)}C${n(w * 0.25)} ${n(a - swing)} ${n(w * 0.4)} ${n(b + swing)} ${n(w * 0.6)} ${n(b)}S${n(w * 0.9)} ${n(c - swing * 0.6)} ${n(w)} ${n(c)}V${n(h)}H0z`;
}

const MOTIFS = {
  hills(w, h, r, [, , a, b, c]) {
    const m = Math.min(w, h);
    const out = [fill(circle(w * (0.25 + 0.5 * r()), h * 0.34, m * (0.18 + 0.1 * r())), b)];
    [[0.5, a, 0.75], [0.62, a, 1], [0.76, c, 1]].forEach(([y, colour, o]) => out.push(fill(hill(w, h, h * y, h * 0.13, r), colour, o)));
    return out;
  },
  sails(w, h, r, [, , a, b, c]) {
    const out = [fill(circle(w * (0.2 + 0.6 * r()), h * 0.26, Math.min(w, h) * 0.13), b)];
    for (let i = 0; i < 3; i++) {
      const x = w * (0.18 + 0.28 * i + 0.08 * r());
      const s = h * (0.18 + 0.16 * r());
      out.push(fill(poly([[x, h * 0.6], [x, h * 0.6 - s], [x + s * 0.55, h * 0.6]]), i % 2 ? b : a, 0.95));
    }
    for (let i = 0; i < 4; i++) out.push(fill(hill(w, h, h * (0.58 + 0.1 * i), h * 0.05, r), i % 2 ? a : c, 0.85));
    return out;
  },
  blinds(w, h, r, [, , a, b, c]) {
    const out = [];
    const lean = w * (0.15 + 0.3 * r()) * (r() < 0.5 ? -1 : 1);
    const step = h / 11;
    for (let i = 0; i < 11; i++) {
      const inset = Math.abs(i - 4) * w * 0.045;
      const x = w * 0.5 + lean * (i / 11 - 0.5) + inset * 0.4;
      const half = w * 0.34 - inset * 0.5;
      if (half > 0) out.push(fill(poly([[x - half, i * step], [x + half, i * step + step * 0.25], [x + half, i * step + step * 0.75], [x - half, i * step + step * 0.5]]), b, 0.9 - i * 0.06));
    }
    const x = w * (0.35 + 0.3 * r());
    out.push(fill(circle(x, h * 0.42, Math.min(w, h) * 0.11), c), fill(poly([[x - w * 0.2, h], [x - w * 0.1, h * 0.52], [x + w * 0.1, h * 0.52], [x + w * 0.2, h]]), c));
    out.push(fill(rect(x - w * 0.15, h * 0.355, w * 0.3, h * 0.022), c), fill(rect(0, h * 0.985, w, h * 0.015), a));
    return out;
  },
  orbits(w, h, r, [, , a, b, c]) {
    const m = Math.min(w, h);
    const [x, y, turn] = [w * (0.3 + 0.4 * r()), h * 0.4, (r() - 0.5) * 1.4];
    const out = [];
    for (let i = 0; i < 26; i++) out.push(fill(circle(w * r(), h * r(), m * 0.004 + m * 0.006 * r()), "#ffffff", 0.35 + 0.5 * r()));
    for (let i = 3; i >= 1; i--) out.push(line(ellipse(x, y, m * 0.23 * i, m * 0.075 * i, turn), i % 2 ? a : b, m * 0.008, 0.8));
    out.push(fill(circle(x, y, m * 0.17), a), fill(ellipse(x + m * 0.03, y + m * 0.02, m * 0.15, m * 0.13, turn), c, 0.55));
    out.push(fill(circle(x + m * 0.46 * Math.cos(turn), y + m * 0.46 * Math.sin(turn), m * 0.045), b));
    return out;
  },
  rings(w, h, r, [, , a, b, c]) {
    const m = Math.max(w, h);
    const [x, y] = [w * (0.15 + 0.7 * r()), h * (0.2 + 0.25 * r())];
    const out = [];
    for (let i = 7; i >= 1; i--) out.push(fill(circle(x, y, (m * i) / 11), [a, c, b, c][i % 4], 0.92));
    return out;
  },
  eye(w, h, r, [g, , a, b, c]) {
    const [x, y, s] = [w / 2, h * 0.38, Math.min(w, h) * 0.42];
    const out = [];
    for (let i = 0; i < 24; i++) {
      const t = (i / 24) * Math.PI * 2 + r() * 0.1;
      out.push(line(`M${n(x + s * 0.9 * Math.cos(t))} ${n(y + s * 0.62 * Math.sin(t))}L${n(x + s * 2.4 * Math.cos(t))} ${n(y + s * 2 * Math.sin(t))}`, c, s * 0.05, 0.9));
    }
    out.push(fill(`M${n(x - s)} ${n(y)}Q${n(x)} ${n(y - s * 0.95)} ${n(x + s)} ${n(y)}Q${n(x)} ${n(y + s * 0.95)} ${n(x - s)} ${n(y)}z`, b));
    out.push(fill(circle(x, y, s * 0.36), a), fill(circle(x, y, s * 0.17), g), fill(circle(x + s * 0.1, y - s * 0.12, s * 0.07), "#ffffff", 0.8));
    return out;
  },
  thorns(w, h, r, [g, , a, b, c]) {
    const m = Math.min(w, h);
    const out = [fill(circle(w * (0.35 + 0.3 * r()), h * 0.34, m * 0.27), r() < 0.5 ? a : b)];
    for (let layer = 0; layer < 2; layer++) {
      const points = [[0, h]];
      const spikes = 7 + Math.floor(r() * 4);
      for (let i = 0; i <= spikes; i++) {
        const x = (w * i) / spikes;
        points.push([x - w * 0.03, h * (0.74 + 0.12 * layer)], [x + (r() - 0.5) * w * 0.1, h * (0.28 + 0.2 * layer + 0.3 * r())], [x + w * 0.03, h * (0.74 + 0.12 * layer)]);
      }
      out.push(fill(poly([...points, [w, h]]), layer ? g : c));
    }
    return out;
  },
  meeting(w, h, r, [, , a, b, c]) {
    const s = Math.min(w, h) * (0.3 + 0.08 * r());
    const [x, y, t] = [w / 2, h * 0.38, r() * Math.PI];
    const [dx, dy] = [s * 0.55 * Math.cos(t), s * 0.55 * Math.sin(t)];
    return [fill(circle(x, y, s * 2.1), c, 0.55), fill(circle(x - dx, y - dy, s), a), fill(circle(x + dx, y + dy, s), b, 0.86)];
  },
  rays(w, h, r, [, , a, b, c]) {
    const [x, y] = [w * (0.3 + 0.4 * r()), h * (0.36 + 0.1 * r())];
    const far = w + h;
    const count = 9 + Math.floor(r() * 6);
    const turn = r();
    const out = [];
    for (let i = 0; i < count; i++) {
      const t = ((i + turn) / count) * Math.PI * 2;
      const half = Math.PI / count / 2;
      out.push(fill(poly([[x, y], [x + far * Math.cos(t - half), y + far * Math.sin(t - half)], [x + far * Math.cos(t + half), y + far * Math.sin(t + half)]]), b, 0.85));
    }
    const s = Math.min(w, h) * 0.2;
    out.push(fill(circle(x, y, s * 1.25), c), fill(circle(x, y, s), a));
    return out;
  },
  fields(w, h, r, [, , a, b, c]) {
    const cut = h * (0.28 + 0.2 * r());
    const gap = Math.min(w, h) * 0.06;
    const out = [fill(rect(gap, gap, w - 2 * gap, cut - gap), a), fill(rect(gap, cut + gap * 0.6, w - 2 * gap, h - cut - gap * 1.6), c)];
    out.push(fill(circle(w * (0.25 + 0.5 * r()), cut + gap * 0.3, Math.min(w, h) * (0.1 + 0.08 * r())), b));
    return out;
  },
  halves(w, h, r, [, , a, b, c]) {
    const s = Math.min(w, h) * 0.36;
    const x = w * (0.35 + 0.3 * r());
    const y = h * 0.4;
    const flip = r() < 0.5;
    const half = (cx, cy, up) => `M${n(cx - s)} ${n(cy)}A${n(s)} ${n(s)} 0 0 ${up ? 1 : 0} ${n(cx + s)} ${n(cy)}z`;
    const out = [fill(rect(0, y, w, h - y), c), fill(half(x, y, true), flip ? a : b), fill(half(x + s * 0.35, y, false), flip ? b : a)];
    out.push(line(`M0 ${n(y)}H${w}`, b, h * 0.004, 0.8));
    return out;
  },
  window(w, h, r, [, , a, b, c]) {
    const s = Math.min(w * 0.42, h * 0.3);
    const [x, y] = [w * (0.3 + 0.3 * r()), h * 0.12];
    const lean = w * (0.1 + 0.2 * r());
    const out = [fill(poly([[x, y + s * 1.4], [x + s, y + s * 1.4], [x + s + lean * 1.6, h], [x - lean * 0.4, h]]), b, 0.22)];
    const columns = 1 + Math.floor(r() * 3);
    const panes = 1 + Math.floor(r() * 3);
    const [pw, ph, lit] = [s / columns, (s * 1.4) / panes, Math.floor(r() * columns * panes)];
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < panes; j++) out.push(fill(rect(x + i * pw, y + j * ph, pw * 0.93, ph * 0.95), i * panes + j === lit ? b : a, 0.95));
    }
    out.push(fill(rect(0, h * 0.86, w, h * 0.14), c));
    return out;
  },
  pebbles(w, h, r, [, , a, b, c]) {
    const out = [];
    const m = Math.min(w, h);
    for (let i = 0; i < 9; i++) out.push(fill(ellipse(w * r(), h * (0.05 + 0.75 * r()), m * (0.1 + 0.13 * r()), m * (0.07 + 0.1 * r()), r() * 3), [a, b, c][i % 3], 0.95));
    return out;
  },
  arches(w, h, r, [g, , a, b, c]) {
    const out = [];
    const x = w * (0.35 + 0.3 * r());
    const y = h * 0.66;
    const m = Math.max(w, h) * 0.52;
    for (let i = 0; i < 5; i++) {
      const s = m * (1 - i * 0.18);
      out.push(fill(`M${n(x - s)} ${h}V${n(y)}A${n(s)} ${n(s)} 0 0 1 ${n(x + s)} ${n(y)}V${h}z`, [c, a, b, a, g][i]));
    }
    for (let i = 0; i < 9; i++) out.push(fill(circle(w * r(), h * 0.3 * r(), Math.min(w, h) * 0.008), b));
    return out;
  },
  moon(w, h, r, [g, , a, b, c]) {
    const m = Math.min(w, h);
    const [x, y, s] = [w * (0.4 + 0.2 * r()), h * 0.36, m * 0.27];
    const out = [];
    for (let i = 0; i < 30; i++) out.push(fill(circle(w * r(), h * 0.7 * r(), m * (0.003 + 0.007 * r())), b, 0.8));
    out.push(fill(circle(x, y, s), b), fill(circle(x + s * 0.42, y - s * 0.12, s * 0.86), g));
    out.push(fill(hill(w, h, h * 0.66, h * 0.1, r), a, 0.8), fill(hill(w, h, h * 0.78, h * 0.1, r), c));
    return out;
  },
  waves(w, h, r, [, , a, b, c]) {
    const out = [];
    for (let i = 0; i < 11; i++) {
      const y = h * (0.14 + 0.055 * i);
      const lift = h * 0.14 * Math.sin((i / 10) * Math.PI) * (0.6 + 0.8 * r());
      const p = w * (0.25 + 0.5 * r());
      out.push({ ...line(`M${n(-w * 0.05)} ${n(y)}C${n(p * 0.6)} ${n(y)} ${n(p * 0.8)} ${n(y - lift)} ${n(p)} ${n(y - lift)}S${n(p + (w - p) * 0.3)} ${n(y + lift * 0.4)} ${n(w * 1.05)} ${n(y)}`, [a, b, a, c][i % 4], h * 0.011), fill: i % 4 === 3 ? "none" : "none" });
    }
    return out;
  },
  columns(w, h, r, [, , a, b, c]) {
    const out = [];
    const count = w > h ? 22 : 13;
    const step = w / count;
    for (let i = 0; i < count; i++) {
      const tall = h * (0.08 + 0.5 * Math.abs(Math.sin(i * (0.35 + r() * 0.1)) * r()));
      out.push(fill(rect(i * step + step * 0.18, h * 0.4 - tall / 2, step * 0.64, tall), [a, b, c][(i * 7) % 3 === 0 ? 1 : (i * 7) % 2 ? 0 : 2], 0.95));
    }
    return out;
  },
  contours(w, h, r, [, , a, b, c]) {
    const out = [fill(hill(w, h, h * 0.55, h * 0.2, r), c, 0.5)];
    const [x, y, turn] = [w * (0.3 + 0.4 * r()), h * 0.36, r() * 3];
    for (let i = 9; i >= 1; i--) {
      const s = Math.min(w, h) * 0.085 * i;
      out.push(line(ellipse(x + Math.sin(i) * s * 0.1, y + Math.cos(i * 1.7) * s * 0.08, s * 1.25, s * 0.85, turn + i * 0.07), i % 3 ? a : b, Math.min(w, h) * 0.009, 0.9));
    }
    out.push(fill(circle(x, y, Math.min(w, h) * 0.045), b));
    return out;
  },
  shards(w, h, r, [, , a, b, c]) {
    const out = [];
    const lean = (r() < 0.5 ? -1 : 1) * w * (0.25 + 0.25 * r());
    for (let i = 0; i < 6; i++) {
      const x = w * (-0.1 + 0.22 * i + 0.1 * r());
      const wide = w * (0.05 + 0.13 * r());
      out.push(fill(poly([[x, -2], [x + wide, -2], [x + wide * 0.3 + lean, h + 2], [x + lean, h + 2]]), [a, c, b][i % 3], 0.92));
    }
    return out;
  },
  steps(w, h, r, [, , a, b, c]) {
    const out = [];
    const count = 3 + Math.floor(r() * 5);
    const rise = 0.35 + 0.3 * r();
    for (let i = 0; i < count; i++) {
      const wide = w / count;
      const tall = h * (0.2 + (rise * i) / (count - 1));
      out.push(fill(rect(i * wide, h - tall, wide + 0.5, tall), i % 2 ? a : c, 0.95));
    }
    out.push(fill(circle(w * (0.2 + 0.25 * r()), h * (0.18 + 0.14 * r()), Math.min(w, h) * (0.09 + 0.1 * r())), b));
    return out;
  },
};

export const SHAPES = { poster: [200, 300], wide: [320, 180], square: [200, 200] };

/** {width, height, ground, ink, paths}: the card of an item in one of SHAPES. */
export function draw(item, shape) {
  const seed = hash(item.item + "\n" + (item.title ?? ""));
  const r = chance(seed);
  const named = (item.categories ?? []).map((name) => LOOKS[String(name).toLowerCase()]).filter(Boolean);
  const kind = item.kind === "audio" ? LOOKS.sound : null;
  const [palettes, motifs] = named.length ? named[Math.floor(r() * named.length)] : (kind ?? ANY_LOOK);
  const palette = PALETTES[palettes[Math.floor(r() * palettes.length)]];
  const motif = motifs[Math.floor(r() * motifs.length)];
  const [width, height] = SHAPES[shape] ?? SHAPES.poster;
  const [ground, ink, a, b, c] = palette;
  const turned = r() < 0.4 ? [ground, ink, b, a, c] : palette; // the two bright colours may trade places
  const mirror = r() < 0.5 ? `translate(${width} 0) scale(-1 1)` : undefined;
  return { width, height, ground, ink, mirror, paths: MOTIFS[motif](width, height, r, turned) };
}

/** Two colours for a viewer's badge. */
export function badge(name) {
  const all = Object.values(PALETTES);
  const palette = all[hash(name) % all.length];
  return { ground: palette[0], ink: palette[1], accent: palette[2] };
}
