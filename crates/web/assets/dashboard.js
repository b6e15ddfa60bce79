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
