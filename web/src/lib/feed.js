// The rows, and what happens to them after a deed: post the event, wait until it is durable, read the rows anew.
import { app, say } from "./app.svelte.js";
import { get } from "./api.js";
import { record } from "./events.js";
import { titled } from "./names.js";
import { t } from "./words.js";

const PER_ROW = 24;
const IN_CATEGORY = 60;
const DEEDS = ["play", "finish", "like", "dislike", "save", "share", "comment", "skip", "hide", "rating", "search"];
const LEFT = /^at (\d+(?:\.\d+)?) of (\d+(?:\.\d+)?)$/; // where a play was left, in seconds
const seen = new Map(); // items as some slate brought them, with reasons; the newest wins
let asked = 0;

export const remembered = (id) => seen.get(id);

export function remember(items, slate) {
  for (const item of items) {
    const before = seen.get(item.item);
    seen.set(item.item, { ...before, ...item, slate: slate ?? item.slate ?? before?.slate });
  }
  if (seen.size > 5000) for (const id of [...seen.keys()].slice(0, 1000)) seen.delete(id);
  return items;
}

const pictures = new Map(); // item -> addresses of its shots' pictures, as a promise

/** The pictures of an item's shots; none where it has none or the server is away. */
export function framesOf(id) {
  if (!pictures.has(id)) {
    if (pictures.size > 300) pictures.clear();
    const asked = get(["items", id]).then((whole) => (remember([whole]), whole.shots.map((shot) => shot.frame).filter(Boolean)));
    pictures.set(id, asked.catch(() => (pictures.delete(id), [])));
  }
  return pictures.get(id);
}

const AT_ONCE = 100;

/** Items by their ids, those that are not known yet read in few questions; what is gone is left out. */
export async function itemsOf(ids) {
  const missing = ids.filter((id) => !seen.has(id));
  for (let i = 0; i < missing.length; i += AT_ONCE) {
    const asked = new URLSearchParams();
    for (const id of missing.slice(i, i + AT_ONCE)) asked.append("id", id);
    remember((await get(["items"], asked)).items);
  }
  return new Map(ids.filter((id) => seen.has(id)).map((id) => [id, seen.get(id)]));
}

async function fetchRows() {
  const user = app.viewer;
  const { collection, category, diversity } = app;
  if (category) {
    const slate = await get(["users", user, "recommendations"], { n: IN_CATEGORY, collection, category, diversity });
    return [{ row: "for_you", key: "for_you", grid: true, only: category, next: slate.next, items: remember(slate.items, slate.slate) }];
  }
  const wanted = [get(["users", user, "rows"], { n: PER_ROW, collection, diversity })];
  if (diversity !== null) {
    wanted.push(get(["users", user, "recommendations"], { n: PER_ROW, collection, diversity }));
  }
  const [answer, varied] = await Promise.all(wanted);
  const rows = answer.rows.filter((row) => row.items.length > 0);
  for (const row of rows) {
    row.key = row.row + "|" + (row.item ?? row.category ?? "");
    if (row.row === "for_you" && varied) Object.assign(row, { items: varied.items, slate: varied.slate });
    remember(row.items, row.slate);
  }
  const keys = new Set();
  return rows.filter((row) => !keys.has(row.key) && keys.add(row.key));
}

/** Reads the rows. Returns how many suggestions for the viewer are others than before, or null on a first reading. */
export async function loadRows() {
  const mine = ++asked;
  const before = app.rows;
  try {
    const rows = await fetchRows();
    if (mine !== asked) return null; // a later question is on its way
    const first = rows.find((row) => row.row === "for_you");
    const scope = [app.viewer, app.collection, app.category].join("\n");
    const known = scope === app.scope ? before?.find((row) => row.row === "for_you") : undefined;
    const old = new Set((known?.items ?? []).map((item) => item.item));
    const others = known && first ? first.items.filter((item) => !old.has(item.item)).map((item) => item.item) : [];
    app.fresh = Object.fromEntries(others.map((id) => [id, true]));
    app.rows = rows;
    app.scope = scope;
    app.problem = null;
    app.turn += 1;
    return known ? others.length : null;
  } catch (problem) {
    if (mine === asked) app.problem = problem;
    return null;
  }
}

/** Reads the next page of a row that has one and appends it. */
export async function loadMore(row) {
  if (!row.next) return;
  const { next, items } = row;
  row.next = null; // asked for once
  const { collection, category, diversity } = app;
  try {
    const slate = await get(["users", app.viewer, "recommendations"], { n: IN_CATEGORY, collection, category, diversity, page: next });
    const known = new Set(items.map((item) => item.item));
    row.items = [...items, ...remember(slate.items, slate.slate).filter((item) => !known.has(item.item))];
    row.next = slate.next;
  } catch {
    row.next = next; // scrolling there again asks again
  }
}

/** All kinds of events but impressions, for questions of what a viewer did. */
export function deeds(n, kinds = DEEDS) {
  const asked = new URLSearchParams({ n });
  for (const kind of kinds) asked.append("kind", kind);
  return asked;
}

/** What the viewer did before, so that hearts, stars and where a film was left stand right after a reload. */
export async function loadDid() {
  const viewer = app.viewer;
  const { events } = await get(["users", viewer, "events"], deeds(500)).catch((problem) => {
    app.known = true;
    throw problem;
  });
  if (viewer !== app.viewer) return;
  app.known = true;
  if (events.length === 0) app.starting = true;
  const did = {};
  for (const event of [...events].reverse()) if (event.item) note(did, event);
  app.did = did;
}

function note(did, event) {
  const now = { ...did[event.item] };
  if (event.kind === "like") Object.assign(now, { like: true, dislike: false });
  if (event.kind === "dislike") Object.assign(now, { like: false, dislike: true });
  if (event.kind === "save") now.save = true;
  if (event.kind === "rating") now.stars = event.value;
  if (event.kind === "finish") Object.assign(now, { seen: true, at: 0, share: 0 });
  const left = event.kind === "play" ? LEFT.exec(event.text ?? "") : null;
  if (left) Object.assign(now, resumed(Number(left[1]), Number(left[2])));
  if (event.kind === "hide") now.hidden = true;
  did[event.item] = now;
}

/** Where to go on; at either end there is nothing to go on with. */
function resumed(at, whole) {
  return !whole || at < 3 || at > whole - 3 ? { at: 0, share: 0 } : { at, share: at / whole };
}

export const leftAt = (at, whole) => `at ${at.toFixed(1)} of ${whole.toFixed(1)}`;

/** Post what was done with an item, then let the rows answer. */
export async function act(item, kind, value = undefined, text = undefined) {
  const slate = seen.get(item.item)?.slate;
  note(app.did, { item: item.item, kind, value, text });
  if (kind === "hide") dropEverywhere(item.item);
  const late = setTimeout(() => say(t("waiting")), 1500);
  try {
    await record(app.viewer, kind, item.item, { value, text, slate });
  } catch (problem) {
    clearTimeout(late);
    say(t("refused", { why: problem.message || problem.code }), "bad");
    return;
  }
  clearTimeout(late);
  const changed = await loadRows();
  const { name } = titled(item);
  const short = name.length > 60 ? name.slice(0, 59) + "…" : name;
  const said = t("did_" + kind, { title: short, n: value });
  const then = changed === null ? "" : changed ? t("changed", { n: changed }) : t("unchanged");
  say(said + (app.lang === "zh" ? "" : " ") + then);
}

function dropEverywhere(id) {
  for (const row of app.rows ?? []) row.items = row.items.filter((item) => item.item !== id);
}
