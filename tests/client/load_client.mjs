// Loads regend/web/client.js as an ES module; node would take a .js file for CommonJS here.
import { readFileSync } from "node:fs";

export async function loadClient() {
  const source = readFileSync(new URL("../../regend/web/client.js", import.meta.url));
  return import(`data:text/javascript;base64,${source.toString("base64")}`);
}
