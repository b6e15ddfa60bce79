// Block Kit, as far as the app may use it.
import { h } from "./dom.js";
import { decode } from "./inline.js";
import { render } from "./markdown.js";

/** Nodes for a message's blocks. */
export function renderBlocks(blocks, name) {
  const mrkdwn = { markdown: false, name };
  const text = (object) => (object?.type === "plain_text" ? decode(object.text) : render(object?.text ?? "", mrkdwn));
  return blocks.map((block) => {
    switch (block.type) {
      case "section": {
        const fields = (block.fields ?? []).map((field) => h("div", {}, text(field)));
        const accessory = block.accessory ? button(block.accessory) : null;
        return h("div", {}, block.text ? text(block.text) : null, ...fields, accessory);
      }
      case "markdown":
        return h("div", { class: "body" }, render(block.text, { markdown: true, name }));
      case "header":
        return h("h4", {}, text(block.text));
      case "divider":
        return h("hr");
      case "context":
        return h("div", { class: "context" }, ...block.elements.map((element) => text(element)));
      case "actions":
      case "context_actions":
        return h("div", { class: "buttons" }, ...block.elements.flatMap(buttons));
      default:
        return h("div", { class: "context" }, `[${block.type}]`);
    }
  });
}

const buttons = (element) =>
  (element.type === "feedback_buttons" ? [element.positive_button, element.negative_button] : [element]).map(button);

/** A button; only those that open an address do something here. */
function button(element) {
  const label = element.text?.text ?? "…";
  if (/^https?:\/\//.test(element.url ?? "")) {
    return h("a", { class: "button small", href: element.url, target: "_blank", rel: "noopener noreferrer" }, label);
  }
  const why = "The simulator sends no interactions";
  const spoken = element.accessibility_label ?? label;
  return h("button", { class: "small", type: "button", disabled: true, title: why, "aria-label": spoken }, label);
}
