// The page: puts the parts together and carries changes to them.
import { at, h, send } from "./dom.js";
import { channel, dm, listen, loadMessages, loadTeam, place, session, store } from "./store.js";
import { composer } from "./composer.js";
import { drawPrompts } from "./prompts.js";
import { drawSidebar } from "./sidebar.js";
import { drawTabs } from "./home.js";
import { encode } from "./files.js";
import { messageList } from "./list.js";
import { threadPane } from "./thread.js";

const roots = messageList(at("messages"), openThread);
const thread = threadPane((text, files) => post(text, store.thread, files));
const ids = { field: "composer", button: "send" };
const main = composer(at("composer"), ids, write);
const layer = (which) => { document.body.dataset.layer = which; };
let unlisten = () => {};

function write(text, files) {
  return text.startsWith("/") && files.length === 0 ? command(text) : post(text, null, files);
}

async function post(text, root, files = []) {
  const { ts } = await send("/page/post", { ...place(), text, thread_ts: root, files: await encode(files) });
  const toBot = channel()?.person || text.includes(`@${store.team.app}`);
  if (!root && store.team.bot && toBot) openThread(ts);
}

function command(typed) {
  const [, name, text] = /^(\S+)\s*([^]*)$/.exec(typed);
  return send("/page/command", { ...place(), command: name, text });
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
  drawTabs(openTab);
  suggest();
}

/** What the app suggests to begin with, in a conversation that has not begun. */
function suggest() {
  const begun = [...store.messages.values()].some((message) => !message.to);
  const prompts = channel().person && !begun ? (session("").prompts ?? []) : [];
  drawPrompts(at("prompts"), prompts, (text) => post(text, null));
}

function openTab(tab, from = null) {
  store.tab = tab;
  drawTabs(openTab);
  send("/page/open", { ...place(), tab, from });
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
  thread.draw();
  layer("thread");
  thread.focus();
}

function closeThread() {
  store.thread = null;
  at("thread").hidden = true;
  layer("channel");
}

async function go(id) {
  const from = store.channel;
  store.channel = id;
  store.tab = "messages";
  store.unread.delete(id);
  closeThread();
  await loadMessages();
  drawSidebar(choices);
  drawChannel();
  main.focus();
  if (id === dm()?.id && store.team.bot) openTab("messages", from === id ? null : from);
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
  if (open && store.messages.has(open)) thread.draw();
  else closeThread();
}

function change(event) {
  if (event.type === "reload" || event.type === "team") return reload();
  if (event.type === "home") {
    if (event.user !== store.me) return;
    store.home = event.home;
    return drawTabs(openTab);
  }
  if (event.channel !== store.channel) return elsewhere(event);
  if (event.type === "message") changed(event.message);
  if (event.type === "deleted") {
    store.messages.delete(event.ts);
    roots.remove(event.ts);
    thread.remove(event.ts);
  }
  if (event.type === "status") store.sessions.set(event.thread_ts, event.session);
  if (store.thread) thread.update();
  suggest();
}

function changed(message) {
  if (message.to && message.to !== store.me) return;
  const isNew = !store.messages.has(message.ts);
  store.messages.set(message.ts, message);
  const root = message.thread_ts;
  if (!root) roots.put(message);
  else roots.count(root);
  if (store.thread && store.thread === (root ?? message.ts)) thread.put(message);
  if (isNew && message.subtype === "assistant_app_thread") openThread(message.ts);
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
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && store.thread && !event.defaultPrevented) closeThread();
});

await enter(null);
