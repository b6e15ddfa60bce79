// The page: puts the parts together and carries changes to them.
import { at, h, send } from "./dom.js";
import { channel, dm, listen, loadMessages, loadTeam, replies, store } from "./store.js";
import { composer } from "./composer.js";
import { drawSidebar } from "./sidebar.js";
import { messageList } from "./list.js";

const roots = messageList(at("messages"), openThread);
const thread = messageList(at("replies"), null);
const main = composer(at("composer"), { field: "composer", button: "send" }, (text) => post(text, null));
const replyIds = { field: "thread-composer", button: "thread-send" };
const reply = composer(at("thread-composer"), replyIds, (text) => post(text, store.thread));
const layer = (which) => { document.body.dataset.layer = which; };
const place = () => ({ team: store.team.id, channel: store.channel, user: store.me });
let unlisten = () => {};

async function post(text, root) {
  const { ts } = await send("/page/post", { ...place(), text, thread_ts: root });
  const toBot = channel()?.person || text.includes(`@${store.team.app}`);
  if (!root && store.team.bot && toBot) openThread(ts);
}

function drawChannel() {
  const { team } = store;
  const here = channel();
  const title = here.person ? team.app : `#${here.name}`;
  const shown = [...store.messages.values()].filter((message) => !message.thread_ts);
  at("title").textContent = title;
  document.title = `${title} – Slack simulator`;
  main.hint(`Message ${title}`);
  roots.show(shown, `This is the start of ${here.person ? `your conversation with ${team.app}` : title}.`);
  at("notice").replaceChildren(...notice());
  at("actions").replaceChildren(...actions());
}

/** What stands in the way of an answer here, and what to do about it. */
function notice() {
  const { team } = store;
  const box = (text, button) => [h("div", { class: "notice" }, h("p", {}, text), button)];
  if (!team.bot) {
    const link = { class: "button primary", href: team.install_url, "data-testid": "install" };
    return box(`${team.app} is not in ${team.name} yet.`, h("a", link, "Add the bot to this workspace"));
  }
  if (!channel().joined) {
    const invite = () => send("/page/invite", place());
    const button = h("button", { type: "button", "data-testid": "invite", onclick: invite }, `Invite ${team.app}`);
    return box(`${team.app} is not in #${channel().name} and sees nothing of it.`, button);
  }
  return [];
}

/** Removing the app takes two clicks. */
function actions() {
  if (!store.team.bot || !channel().person) return [];
  const attributes = { class: "small", type: "button", "data-testid": "uninstall" };
  const button = h("button", attributes, `Remove ${store.team.app}`);
  button.addEventListener("click", () => {
    if (button.dataset.sure) return send("/page/uninstall", place());
    button.dataset.sure = "yes";
    button.textContent = "Really remove it?";
  });
  return [button];
}

function openThread(ts) {
  store.thread = ts;
  drawThread();
  layer("thread");
  reply.focus();
}

function closeThread() {
  store.thread = null;
  at("thread").hidden = true;
  layer("channel");
}

function drawThread() {
  const root = store.messages.get(store.thread);
  at("thread").hidden = false;
  at("thread-place").textContent = channel().person ? store.team.app : `#${channel().name}`;
  reply.hint("Reply…");
  thread.show(root ? [root, ...replies(store.thread)] : [], "Nothing here any more.");
  drawStatus();
}

/** The app's status in the open thread; an answer that streams speaks for itself. */
function drawStatus() {
  const status = store.statuses.get(store.thread);
  const streaming = replies(store.thread).some((message) => message.streaming);
  const words = status === "processing" ? "is thinking…" : status;
  at("status").textContent = words && !streaming ? `${store.team.app} ${words}` : "";
  at("stop").hidden = !streaming && status !== "processing";
}

async function go(id) {
  store.channel = id;
  store.unread.delete(id);
  closeThread();
  await loadMessages();
  drawSidebar(choices);
  drawChannel();
  main.focus();
  if (id === dm()?.id) send("/page/open", place());
}

const choices = {
  onChannel: go,
  onPerson(id) {
    const inDm = Boolean(channel()?.person);
    store.me = id;
    // Without the app there may be no DM to go to.
    const otherwise = store.team.channels.find((one) => one.name).id;
    return go(inDm ? (dm()?.id ?? otherwise) : store.channel);
  },
  async onTeam(id) {
    store.me = store.channel = null;
    await enter(id);
  },
};

async function enter(id) {
  await loadTeam(id);
  unlisten();
  unlisten = listen(store.team.id, change);
  await go(store.channel);
}

async function reload() {
  const open = store.thread;
  await loadTeam(store.team.id);
  await loadMessages();
  drawSidebar(choices);
  drawChannel();
  if (open && store.messages.has(open)) drawThread();
  else closeThread();
}

function change(event) {
  if (event.type === "reload" || event.type === "team") return reload();
  if (event.channel !== store.channel) return elsewhere(event);
  if (event.type === "message") changed(event.message);
  if (event.type === "deleted") {
    store.messages.delete(event.ts);
    roots.remove(event.ts);
    thread.remove(event.ts);
  }
  if (event.type === "status") {
    if (event.status) store.statuses.set(event.thread_ts, event.status);
    else store.statuses.delete(event.thread_ts);
  }
  if (store.thread) drawStatus();
}

function changed(message) {
  if (message.to && message.to !== store.me) return;
  store.messages.set(message.ts, message);
  const root = message.thread_ts;
  if (!root) roots.put(message);
  else roots.count(root);
  if (store.thread && store.thread === (root ?? message.ts)) thread.put(message);
}

function elsewhere(event) {
  const visible = (one) => one.name || one.person === store.me;
  const mine = store.team.channels.some((one) => one.id === event.channel && visible(one));
  if (event.type !== "message" || !mine || store.unread.has(event.channel)) return;
  store.unread.add(event.channel);
  drawSidebar(choices);
}

at("to-sidebar").addEventListener("click", () => layer("sidebar"));
at("close-thread").addEventListener("click", closeThread);
at("stop").addEventListener("click", () => send("/page/stop", { ...place(), thread_ts: store.thread }));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && store.thread && !event.defaultPrevented) closeThread();
});

await enter(null);
