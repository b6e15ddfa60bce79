// A list of messages that is kept in step with the store.
import { h } from "./dom.js";
import { follow, messageView } from "./message.js";

/** Keeps `element` in step; `onOpen`, if given, opens a message's thread. */
export function messageList(element, onOpen) {
  const views = new Map();

  /** Shows these and no others, oldest first. */
  function show(messages, empty) {
    views.clear();
    element.replaceChildren(...messages.map(add));
    if (messages.length === 0) element.append(h("li", { class: "empty" }, empty));
    follow(element, true);
  }

  function add(message) {
    const view = messageView(message, onOpen);
    views.set(message.ts, view);
    return view.element;
  }

  /** Adds a message at the end, or shows what became of it. */
  function put(message) {
    const view = views.get(message.ts);
    const list = element;
    const near = list.scrollHeight - list.scrollTop - list.clientHeight < 120;
    if (view) view.update(message);
    else {
      element.querySelector(".empty")?.remove();
      element.append(add(message));
    }
    if (near || !view) follow(element, near || !message.bot_id);
  }

  function remove(ts) {
    views.get(ts)?.element.remove();
    views.delete(ts);
  }

  return { show, put, remove, count: (ts) => views.get(ts)?.count() };
}
