// What the page knows: one team, the messages of the channel one is in, and who one is.
import { load } from "./dom.js";

export const store = {
  team: null,
  me: null,
  channel: null,
  thread: null,
  tab: "messages",
  messages: new Map(),
  sessions: new Map(),
  home: null,
  unread: new Set(),
};

/** The channel one is in; `null` while there is none. */
export const channel = () => store.team.channels.find((one) => one.id === store.channel) ?? null;

/** One's own DM with the bot; it is there once the app is installed. */
export const dm = () => store.team.channels.find((one) => one.person === store.me) ?? null;

/** What an id is called. */
export function name(id) {
  const { team } = store;
  if (id === team.bot?.user || /^[UB]0BOT/.test(id)) return team.app;
  return [...team.people, ...team.channels].find((one) => one.id === id)?.name ?? id;
}

/** Loads a team, the first if none is named; one stays who and where one is, if that is still there. */
export async function loadTeam(id) {
  store.team = await load("/page/team", { team: id ?? "" });
  const { people, channels } = store.team;
  if (!people.some((person) => person.id === store.me)) store.me = people[0]?.id ?? null;
  const visible = (one) => one.name || one.person === store.me;
  if (!channels.some((one) => one.id === store.channel && visible(one))) {
    store.channel = channels.find((one) => one.name)?.id ?? null;
  }
}

/** Loads the channel one is in. */
export async function loadMessages() {
  const { team, channel: id, me } = store;
  const loaded = await load("/page/messages", { team: team.id, channel: id, user: me });
  if (id !== store.channel) return;
  store.messages = new Map(loaded.messages.map((message) => [message.ts, message]));
  store.sessions = new Map(Object.entries(loaded.sessions));
  store.home = loaded.home;
}

/** What the app says about its work in a thread, or in the whole conversation for "". */
export const session = (root) => store.sessions.get(root) ?? {};

/** Who and where one is, as the page's own routes take it. */
export const place = () => ({ team: store.team.id, channel: store.channel, user: store.me });

/** A root's replies, oldest first. */
export const replies = (root) => [...store.messages.values()].filter((message) => message.thread_ts === root);

/** Listens to a team's changes until the returned function is called. */
export function listen(team, onChange) {
  const source = new EventSource(`/page/changes?${new URLSearchParams({ team })}`);
  let lost = false;
  source.onerror = () => { lost = true; };
  // What happened while the connection was lost has to be looked up.
  source.onopen = () => { if (lost) onChange({ type: "reload" }); lost = false; };
  source.onmessage = (event) => onChange(JSON.parse(event.data));
  return () => source.close();
}
