// The workspace: its channels, its apps, and who one is.
import { at, h } from "./dom.js";
import { dm, store } from "./store.js";

/** Draws the sidebar anew. */
export function drawSidebar({ onChannel, onPerson, onTeam }) {
  const { team } = store;
  const item = (id, testid, sign, label) =>
    h("button", {
      type: "button", "data-testid": testid, class: store.unread.has(id) ? "unread" : null,
      "aria-current": id === store.channel ? "true" : null, onclick: () => onChannel(id),
    }, h("span", { "aria-hidden": "true" }, sign), label);
  const named = team.channels.filter((one) => one.name);
  const channels = named.map((one) => item(one.id, `channel-${one.name}`, "#", one.name));
  const bot = team.bot && dm()
    ? item(dm().id, "dm-bot", "●", team.app)
    : h("a", { href: team.install_url }, `Add ${team.app}…`);
  at("sidebar").replaceChildren(
    h("h2", {}, team.name),
    h("h3", {}, "Channels"), ...channels,
    h("h3", {}, "Apps"), bot,
    h("div", { class: "who" },
      team.teams.length > 1 ? select("Workspace", "team", team.teams, team.id, onTeam) : null,
      select("You are", "person", team.people, store.me, onPerson)),
  );
}

function select(label, testid, options, chosen, onChoice) {
  const list = options.map((one) =>
    h("option", { value: one.id, selected: one.id === chosen }, one.is_admin ? `${one.name} (admin)` : one.name));
  const choose = (event) => onChoice(event.target.value);
  return h("label", {}, label, h("select", { "data-testid": testid, onchange: choose }, ...list));
}
