// What was truly seen: at least half of a card, for a second, with nothing over it and the tab in front. Told in batches,
// with the slate and the place in it; one item at most once in a while, however often its row is made anew.
import { app } from "./app.svelte.js";
import { recordAll } from "./events.js";
import { remembered } from "./feed.js";

const HALF = 0.5;
const LOOK = 1000; // milliseconds
const FLUSH = 4000;
const AGAIN = 30 * 60 * 1000; // the same item counts again after so long
const told = new Map(); // viewer + item -> when
const looking = new Map(); // element -> {item, timer}
let queue = [];
let flushing = 0;

const watch = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const look = looking.get(entry.target);
      if (!look) continue;
      clearTimeout(look.timer);
      look.timer = entry.intersectionRatio >= HALF ? setTimeout(() => seen(entry.target), LOOK) : 0;
    }
  },
  { threshold: [0, HALF] },
);

function covered(node) {
  const open = document.querySelector("dialog[open]");
  return document.visibilityState !== "visible" || (open !== null && !open.contains(node));
}

function seen(node) {
  const look = looking.get(node);
  if (!look) return;
  if (covered(node)) {
    look.timer = setTimeout(() => seen(node), LOOK);
    return;
  }
  const { item, viewer } = look;
  const slate = remembered(item.item)?.slate;
  const key = viewer + "\n" + item.item;
  if (!slate || Date.now() - (told.get(key) ?? -AGAIN) < AGAIN) return;
  told.set(key, Date.now());
  if (told.size > 20000) told.clear();
  queue.push({ user: viewer, item: item.item, slate, value: (item.position ?? 0) + 1, at: Date.now() / 1000 });
  flushing ||= setTimeout(flush, FLUSH);
}

export function flush() {
  clearTimeout(flushing);
  flushing = 0;
  const batch = queue;
  queue = [];
  if (batch.length) recordAll(batch.map((one) => ({ kind: "impression", ...one })));
}
addEventListener("pagehide", flush);
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && flush());

/** An attachment: {@attach shown(item)}. Only what a slate brought counts; a find or a neighbour was asked for. */
export const shown = (item) => (node) => {
  if (item.position === undefined) return;
  looking.set(node, { item, viewer: app.viewer, timer: 0 });
  watch.observe(node);
  return () => {
    clearTimeout(looking.get(node)?.timer);
    looking.delete(node);
    watch.unobserve(node);
  };
};
