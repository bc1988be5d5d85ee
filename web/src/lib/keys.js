// Moving with the arrows: left and right along a row, up and down between rows, by where things stand on the screen.
const CARDS = "[data-card]";

function middle(box) {
  return box.left + box.width / 2;
}

function focus(card) {
  if (!card) return;
  card.focus({ preventScroll: true });
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  card.scrollIntoView({ block: "nearest", inline: "nearest", behavior: calm ? "auto" : "smooth" });
}

/** Handles an arrow on a card inside ``scope``. Returns whether it moved. */
export function arrows(event, scope) {
  const card = event.target.closest?.(CARDS);
  if (!card || event.altKey || event.ctrlKey || event.metaKey) return false;
  const group = card.closest("[data-row]");
  const within = [...group.querySelectorAll(CARDS)];
  const here = card.getBoundingClientRect();
  const toRight = getComputedStyle(group).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
  let next = null;
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    next = within[within.indexOf(card) + (event.key === toRight ? 1 : -1)];
  } else if (event.key === "Home" || event.key === "End") {
    next = within[event.key === "Home" ? 0 : within.length - 1];
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    next = nearest(scope, card, group, here, event.key === "ArrowDown" ? 1 : -1);
  } else {
    return false;
  }
  event.preventDefault();
  focus(next);
  return Boolean(next);
}

function nearest(scope, card, group, here, way) {
  const off = (other) => Math.abs(middle(other.getBoundingClientRect()) - middle(here));
  const beyond = [...group.querySelectorAll(CARDS)].filter((other) => {
    const there = other.getBoundingClientRect();
    return way > 0 ? there.top >= here.bottom - 2 : there.bottom <= here.top + 2;
  });
  if (beyond.length) {
    const gap = (other) => Math.abs(other.getBoundingClientRect().top - here.top);
    const line = Math.min(...beyond.map(gap));
    return beyond.filter((other) => gap(other) < line + 8).sort((a, b) => off(a) - off(b))[0];
  }
  const groups = [...scope.querySelectorAll("[data-row]")].filter((other) => other.querySelector(CARDS));
  const next = groups[groups.indexOf(group) + way];
  if (!next) return null;
  const seen = [...next.querySelectorAll(CARDS)];
  return seen.sort((a, b) => off(a) - off(b))[0];
}

/** Arrows, Home and End between the buttons of one list. */
export function arrowsAlong(event) {
  const all = [...event.currentTarget.querySelectorAll("button")];
  const here = all.indexOf(event.target.closest?.("button"));
  const there = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 }[event.key];
  if (here < 0 || there === undefined || !all[there]) return;
  event.preventDefault();
  event.stopPropagation();
  all[there].focus();
}
