// Starts the frame around a page that the server made.

import { startShell } from "./shell.js";

startShell();
