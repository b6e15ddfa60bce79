// Elements without HTML strings: text only ever becomes text nodes.

/** An element with attributes (`on…` are listeners, null and false leave an attribute out) and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element of the page with this id. */
export const at = (id) => document.getElementById(id);

/** Two letters and a colour of its own for a name. */
export function avatar(name, isBot) {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  const letters = isBot ? name.replace(/[^A-Z]/g, "").slice(0, 2) || name.slice(0, 2) : name.slice(0, 1);
  const colour = isBot ? "#3d5166" : `hsl(${hash} 45% 42%)`;
  const attributes = { class: "avatar", style: `background:${colour}`, "aria-hidden": "true" };
  return h("span", attributes, letters.toUpperCase());
}

/** Posts JSON to one of the page's own routes; what it answers, or null for nothing. */
export async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.status === 204 ? null : answer.json();
}

/** Gets JSON from one of the page's own routes. */
export async function load(path, query) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
