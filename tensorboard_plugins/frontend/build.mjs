// Bundles the page into the files that the Python package ships. The same sources give the same
// bytes: continuous integration builds them again and compares.
import { build } from "esbuild";
import { copyFileSync } from "node:fs";

const out = "../schedules/static";
await build({
  entryPoints: { index: "src/main.js", styles: "src/styles.css" },
  bundle: true,
  charset: "utf8",
  format: "esm",
  legalComments: "eof",
  minify: true,
  outdir: out,
  target: "es2022",
});
copyFileSync("node_modules/uplot/LICENSE", `${out}/uplot_license.txt`);
