// The views of the gateway's page, and its pulse: the overview, asked every two seconds, which the frame shows too.

import { fill, h, link, startApp } from "/assets/parts/parts.js";
import { openDevice, openDevices } from "./devices.js";
import { openEvents } from "./events.js";
import { openFlow } from "./flow.js";
import { openOverview } from "./overview.js";
import { startPulse } from "./pulse.js";
import { openRoutes } from "./routes.js";

const WORDS = { here: ["good", "Live"], away: ["bad", "No answer"], ended: ["warn", "Logged out"], unknown: ["", "Connecting"] };

function drawFoot(said) {
  const [tone, text] = WORDS[link.state];
  fill(
    document.getElementById("foot"),
    h("span", { class: "link-state" }, h("span", { class: "dot", data: { tone: tone || null } }), text),
    said ? h("span", { class: "one-line", title: said.gateway.hostName }, said.gateway.hostName) : null,
    said ? h("span", {}, `Version ${said.gateway.version}`) : null,
  );
  if (said) {
    document.getElementById("where").textContent = said.gateway.hostName;
  }
}

const pulse = startPulse();
pulse.hear(drawFoot);
link.listeners.add(() => drawFoot(pulse.last));
drawFoot(null);

startApp({
  product: "Gateway",
  views: {
    "": { title: "Overview", open: (page) => openOverview(page, pulse) },
    devices: { title: "Devices", open: (page) => (page.path.length > 0 ? openDevice(page) : openDevices(page)) },
    flow: { title: "Live flow", open: openFlow },
    routes: { title: "Routes", open: openRoutes },
    events: { title: "Events", open: openEvents },
  },
});
