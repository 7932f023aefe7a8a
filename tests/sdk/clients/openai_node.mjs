// The official Node SDK; the packages are those of the environment this file is copied into.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

const { BASE_URL, KEY, PICTURE } = process.env;
const picture = readFileSync(PICTURE);
const client = (apiKey = KEY) => new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey, maxRetries: 0 });

function check(answer, n) {
  assert.equal(answer.data.length, n);
  for (const { b64_json } of answer.data) assert.ok(b64_json.startsWith("iVBORw0KGgo"));
}

async function generate({ by = client(), model = "gpt-image-2", prompt = "a kite", n = 1 } = {}) {
  check(await by.images.generate({ model, prompt, n }), n);
}

async function edit() {
  const image = await Promise.all(["a.png", "b.png"].map((name) => toFile(picture, name, { type: "image/png" })));
  check(await client().images.edit({ model: "gpt-image-2", image, prompt: "a kite" }), 1);
}

const cells = {
  "generate": () => generate(),
  "edit, 2 files": edit,
  "n = 2": () => generate({ n: 2 }),
  "alias model": () => generate({ model: "hero" }),
  "wrong key": () => assert.rejects(generate({ by: client("wrong") }), OpenAI.AuthenticationError),
  "upstream 429": () =>
    assert.rejects(generate({ model: "sandbox", prompt: "a kite [sandbox: 429]" }), OpenAI.RateLimitError),
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
