// Times in the browser's zone and running countdowns: `data-local` and `data-countdown` hold an ISO time in UTC.
// `data-server-now` holds the server's clock at the last answer, so that a wrong clock of the browser does not move the countdown.
// `data-silent-after` is a line that says so where a page that asks by itself has had no answer for so many seconds.
(function () {
  const two = (number) => String(number).padStart(2, "0");
  let heard = null;
  let answer = null;
  let answeredAt = 0;
  let offset = 0;

  window.pndLocal = function (iso, long) {
    const at = new Date(iso);
    if (!iso || Number.isNaN(at.getTime())) return "";
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    return `${day} ${two(at.getHours())}:${two(at.getMinutes())}${long ? ":" + two(at.getSeconds()) : ""}`;
  };

  function countdown(iso, now) {
    const left = Math.round((new Date(iso).getTime() - now) / 1000);
    const size = Math.abs(left);
    const days = Math.floor(size / 86400);
    const clock = `${two(Math.floor(size / 3600) % 24)}:${two(Math.floor(size / 60) % 60)}:${two(size % 60)}`;
    return { text: `${left < 0 ? "T+" : "T−"}${days ? days + " d " : ""}${clock}`, left: left };
  }

  function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function listen() {
    document.querySelectorAll("[data-silent-after]").forEach((e) => {
      const last = document.querySelector("[id$=-answered]");
      if (!last || last.textContent !== answer) {
        answer = last && last.textContent;
        answeredAt = Date.now();
      }
      const isSilent = e.dataset.silentAfter && answer && Date.now() - answeredAt > 1000 * e.dataset.silentAfter;
      const since = new Date(answeredAt).toISOString().slice(11, 19);
      put(e, isSilent ? `No answer since ${since} UTC: what is shown is old. Does pnd dashboard still run?` : "");
    });
  }

  function tick() {
    listen();
    const server = document.querySelector("[data-server-now]");
    if (server && server.dataset.serverNow !== heard) {
      heard = server.dataset.serverNow;
      offset = new Date(heard).getTime() - Date.now();
    }
    const now = Date.now() + offset;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local";
    document.querySelectorAll("[data-clock=utc]").forEach((e) => put(e, new Date(now).toISOString().slice(0, 19).replace("T", " ")));
    document.querySelectorAll("[data-clock=local]").forEach((e) => put(e, window.pndLocal(new Date(now).toISOString(), true)));
    document.querySelectorAll("[data-clock=zone]").forEach((e) => put(e, zone));
    document.querySelectorAll("[data-local]").forEach((e) => put(e, window.pndLocal(e.dataset.local, true)));
    document.querySelectorAll("[data-countdown]").forEach((e) => {
      const { text, left } = countdown(e.dataset.countdown, now);
      put(e, text);
      e.classList.toggle("is-near", left >= 0 && left <= 600);
      e.classList.toggle("is-past", left < 0);
    });
  }

  // What is drawn anew gets its times before it is seen.
  let isDue = false;
  new MutationObserver(() => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      tick();
    });
  }).observe(document.documentElement, { childList: true, subtree: true });
  setInterval(tick, 250);
})();
