// The one way to the server. Every failure is a Problem with a code: "gone" when no answer came at all.
import { app } from "./app.svelte.js";

export class Problem extends Error {
  constructor(code, detail, status = 0) {
    super(detail);
    this.code = code;
    this.status = status;
  }
}

const PREFIX = "/api/v1/";

const NAMES = { users: "user", items: "item", reasons: "item" };

/** path(["users", id, "rows"], {n: 20}): every part is percent-encoded, because an id may hold any character. A browser
    folds "." and ".." away even so: such an id goes behind the question mark, and "-" takes its place. */
export function path(parts, query = {}) {
  const asked = new URLSearchParams();
  const given = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  for (const [name, value] of given) {
    if (value !== undefined && value !== null && value !== "") asked.append(name, value);
  }
  const steps = parts.map((part, i) => {
    const name = part === "." || part === ".." ? NAMES[parts[i - 1]] : undefined;
    if (!name) return encodeURIComponent(part);
    asked.append(name, part);
    return "-";
  });
  const tail = asked.toString();
  return PREFIX + steps.join("/") + (tail ? "?" + tail : "");
}

export async function call(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, { ...options, headers: { "Accept-Language": app.lang, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    app.gone = true;
    throw new Problem("gone", "");
  }
  if (answer.status === 502 || answer.status === 504) {
    app.gone = true;
    throw new Problem("gone", "", answer.status);
  }
  app.gone = false;
  if (answer.status === 401) app.locked = true;
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // an answer that is no JSON says nothing beyond its status
  }
  throw new Problem(said.code ?? String(answer.status), said.detail ?? said.title ?? "", answer.status);
}

export const get = (parts, query, signal) => call(path(parts, query), { signal });

export const send = (method, parts, body, query) =>
  call(path(parts, query), {
    method,
    headers: { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

/** Tries a key. The server keeps a good one in a cookie that no script can read, so covers and media have it too. */
export async function unlock(key) {
  await send("POST", ["session"], { key });
  try {
    await get(["collections"]);
  } catch (problem) {
    if (problem.status === 401 || problem.status === 403) await send("POST", ["session"], { key: "" });
    throw problem;
  }
  app.locked = false;
}
