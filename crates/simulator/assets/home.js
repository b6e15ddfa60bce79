// The app's two tabs, and its Home.
import { at, h, send } from "./dom.js";
import { channel, name, place, store } from "./store.js";
import { renderBlocks } from "./blocks.js";

/** Draws the tabs of the app's conversation, and its Home if that is open. */
export function drawTabs(onTab) {
  const { team } = store;
  const there = Boolean(channel().person && team.bot && team.home_tab);
  const tab = (id, label) => h("button", {
    type: "button", role: "tab", "data-testid": `tab-${id}`, "aria-selected": String(store.tab === id),
    onclick: () => onTab(id),
  }, label);
  at("tabs").hidden = !there;
  at("tabs").replaceChildren(...(there ? [tab("messages", "Messages"), tab("home", "Home")] : []));
  const atHome = there && store.tab === "home";
  document.body.dataset.tab = atHome ? "home" : "messages";
  if (atHome) drawHome();
}

function drawHome() {
  const problem = h("p", { class: "problem", role: "alert" });
  const press = async (action_id, value) => {
    problem.textContent = "";
    await send("/page/click", { ...place(), action_id, value }).catch((error) => { problem.textContent = error.message; });
  };
  const nothing = h("p", { class: "quiet" }, `${store.team.app} has nothing here yet.`);
  const blocks = store.home ? renderBlocks(store.home.blocks, { name, press, pressed: new Map() }) : [nothing];
  at("home").replaceChildren(h("div", { class: "body" }, ...blocks), problem);
}
