// The stand-in's page: its views by the part of the address after #.

import { startApp } from "/assets/parts/parts.js";
import { openDevices } from "./devices.js";
import { openDevice } from "./device.js";
import { openEvents } from "./events.js";
import { openFaults } from "./faults.js";
import { openNotes } from "./notes.js";
import { openOverview } from "./overview.js";

startApp({
  product: "Stand-in",
  views: {
    "": { title: "Overview", open: openOverview },
    events: { title: "Events", open: openEvents },
    devices: { title: "Devices", open: (page) => (page.path.length ? openDevice(page) : openDevices(page)) },
    notes: { title: "Log", open: openNotes },
    faults: { title: "Faults", open: openFaults },
  },
});
