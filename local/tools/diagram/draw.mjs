// Runs Graphviz in WebAssembly: node draw.mjs <graph.dot >picture.svg
import { readFileSync } from "node:fs";
import { instance } from "@viz-js/viz";

const graphviz = await instance();
process.stdout.write(graphviz.renderString(readFileSync(0, "utf8"), { format: "svg" }));
