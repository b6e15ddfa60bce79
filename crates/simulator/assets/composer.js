// Where one types: Enter sends, Shift+Enter breaks the line, @ completes names, / the app's command.
import { h } from "./dom.js";
import { attachments } from "./files.js";
import { store } from "./store.js";

/** Fills `place` with a composer. `ids` are the test ids of its field and button; `onSend` gets a text and files. */
export function composer(place, ids, onSend) {
  const listId = `${ids.field}-names`;
  const field = h("textarea", {
    rows: "1", "data-testid": ids.field, "aria-label": "Message", autocomplete: "off",
    role: "combobox", "aria-controls": listId, "aria-expanded": "false", "aria-autocomplete": "list",
    oninput: () => { problem.hidden = true; fit(); complete(); },
    onkeydown: press,
    onpaste: (event) => files.add(event.clipboardData.files),
    onblur: () => close(),
  });
  const button = h("button", { class: "primary", type: "submit", "data-testid": ids.button }, "Send");
  const label = "People and apps";
  const names = h("ul", { class: "completion", id: listId, role: "listbox", "aria-label": label, hidden: true });
  const problem = h("p", { class: "problem", role: "alert", "data-testid": `${ids.field}-problem`, hidden: true });
  const files = attachments(`${ids.field}-files`, () => { problem.hidden = true; field.focus(); });
  const row = [files.button, field, button];
  const form = h("form", { onsubmit: (event) => { event.preventDefault(); submit(); } }, ...row);
  place.replaceChildren(names, problem, files.list, form);
  let chosen = 0;

  async function submit() {
    const text = field.value.trim();
    const attached = files.take();
    if (!text && attached.length === 0) return;
    field.value = "";
    problem.hidden = true;
    close();
    fit();
    field.focus();
    try {
      await onSend(text, attached);
    } catch (error) {
      field.value = text;
      files.add(attached);
      fit();
      problem.textContent = error.message;
      problem.hidden = false;
    }
  }

  function press(event) {
    if (event.isComposing) return;
    const options = [...names.children];
    if (!names.hidden && options.length > 0) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) {
        event.preventDefault();
        return choose((chosen + step + options.length) % options.length);
      }
      if (event.key === "Enter" || event.key === "Tab") {
        event.preventDefault();
        return insert(options[chosen].dataset.name);
      }
      if (event.key === "Escape") return close();
    }
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    }
  }

  /** What stands between the last @ and the cursor, if a name could, or the command that is being typed. */
  const begun = () => /(?:^|\s)(@\w*)$|^(\/\S*)$/u.exec(field.value.slice(0, field.selectionStart))?.slice(1).join("");

  function complete() {
    const start = begun();
    const { team } = store;
    const people = [...(team.bot ? [team.app] : []), ...team.people.map((person) => person.name)];
    const all = [...people.map((name) => `@${name}`), ...(team.command ? [team.command] : [])];
    const fits = (name) => name.toLowerCase().startsWith(start.toLowerCase());
    const fitting = start ? all.filter(fits) : [];
    // A name that is already written out needs no completion.
    if (fitting.length === 0 || (fitting.length === 1 && fitting[0] === start)) return close();
    names.replaceChildren(...fitting.map((name, n) => {
      const pick = (event) => { event.preventDefault(); insert(name); };
      return h("li", { id: `${listId}-${n}`, role: "option", "data-name": name, onmousedown: pick }, name);
    }));
    names.hidden = false;
    field.setAttribute("aria-expanded", "true");
    choose(0);
  }

  function choose(n) {
    chosen = n;
    [...names.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === n)));
    field.setAttribute("aria-activedescendant", `${listId}-${n}`);
  }

  function insert(name) {
    const end = field.selectionStart;
    const start = end - begun().length;
    field.setRangeText(`${name} `, start, end, "end");
    close();
    fit();
  }

  function close() {
    names.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function fit() {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }

  return {
    focus: () => field.focus(),
    hint: (text) => { field.placeholder = text; },
    enable: (enabled) => { field.disabled = button.disabled = !enabled; },
  };
}
