// All parts of a page, for whoever makes views of them.

export * from "./app.js";
export * from "./chart.js";
export * from "./dialog.js";
export * from "./dom.js";
export * from "./editor.js";
export * from "./format.js";
export * from "./live.js";
export * from "./net.js";
export * from "./shell.js";
export * from "./table.js";
