// Motion that says what changed; none of it where the viewer asked for less.
import { fade, fly } from "svelte/transition";
import { flip } from "svelte/animate";
import { cubicOut } from "svelte/easing";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const ms = (full) => (still.matches ? 0 : full);

export const arrive = (node) => fly(node, { y: 18, duration: ms(480), easing: cubicOut });
export const leave = (node) => fade(node, { duration: ms(220) });
export const shift = (node, fromTo) => flip(node, fromTo, { duration: (d) => ms(Math.min(700, 260 + d * 0.5)), easing: cubicOut });
export const appear = (node) => fade(node, { duration: ms(180) });
