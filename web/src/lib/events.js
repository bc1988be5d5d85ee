// What the viewer did, on its way to the server. An event is kept in the browser until the server has it for good; its id
// is made here, so sending it twice changes nothing.
import { call, path, Problem } from "./api.js";
import { keep, recall } from "./kept.js";

let waiting = recall("events", []);
const settled = new Map(); // event id -> {resolve, reject}
let sending = false;
let pause = 1000;
let timer = 0;
const MOST = 1000; // kept while the server is away; the oldest go first
const BATCH = 100;

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID needs https, which a home server lacks
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

const session = newId();

/** Resolves when the event is durable, rejects when the server refuses it; waits as long as the server is away. */
export function record(user, kind, item, more = {}) {
  const event = { id: newId(), user, kind, at: Date.now() / 1000, session, ...more };
  if (item !== null) event.item = item;
  for (const name of Object.keys(event)) if (event[name] === undefined || event[name] === null) delete event[name];
  waiting.push(event);
  waiting = waiting.slice(-MOST);
  keep("events", waiting);
  const done = new Promise((resolve, reject) => settled.set(event.id, { resolve, reject }));
  deliver();
  return done;
}

/** Many that nobody waits for: impressions. */
export function recordAll(events) {
  for (const event of events) waiting.push({ id: newId(), session, ...event });
  waiting = waiting.slice(-MOST);
  keep("events", waiting);
  deliver();
}

async function deliver() {
  if (sending || waiting.length === 0) return;
  sending = true;
  clearTimeout(timer);
  const batch = waiting.slice(0, BATCH);
  try {
    const answer = await call(path(["events"]), {
      method: "POST",
      keepalive: true, // a page that closes still delivers
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(batch),
    });
    const refused = new Map((answer.rejected ?? []).map((r) => [r.index, r.error]));
    batch.forEach((event, i) => settle(event, refused.has(i) ? new Problem("refused", String(refused.get(i))) : null));
    pause = 1000;
  } catch (problem) {
    if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) {
      batch.forEach((event) => settle(event, problem)); // it will never be taken: do not try for ever
    } else {
      timer = setTimeout(deliver, pause);
      pause = Math.min(pause * 2, 30000);
      sending = false;
      return;
    }
  }
  sending = false;
  deliver();
}

function settle(event, problem) {
  waiting = waiting.filter((other) => other.id !== event.id);
  keep("events", waiting);
  const waiter = settled.get(event.id);
  settled.delete(event.id);
  if (!waiter) return;
  if (problem) waiter.reject(problem);
  else waiter.resolve();
}

addEventListener("online", deliver);
deliver(); // what an earlier visit could not deliver
