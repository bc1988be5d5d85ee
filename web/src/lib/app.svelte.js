// The page's state: one object, read by every part.
import { keep, recall } from "./kept.js";

const languages = navigator.languages ?? [navigator.language ?? "en"];
const spoken = languages.find((l) => /^(zh|en)/i.test(l)) ?? "en";

export const app = $state({
  lang: recall("lang", spoken.toLowerCase().startsWith("zh") ? "zh" : "en"),
  theme: recall("theme", "auto"),
  viewer: recall("viewer", null),
  collection: recall("collection", ""),
  category: "",
  diversity: recall("diversity", null),
  collections: [],
  gone: false,
  locked: false, // the server wants a key
  rows: null,
  scope: "", // whose rows these are: another viewer or collection is another page, not a change of this one
  problem: null,
  turn: 0, // grows with every reload of the rows, so that parts can follow
  fresh: {}, // items that the last reload brought
  starting: false, // a viewer who has done nothing yet is asked what they like
  known: false, // whether it was read yet what this viewer did
  did: {}, // what this viewer did: item -> {like, dislike, save, stars, at, share}
  seek: null, // a file to search with
  why: null, // the item whose reasons lie open
  toasts: [],
});

export function show() {
  const root = document.documentElement;
  root.lang = app.lang === "zh" ? "zh-Hans" : "en";
  if (app.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = app.theme;
}

export function setLanguage(lang) {
  app.lang = lang;
  keep("lang", lang);
  show();
}

export function nextTheme() {
  app.theme = { auto: "dark", dark: "light", light: "auto" }[app.theme] ?? "auto";
  keep("theme", app.theme === "auto" ? null : app.theme);
  show();
}

export function setViewer(user) {
  app.viewer = user;
  keep("viewer", user);
  app.rows = null;
  app.did = {};
  app.known = false;
  app.starting = false;
  app.category = "";
}

export function setCollection(name) {
  app.collection = name;
  app.category = "";
  keep("collection", name);
}

let toastId = 0;

/** Says something for a few seconds. ``tone``: "" or "bad". */
export function say(text, tone = "") {
  const id = ++toastId;
  app.toasts = [...app.toasts.slice(-2), { id, text, tone }];
  setTimeout(() => (app.toasts = app.toasts.filter((toast) => toast.id !== id)), 5200);
  return id;
}
