// SPDX-License-Identifier: Apache-2.0

// Runs the SQL of standard input in a DuckDB of its own, and prints a line for each statement that has a result: the
// array of its rows. Integers are numbers, other values as DuckDB writes them in JSON (times and decimals as strings).
// Nothing is downloaded: what DuckDB would need an extension for fails.
//
// Runs in the folder where the client is installed: node query.mjs < queries.sql

import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const { DuckDBInstance, ResultReturnType } = createRequire(process.cwd() + "/")("@duckdb/node-api");
const instance = await DuckDBInstance.create(":memory:", {
  autoinstall_known_extensions: "false",
  autoload_known_extensions: "false",
});
const connection = await instance.connect();
const statements = await connection.extractStatements(await text(process.stdin));
for (let i = 0; i < statements.count; i++) {
  const reader = await (await statements.prepare(i)).runAndReadAll();
  if (reader.returnType !== ResultReturnType.QUERY_RESULT) continue;
  const integers = reader.columnNames().filter((_, i) => /^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(reader.columnType(i)));
  const rows = reader.getRowObjectsJson();
  for (const row of rows) for (const name of integers) if (row[name] !== null) row[name] = Number(row[name]);
  console.log(JSON.stringify(rows));
}
