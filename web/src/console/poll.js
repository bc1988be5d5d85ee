// Asks again and again while its part of the console is open; one question at a time, and none while the tab is hidden.
export function poll(ask, every) {
  let timer = 0;
  let open = true;
  async function turn() {
    if (document.visibilityState === "visible") await ask();
    if (open) timer = setTimeout(turn, every);
  }
  turn();
  return () => {
    open = false;
    clearTimeout(timer);
  };
}
