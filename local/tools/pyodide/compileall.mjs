// Runs python -m compileall by CPython in WebAssembly: node compileall.mjs [option ...] FOLDER
import { realpathSync } from "node:fs";
import { loadPyodide } from "pyodide";

const options = process.argv.slice(2);
const folder = realpathSync(options.pop());
const pyodide = await loadPyodide({ env: { PYTHONHASHSEED: process.env.PYTHONHASHSEED ?? "random" } });
pyodide.FS.mkdirTree(folder);
pyodide.mountNodeFS(folder, folder);
pyodide.globals.set("arguments", pyodide.toPy([...options, folder]));
process.exitCode = pyodide.runPython(`
import compileall, sys
sys.argv[1:] = arguments
int(not compileall.main())
`);
