// The inside of a line: emphasis, code, links and mentions, of Markdown or of Slack's mrkdwn.
import { h } from "./dom.js";

const CODE = "(?<code>`[^`\\n]+`)";
const ANGLE = "(?<angle><[^<>\\s][^<>\\n]*>)";
const BARE = "(?<bare>https?://[^\\s<>|)\\]]*[^\\s<>|)\\].,;:!?'\"])";
const edge = (mark) => `${mark}(?=\\S)(?:[^\\n]*?[^\\s])${mark}`;

const MARKDOWN = [
  CODE, ANGLE,
  "(?<link>!?\\[[^\\]\\n]*\\]\\([^()\\s]+(?:\\([^()\\s]*\\)[^()\\s]*)*\\))",
  BARE,
  `(?<both>${edge("\\*\\*\\*")})`,
  `(?<bold>${edge("\\*\\*")}|\\b${edge("__")}\\b)`,
  `(?<italic>${edge("\\*")}(?!\\*)|(?<![\\w])${edge("_")}(?![\\w]))`,
  `(?<strike>${edge("~~")})`,
].join("|");

const MRKDWN = [
  CODE, ANGLE, BARE,
  `(?<bold>(?<![\\w*])${edge("\\*")}(?![\\w*]))`,
  `(?<italic>(?<![\\w])${edge("_")}(?![\\w]))`,
  `(?<strike>(?<![\\w~])${edge("~")}(?![\\w~]))`,
].join("|");

/** Slack's three escapes, read back. */
export const decode = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

/** Nodes for a text of one or more lines. `context` has `markdown` and `name(id)`. */
export function inline(text, context) {
  const pattern = new RegExp(context.markdown ? MARKDOWN : MRKDWN, "gu");
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) nodes.push(decode(text.slice(end, match.index)));
    nodes.push(element(match, context));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(decode(text.slice(end)));
  return nodes;
}

function element(match, context) {
  const { code, angle, link, bare, both, bold, italic } = match.groups;
  const whole = match[0];
  const inside = (marks) => inline(whole.slice(marks, -marks), context);
  if (code) return h("code", {}, decode(code.slice(1, -1)));
  if (angle) return angled(angle.slice(1, -1), context);
  if (link) {
    const [, label, url] = /^!?\[([^\]]*)\]\((.*)\)$/u.exec(link);
    return anchor(decode(url), inline(label || url, context), whole);
  }
  if (bare) return anchor(decode(bare), [decode(bare)], whole);
  if (both) return h("strong", {}, h("em", {}, ...inside(3)));
  if (bold) return h("strong", {}, ...inside(context.markdown ? 2 : 1));
  if (italic) return h("em", {}, ...inside(1));
  return h("s", {}, ...inside(context.markdown ? 2 : 1));
}

/** What stands in angle brackets: a mention, a channel, or a link with or without a label. */
function angled(inside, context) {
  const [target, label] = inside.split("|");
  if (/^@[UWB]\w+$/.test(target)) return mention(`@${context.name(target.slice(1))}`);
  if (/^#C\w+$/.test(target)) return mention(`#${label || context.name(target.slice(1))}`);
  if (target.startsWith("!")) return mention(`@${label || target.slice(1)}`);
  return anchor(decode(target), [decode(label || target.replace(/^mailto:/, ""))], `<${inside}>`);
}

const mention = (text) => h("span", { class: "mention" }, text);

/** A link, if it leads where links may lead; otherwise what was written. */
function anchor(url, label, written) {
  if (!/^(https?:\/\/|mailto:)/i.test(url)) return decode(written);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...label);
}
