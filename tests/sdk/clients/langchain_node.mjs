// LangChain's DALL-E tool as its users have it: dall-e-3, style vivid, quality standard, a link as the answer.
import assert from "node:assert/strict";
import { DallEAPIWrapper } from "@langchain/openai";

const { BASE_URL, KEY } = process.env;
const tool = (settings = {}) => new DallEAPIWrapper({ apiKey: KEY, baseUrl: `${BASE_URL}/v1`, ...settings });

async function isPicture(link) {
  const answer = await fetch(link);
  assert.equal(answer.status, 200);
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(bytes.subarray(0, 4).toString("latin1"), "\x89PNG");
}

async function refused(promise, status) {
  const error = await promise.then(() => assert.fail("was not refused"), (error) => error);
  assert.equal(error.status, status, error.stack);
}

const cells = {
  "generate": async () => isPicture(await tool().invoke("a kite")),
  "n = 2": async () => {
    const found = await tool({ n: 2 }).invoke("a kite");
    assert.equal(found.length, 2);
    for (const { image_url } of found) await isPicture(image_url);
  },
  "alias model": async () => isPicture(await tool({ model: "hero" }).invoke("a kite")),
  "wrong key": () => refused(tool({ apiKey: "wrong" }).invoke("a kite"), 401),
  "upstream 429": () => refused(tool({ model: "sandbox" }).invoke("a kite [sandbox: 429]"), 429),
};

for (const [cell, run] of Object.entries(cells)) {
  let error = null;
  try {
    await run();
  } catch (thrown) {
    error = thrown.stack ?? String(thrown);
  }
  console.log(JSON.stringify({ cell, error }));
}
