// How things are called on the page. Titles are always text.
import { app } from "./app.svelte.js";
import { t } from "./words.js";

const SORTED = /^(.{1,200}), (The|A|An|Le|La|Les|L'|Il|El|Los|Das|Der|Die|Un|Une)((?: \([^()]{1,200}\))?)$/;
const DATED = /^(.{1,400}?) \((\d{4})\)$/;

/** "Godfather, The (1972)" -> {name: "The Godfather", year: "1972"}: catalogues file titles under their first noun. */
export function titled(item) {
  const whole = (item.title || item.item || "").trim();
  const dated = DATED.exec(whole);
  let name = dated ? dated[1] : whole;
  const sorted = SORTED.exec(name);
  if (sorted) name = (sorted[2].endsWith("'") ? sorted[2] : sorted[2] + " ") + sorted[1] + sorted[3];
  return { name: name || "?", year: dated ? dated[2] : "" };
}

export function clock(seconds) {
  if (!Number.isFinite(seconds) || seconds <= 0) return "";
  const s = Math.max(1, Math.round(seconds));
  const minutes = Math.floor(s / 60) % 60;
  const hours = Math.floor(s / 3600);
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

export function ago(at) {
  const seconds = at - Date.now() / 1000;
  const words = new Intl.RelativeTimeFormat(app.lang === "zh" ? "zh-Hans" : "en", { numeric: "auto" });
  for (const [unit, size] of [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return words.format(Math.round(seconds / size), unit);
  }
  return words.format(0, "minute");
}

export function meta(item) {
  const parts = [titled(item).year, (item.categories ?? []).slice(0, 2).map(category).join(" / "), clock(item.duration)];
  return parts.filter(Boolean).join(" · ");
}

export const category = (name) => t("genre:" + name, {}, name);
export const collection = (name) => t("collection:" + name, {}, name || t("everything"));
