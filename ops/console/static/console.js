// Fetches the page again while it is visible, and changes what differs: a node that stays keeps its focus and selection.
"use strict";

const period = Number(document.body.dataset.refresh) * 1000;
const patience = 12_000; // longer than the console itself waits for a database that does not answer
const html = globalThis.trustedTypes?.createPolicy("console", { createHTML: (text) => text }) ?? { createHTML: (text) => text };
const isSame = (old, fresh) => old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && old.id === fresh.id;

function change(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.hasAttribute("data-keep")) return; // what the user has typed or opened
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const nodes = [...fresh.childNodes];
  nodes.forEach((node, index) => {
    const present = old.childNodes[index];
    if (present && isSame(present, node)) change(present, node);
    else if (present) present.replaceWith(node);
    else old.append(node);
  });
  while (old.childNodes.length > nodes.length) old.lastChild.remove();
}

function say(text, isLive) {
  const live = document.getElementById("live");
  if (live.textContent !== text) live.textContent = text;
  live.classList.toggle("lost", !isLive);
}

async function refresh() {
  const last = document.getElementById("clock").textContent;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(patience) });
    if (answer.redirected) return say("logged out: reload this page to log in", false);
    const fresh = new DOMParser().parseFromString(html.createHTML(await answer.text()), "text/html");
    if (!fresh.getElementById("clock")) throw new Error("not a page of the console, but of a reverse proxy");
    for (const id of ["clock", "verdict", "main"]) {
      const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
      if (old && now) change(old, now);
    }
    say("live", true);
  } catch {
    say(`the console does not answer; what you see is from ${last}`, false);
  }
}

async function repeat() {
  if (!document.hidden) await refresh();
  setTimeout(repeat, period);
}

if (period) {
  say("live", true);
  setTimeout(repeat, period);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
}
