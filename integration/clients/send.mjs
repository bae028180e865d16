// SPDX-License-Identifier: Apache-2.0

// Sends COUNT events to HOST with Segment's own client for Node, FLUSH_AT in a request, and prints what the client
// says became of them: {"delivered":[id...],"failed":[id...],"statuses":[...],"bodies":[...]}.
//
// Runs in the folder where the client is installed: node send.mjs HOST WRITE_KEY COUNT FLUSH_AT

import { createRequire } from "node:module";

const { Analytics } = createRequire(process.cwd() + "/")("@segment/analytics-node");
const [host, writeKey, count, flushAt] = process.argv.slice(2);
const said = { delivered: [], failed: [], statuses: [], bodies: [] };

const client = new Analytics({ host, writeKey, flushAt: Number(flushAt), flushInterval: 60_000 });
client.on("http_request", ({ body }) => said.bodies.push(JSON.parse(body)));
client.on("http_response", ({ status }) => said.statuses.push(status));
for (let i = 0; i < Number(count); i++) {
  const messageId = `event-${String(i).padStart(3, "0")}`;
  client.track(
    {
      messageId,
      anonymousId: "anonymous",
      event: "PipelineRun Started",
      timestamp: "2026-03-01T12:00:00Z",
      context: { device: { id: "0123456789ab" } },
      properties: { taskCount: i, pipelineType: null },
    },
    (err) => (err ? said.failed : said.delivered).push(messageId),
  );
}
await client.closeAndFlush({ timeout: 60_000 });
console.log(JSON.stringify(said));
