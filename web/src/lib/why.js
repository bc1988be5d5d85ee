// Reasons in words. The server says them in the viewer's language; where it sends only data, the page says them.
import { remembered } from "./feed.js";
import { titled } from "./names.js";
import { known, t } from "./words.js";

export function reasonTitle(reason) {
  if (!reason.item) return "";
  return titled({ item: reason.item, title: reason.title ?? remembered(reason.item)?.title ?? "" }).name;
}

export function reasonWords(reason) {
  if (reason.text) return reason.text;
  const key = "reason_" + reason.kind;
  return known(key) ? t(key, { title: reasonTitle(reason) || "?" }) : reason.kind;
}

export function firstReason(item) {
  const first = item.reasons?.[0];
  return first ? reasonWords(first).slice(0, 200) : "";
}

/** Weights as shares of the heaviest, for bars. */
export function bars(reasons) {
  const top = Math.max(...reasons.map((r) => Math.abs(r.weight ?? 0)), 1e-9);
  const sum = reasons.reduce((all, r) => all + Math.abs(r.weight ?? 0), 0) || 1;
  return reasons.map((r) => ({ ...r, bar: Math.abs(r.weight ?? 0) / top, share: Math.round((100 * Math.abs(r.weight ?? 0)) / sum) }));
}
