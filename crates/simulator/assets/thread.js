// The thread that is open beside the channel: its messages, the app's status, and the stop button.
import { at, send } from "./dom.js";
import { channel, place, replies, session, store } from "./store.js";
import { composer } from "./composer.js";
import { drawPrompts } from "./prompts.js";
import { messageList } from "./list.js";

/** The pane of a thread; `onPost(text, files)` answers in it. */
export function threadPane(onPost) {
  const list = messageList(at("replies"), null);
  const ids = { field: "thread-composer", button: "thread-send" };
  const reply = composer(at("thread-composer"), ids, (text, files) => {
    if (text.startsWith("/") && files.length === 0) throw new Error("Slack takes no commands in threads.");
    return onPost(text, files);
  });

  function draw() {
    const root = store.messages.get(store.thread);
    at("thread").hidden = false;
    at("thread-place").textContent = channel().person ? store.team.app : `#${channel().name}`;
    reply.hint("Reply…");
    list.show(root ? [root, ...replies(store.thread)] : [], "Nothing here any more.");
    update();
  }

  /** The app's status; an answer that streams speaks for itself. */
  function update() {
    const { status, title, prompts } = session(store.thread);
    const streaming = replies(store.thread).some((message) => message.streaming && !message.stopped);
    const words = status === "processing" ? "is thinking…" : status;
    at("thread-title").textContent = title ?? "Thread";
    at("status").textContent = words && !streaming ? `${store.team.app} ${words}` : "";
    at("stop").hidden = !store.team.agent || (!streaming && status !== "processing");
    drawPrompts(at("thread-prompts"), replies(store.thread).length === 0 ? (prompts ?? []) : [], (text) => onPost(text));
  }

  at("stop").addEventListener("click", () => send("/page/stop", { ...place(), thread_ts: store.thread }));
  return { draw, update, put: list.put, remove: list.remove, focus: reply.focus };
}
