// What the app suggests to ask it.
import { h } from "./dom.js";

/** Shows prompts as chips; a click asks one. */
export function drawPrompts(element, prompts, onAsk) {
  element.hidden = prompts.length === 0;
  element.replaceChildren(...prompts.map(({ title, message }) => {
    const attributes = { class: "chip", type: "button", "data-testid": "prompt", title: message };
    return h("button", { ...attributes, onclick: () => onAsk(message) }, title);
  }));
}
