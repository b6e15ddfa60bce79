// Shows times in the reader's time zone. Without this script they stay in UTC.
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dateOnly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

function localise() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = (time.dataset.form === "day" ? dateOnly : dateTime).format(new Date(time.dateTime));
  }
}

// Reloads the content of a live page when the server announces a change. The scroll position stays.
async function refresh() {
  const response = await fetch(location.href);
  if (!response.ok || response.redirected) return location.reload();
  const next = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelector("main").replaceChildren(...next.querySelector("main").childNodes);
  localise();
}

localise();
// On narrow screens the navigation is a row that scrolls: show the current page in it.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
const live = document.querySelector("[data-live]");
if (live) new EventSource(live.dataset.live).onmessage = refresh;

// Polls the part of a page that shows progress every second until nothing is in progress.
const followed = document.querySelector("[data-follow]");

async function poll(retries) {
  const response = await fetch(followed.dataset.follow).catch(() => null);
  if (response?.redirected) return location.reload();
  if (response?.ok) {
    followed.innerHTML = await response.text();
    localise();
  }
  const isActive = followed.querySelector("progress[data-moving]");
  if (isActive || retries > 0) setTimeout(poll, 1000, isActive ? 3 : retries - 1);
}

if (followed?.querySelector("progress[data-moving]")) poll(3);
// After submitting such a form, wait until the server has registered the work.
document.querySelector("form[data-starts]")?.addEventListener("submit", () => setTimeout(poll, 500, 3));
