// Times in the reader's own zone; without this script they read in UTC.
const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

function localise() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = (time.dataset.form === "day" ? day : form).format(new Date(time.dateTime));
  }
}

// A page that is live is loaded anew when the server says so, and keeps its place.
async function refresh() {
  const answer = await fetch(location.href);
  if (!answer.ok || answer.redirected) return location.reload();
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("main").replaceChildren(...next.querySelector("main").childNodes);
  localise();
}

localise();
// On a phone the pages stand in a row that scrolls.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
const live = document.querySelector("[data-live]");
if (live) new EventSource(live.dataset.live).onmessage = refresh;

// A part of a page in which something goes on is asked for again every second, until nothing does.
const followed = document.querySelector("[data-follow]");

async function follow(patience) {
  const answer = await fetch(followed.dataset.follow).catch(() => null);
  if (answer?.redirected) return location.reload();
  if (answer?.ok) {
    followed.innerHTML = await answer.text();
    localise();
  }
  const goesOn = followed.querySelector("progress[data-moving]");
  if (goesOn || patience > 0) setTimeout(follow, 1000, goesOn ? 3 : patience - 1);
}

if (followed?.querySelector("progress[data-moving]")) follow(3);
// What a form starts shows a moment later.
document.querySelector("form[data-starts]")?.addEventListener("submit", () => setTimeout(follow, 500, 3));
