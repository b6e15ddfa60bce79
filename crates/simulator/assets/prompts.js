// What the app suggests to ask it.
import { h } from "./dom.js";

/** Shows prompts as chips; a click asks one. */
export function drawPrompts(element, prompts, onAsk) {
  // What one may be about to press is not replaced by the same.
  const key = JSON.stringify(prompts);
  if (element.dataset.shown === key) return;
  element.dataset.shown = key;
  element.hidden = prompts.length === 0;
  element.replaceChildren(...prompts.map(({ title, message }) => {
    const attributes = { class: "chip", type: "button", "data-testid": "prompt", title: message };
    return h("button", { ...attributes, onclick: () => onAsk(message) }, title);
  }));
}
