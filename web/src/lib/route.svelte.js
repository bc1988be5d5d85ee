// Where the viewer is, kept in the address after "#": view, its argument, and the item that lies open on top of it.
// #/search/cats?item=clip%2F1  The server never sees it, so any static host serves the page.
function read() {
  const [place, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", arg = ""] = place.split("/");
  const asked = new URLSearchParams(query);
  const home = location.pathname.replace(/\/+$/, "").endsWith("/console") ? "console" : "home";
  return { view: view || home, arg: decode(arg), item: asked.get("item"), play: asked.has("play") };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = $state(read());
let depth = 0; // pages of ours behind this one, so that closing goes back where there is a back

addEventListener("hashchange", () => Object.assign(route, read()));

export function address(view, arg = "", item = null, play = false) {
  const asked = new URLSearchParams();
  if (item !== null && item !== undefined) asked.set("item", item);
  if (play) asked.set("play", "1");
  const tail = asked.toString();
  return "#/" + view + (arg ? "/" + encodeURIComponent(arg) : "") + (tail ? "?" + tail : "");
}

export const itemAddress = (item, play = false) => address(route.view, route.arg, item, play);

export function go(hash) {
  depth += 1;
  location.hash = hash;
}

export function replace(hash) {
  history.replaceState(null, "", hash);
  Object.assign(route, read());
}

/** Closes the item that lies open. */
export function closeItem() {
  replace(address(route.view, route.arg));
}
