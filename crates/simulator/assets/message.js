// One message in a list: drawn once, then kept as it changes, its text running in while it streams.
import { avatar, h, send } from "./dom.js";
import { fileViews } from "./files.js";
import { render } from "./markdown.js";
import { renderBlocks } from "./blocks.js";
import { name, place, replies } from "./store.js";

const BLOCKS = "P,UL,OL,LI,BLOCKQUOTE,H4,DIV,PRE,TABLE,TBODY,TR,TD";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** A view of a message; `onOpen`, if given, opens its thread. */
export function messageView(message, onOpen) {
  const body = h("div", { class: "body" });
  const note = h("span", { class: "note" });
  const reactions = h("div", { class: "reactions" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const open = () => onOpen(message.ts);
  const thread = onOpen && !message.to ? h("button", { class: "replies", type: "button", onclick: open }) : null;
  const author = name(message.user);
  const isBot = Boolean(message.bot_id);
  const time = new Date(message.at);
  const element = h(
    "li",
    {
      class: message.to ? "message private" : "message",
      "data-testid": "message", "data-ts": message.ts, "data-author": isBot ? "bot" : "user",
    },
    avatar(author, isBot),
    h("div", { class: "content" },
      h("div", { class: "byline" },
        h("b", {}, author),
        isBot ? h("span", { class: "tag" }, "APP") : null,
        h("time", { datetime: time.toISOString(), title: time.toLocaleString() },
          time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })),
        note),
      body, h("div", { class: "files" }, ...fileViews(message)), problem, reactions, thread),
  );
  let current = message;
  // How much of a streaming text is on the screen.
  let shown = message.streaming && !message.text ? 0 : message.text.length;
  let frame = 0;
  const pressed = new Map();

  async function press(action_id, value) {
    problem.hidden = true;
    try {
      await send("/page/click", { ...place(), ts: message.ts, action_id, value });
      pressed.set(action_id, value);
      for (const thumb of body.querySelectorAll(".thumb")) {
        thumb.ariaPressed = String(pressed.get(thumb.dataset.action) === thumb.dataset.value);
      }
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  }

  function draw() {
    const streaming = current.streaming && !current.stopped;
    const text = streaming ? current.text.slice(0, shown) : current.text;
    const onlyBlocks = current.blocks && !current.streamed;
    body.replaceChildren(onlyBlocks ? "" : render(text, { markdown: current.markdown, name }));
    if (current.blocks) body.append(...renderBlocks(current.blocks, { name, press, pressed }));
    if (streaming) innermost(body).append(h("span", { class: "cursor", "aria-hidden": "true" }));
  }

  function run() {
    frame = 0;
    const left = current.text.length - shown;
    if (!current.streaming || current.stopped || left <= 0) return;
    shown += Math.max(1, Math.ceil(left / 6));
    draw();
    follow(element);
    frame = requestAnimationFrame(run);
  }

  function update(next) {
    current = next;
    const streaming = next.streaming && !next.stopped;
    element.dataset.streaming = String(streaming);
    element.setAttribute("aria-busy", String(streaming));
    note.textContent = next.to ? "Only visible to you" : next.edited ? "(edited)" : "";
    reactions.replaceChildren(...next.reactions.map((reaction) => h("span", {}, `:${reaction}:`)));
    reactions.hidden = next.reactions.length === 0;
    if (streaming && !calm.matches) {
      if (!frame) frame = requestAnimationFrame(run);
      if (shown === 0 || shown >= next.text.length) draw();
    } else {
      shown = next.text.length;
      draw();
    }
    count();
  }

  function count() {
    if (!thread) return;
    const number = replies(message.ts).length;
    thread.textContent = number === 0 ? "Reply in thread" : number === 1 ? "1 reply" : `${number} replies`;
    thread.classList.toggle("none", number === 0);
  }

  update(message);
  return { element, update, count };
}

/** Where the text now ends, for the cursor. */
function innermost(node) {
  let end = node;
  while (end.lastElementChild?.matches(BLOCKS) || (end.tagName === "PRE" && end.lastElementChild)) {
    end = end.lastElementChild;
  }
  return end;
}

/** Keeps the end of a list in sight, if it was. */
export function follow(element, always = false) {
  const list = element.closest(".messages");
  if (!list) return;
  const distance = list.scrollHeight - list.scrollTop - list.clientHeight;
  if (always || distance < 120) list.scrollTop = list.scrollHeight;
}
