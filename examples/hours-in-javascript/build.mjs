// Makes a component of authorization.js: `npm install && npm run build -- WIT_FOLDER OUT.wasm`. The manifest is put in afterwards, by
// `archipel plugin embed`.
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { componentize } from "@bytecodealliance/componentize-js";

const [wit, out] = process.argv.slice(2);

// The tool does not know WASI's unstable interfaces yet; no plugin uses them.
const staged = await mkdtemp(join(tmpdir(), "wit-"));
await cp(wit, staged, { recursive: true });
const cli = join(staged, "deps/wasi-cli/cli.wit");
const text = await readFile(cli, "utf8");
await writeFile(cli, text.replaceAll(/ *@unstable\(feature = clocks-timezone\)\n.*timezone.*\n/g, ""));

try {
  const { component } = await componentize(await readFile("authorization.js", "utf8"), {
    sourceName: "authorization.js",
    witPath: staged,
    worldName: "archipel:plugin/authorization-plugin",
    disableFeatures: ["http", "fetch-event", "random"],
  });
  await writeFile(out, component);
  console.log(`${out}: ${component.length} bytes`);
} finally {
  await rm(staged, { recursive: true });
}
