// What this browser remembers. Storage may be forbidden or full: then the page works and forgets.
export function recall(key, fallback) {
  try {
    const text = localStorage.getItem("matinee." + key);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

export function keep(key, value) {
  try {
    if (value === null || value === undefined) localStorage.removeItem("matinee." + key);
    else localStorage.setItem("matinee." + key, JSON.stringify(value));
  } catch {
    // nothing to do: see above
  }
}
