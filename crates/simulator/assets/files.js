// Files: those one attaches, and those of a message.
import { h } from "./dom.js";
import { place } from "./store.js";

/** A button that takes files, and what is taken; `onChange` is called when that changes. */
export function attachments(testid, onChange) {
  let files = [];
  const input = h("input", {
    type: "file", multiple: true, class: "unseen", "data-testid": testid, "aria-label": "Attach files",
    onchange: () => { add(input.files); input.value = ""; },
  });
  const button = h("label", { class: "attach", title: "Attach files" }, input);
  const list = h("ul", { class: "attached", hidden: true });

  function add(more) {
    set([...files, ...more]);
  }

  function set(now) {
    files = now;
    list.hidden = files.length === 0;
    list.replaceChildren(...files.map((file) => h("li", {}, file.name, h("button", {
      type: "button", class: "small", "aria-label": `Remove ${file.name}`,
      onclick: () => set(files.filter((other) => other !== file)),
    }, "×"))));
    onChange();
  }

  /** Takes them out. */
  function take() {
    const taken = files;
    set([]);
    return taken;
  }

  return { button, list, add, take };
}

/** Files as the page's own routes take them. */
export const encode = (files) => Promise.all(files.map(async (file) => {
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  return { name: file.name, mimetype: file.type, content: address.slice(address.indexOf(",") + 1) };
}));

/** A message's files: pictures are shown, the others can be fetched. */
export function fileViews({ ts, files = [] }) {
  return files.map((file) => {
    const { team, channel, user } = place();
    const href = `/page/file?${new URLSearchParams({ team, channel, user, ts, file: file.id })}`;
    if (file.mimetype.startsWith("image/")) return h("img", { class: "file", src: href, alt: file.name });
    return h("a", { class: "file", href, download: file.name }, file.title, h("span", { class: "quiet" }, size(file.size)));
  });
}

const size = (bytes) => (bytes < 1024 ? `${bytes} bytes` : `${Math.round(bytes / 1024)} KB`);
