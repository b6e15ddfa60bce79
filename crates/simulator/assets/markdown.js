// Lines to paragraphs, lists, quotes, code and tables. A text that is still streaming may end anywhere.
import { h } from "./dom.js";
import { decode, inline } from "./inline.js";

const FENCE = /^\s*```\s*([\w+#.-]*)\s*(.*)$/;
const HEADING = /^#{1,6}\s+(.*?)\s*#*$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^(?:>|&gt;)\s?/;
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])\s+(.*)$/;
const DELIMITER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** A fragment for a text. `context` has `markdown` (or mrkdwn) and `name(id)`. */
export function render(text, context) {
  const fragment = document.createDocumentFragment();
  fragment.append(...blocks(text.split("\n"), context));
  return fragment;
}

function blocks(lines, context) {
  const nodes = [];
  let n = 0;
  while (n < lines.length) {
    const [node, next] = block(lines, n, context);
    if (node) nodes.push(node);
    n = next;
  }
  return nodes;
}

/** The block that begins at line `n`, and where the next one does. */
function block(lines, n, context) {
  const line = lines[n];
  if (line.trim() === "") return [null, n + 1];
  if (FENCE.test(line)) return fence(lines, n);
  if (QUOTE.test(line)) {
    const end = upTo(lines, n, (other) => QUOTE.test(other));
    const inside = lines.slice(n, end).map((other) => other.replace(QUOTE, ""));
    return [h("blockquote", {}, ...blocks(inside, context)), end];
  }
  if (ITEM.test(line) && !RULE.test(line)) return list(lines, n, context);
  if (context.markdown) {
    const heading = HEADING.exec(line);
    if (heading) return [h("h4", {}, ...inline(heading[1], context)), n + 1];
    if (RULE.test(line)) return [h("hr"), n + 1];
    if (line.includes("|") && DELIMITER.test(lines[n + 1] ?? "")) return table(lines, n, context);
  }
  const end = upTo(lines, n + 1, (other) => !begins(other, context));
  return [h("p", {}, ...inline(lines.slice(n, end).join("\n"), context)), end];
}

/** The first line from `n` on that `belongs` does not hold of. */
function upTo(lines, n, belongs) {
  while (n < lines.length && belongs(lines[n])) n += 1;
  return n;
}

/** Whether a line ends the paragraph before it. */
function begins(line, context) {
  const always = line.trim() === "" || FENCE.test(line) || QUOTE.test(line) || ITEM.test(line);
  return always || (context.markdown && (HEADING.test(line) || RULE.test(line)));
}

function fence(lines, n) {
  const [, , first] = FENCE.exec(lines[n]);
  const end = upTo(lines, n + 1, (line) => !/^\s*```\s*$/.test(line));
  const code = [...(first ? [first] : []), ...lines.slice(n + 1, end)].join("\n");
  return [h("pre", { tabindex: "0" }, h("code", {}, decode(code))), end + 1];
}

/** A list; lines that are indented more than its items belong to the item before them. */
function list(lines, n, context) {
  const [, indent, mark] = ITEM.exec(lines[n]);
  const ordered = /\d/.test(mark);
  const items = [];
  while (n < lines.length) {
    const item = ITEM.exec(lines[n]);
    if (!item || item[1].length > indent.length + 1 || /\d/.test(item[2]) !== ordered) break;
    if (item[1].length < indent.length) break;
    const deeper = (line) => line.trim() !== "" && /^\s*/.exec(line)[0].length > indent.length + 1;
    let end = upTo(lines, n + 1, deeper);
    // A paragraph of its own inside the item.
    while (lines[end]?.trim() === "" && deeper(lines[end + 1] ?? "")) end = upTo(lines, end + 1, deeper);
    const inside = lines.slice(n + 1, end).map((line) => line.slice(indent.length + 2));
    items.push(h("li", {}, ...inline(item[3], context), ...blocks(inside, context)));
    // A blank line between two items does not end the list.
    if (lines[end]?.trim() === "" && ITEM.test(lines[end + 1] ?? "")) end += 1;
    n = end;
  }
  const start = ordered ? mark.slice(0, -1) : null;
  return [h(ordered ? "ol" : "ul", { start: start === "1" ? null : start }, ...items), n];
}

function table(lines, n, context) {
  const end = upTo(lines, n + 2, (line) => line.includes("|"));
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/);
  const row = (line, tag) => h("tr", {}, ...cells(line).map((cell) => h(tag, {}, ...inline(cell.trim(), context))));
  const body = lines.slice(n + 2, end).map((line) => row(line, "td"));
  const grid = h("table", {}, h("thead", {}, row(lines[n], "th")), h("tbody", {}, ...body));
  return [h("div", { class: "scroll", tabindex: "0" }, grid), end];
}
