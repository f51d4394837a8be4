// Prints the versions of Node and of the peers that it finds (NODE_PATH), as a JSON object.
const fs = require("node:fs");
const path = require("node:path");

const PEERS = ["bullmq", "ioredis", "express", "ml-matrix"];

const versions = { node: process.versions.node };
for (const name of PEERS) {
  for (const folder of require.resolve.paths(name) ?? []) {
    const file = path.join(folder, name, "package.json");
    if (fs.existsSync(file)) {
      versions[name] = JSON.parse(fs.readFileSync(file, "utf8")).version;
      break;
    }
  }
}
console.log(JSON.stringify(versions));
