// SPDX-License-Identifier: Apache-2.0

// Reads Parquet files with hyparquet and prints each row as a line of JSON, without the columns that are null. A file is
// a path or, read in ranges, an http URL.
//
// Runs in the folder where the client is installed: node read.mjs FILE...

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(process.cwd() + "/");
const load = (name) => import(pathToFileURL(resolve(name)));
const { asyncBufferFromFile, asyncBufferFromUrl, parquetReadObjects } = await load("hyparquet");
const { compressors } = await load("hyparquet-compressors");

for (const name of process.argv.slice(2)) {
  const file = await (name.startsWith("http") ? asyncBufferFromUrl({ url: name }) : asyncBufferFromFile(name));
  for (const row of await parquetReadObjects({ file, compressors })) {
    console.log(JSON.stringify(row, (_, value) => (typeof value === "bigint" ? Number(value) : (value ?? undefined))));
  }
}
