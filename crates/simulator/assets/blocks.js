// Block Kit, as far as the app may use it.
import { h } from "./dom.js";
import { decode } from "./inline.js";
import { render } from "./markdown.js";

/**
 * Nodes for blocks. `context` has `name(id)`, `press(action_id, value)`, and `pressed`, the value of each feedback
 * that was given, by its action id.
 */
export function renderBlocks(blocks, context) {
  return blocks.map((block) => {
    switch (block.type) {
      case "section": {
        const fields = (block.fields ?? []).map((field) => h("div", {}, text(field, context)));
        const grid = fields.length > 0 ? h("div", { class: "fields" }, ...fields) : null;
        const words = h("div", { class: "words" }, block.text ? text(block.text, context) : null, grid);
        return h("div", { class: "section" }, words, ...elements([block.accessory ?? {}], context));
      }
      case "markdown":
        return h("div", { class: "body" }, render(block.text, { markdown: true, name: context.name }));
      case "header":
        return h("h3", { class: "header" }, text(block.text, context));
      case "divider":
        return h("hr");
      case "context":
        return h("div", { class: "context" }, ...block.elements.map((element) => text(element, context)));
      case "actions":
      case "context_actions":
        return h("div", { class: "buttons" }, ...elements(block.elements, context));
      default:
        return h("div", { class: "context" }, `[${block.type}]`);
    }
  });
}

/** A text object, or an image by what it shows. */
function text(object, { name }) {
  if (object.type === "image") return h("span", {}, `[${object.alt_text ?? "image"}]`);
  return object.type === "plain_text" ? decode(object.text) : render(object.text ?? "", { markdown: false, name });
}

const elements = (list, context) => list.flatMap((element) => {
  if (element.type === "button" || element.type === "icon_button") return [button(element, context)];
  if (element.type === "feedback_buttons") return feedback(element, context);
  return element.type ? [h("span", { class: "context" }, `[${element.type}]`)] : [];
});

/** What a button of either kind needs; while the app is told, it cannot be pressed again. */
function pressable(action, value, context) {
  return {
    type: "button", "data-action": action, "data-value": value ?? null,
    async onclick({ currentTarget: pressed }) {
      if (pressed.ariaBusy === "true") return;
      pressed.ariaBusy = "true";
      await context.press(action, value);
      pressed.ariaBusy = "false";
    },
  };
}

function button(element, context) {
  const label = element.text?.text ?? "…";
  const kind = { primary: "small primary", danger: "small danger" }[element.style] ?? "small";
  if (/^https?:\/\//.test(element.url ?? "")) {
    // Slack tells the app of these too.
    const onclick = () => context.press(element.action_id, element.value);
    const link = { href: element.url, target: "_blank", rel: "noopener noreferrer", onclick };
    return h("a", { ...link, class: `button ${kind}` }, label);
  }
  const attributes = pressable(element.action_id, element.value, context);
  return h("button", { ...attributes, class: kind, "aria-label": element.accessibility_label }, label);
}

/** Two thumbs, of which one may be chosen. */
function feedback(element, context) {
  const thumb = (item, kind) => h("button", {
    ...pressable(element.action_id, item.value, context),
    class: `thumb ${kind}`, title: item.text.text, "aria-label": item.accessibility_label ?? item.text.text,
    "aria-pressed": String(context.pressed.get(element.action_id) === item.value),
  });
  return [thumb(element.positive_button, "up"), thumb(element.negative_button, "down")];
}
