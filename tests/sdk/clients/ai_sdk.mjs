// The Vercel AI SDK with its OpenAI (mode openai) or OpenAI-compatible (mode compatible) provider.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { generateImage } from "ai";

const { BASE_URL, KEY, PICTURE } = process.env;
const picture = readFileSync(PICTURE);
const baseURL = `${BASE_URL}/v1`;

const imageModel = process.argv[2] === "openai"
  ? await import("@ai-sdk/openai").then(({ createOpenAI }) =>
    (name, apiKey) => createOpenAI({ baseURL, apiKey }).image(name))
  : await import("@ai-sdk/openai-compatible").then(({ createOpenAICompatible }) =>
    (name, apiKey) => createOpenAICompatible({ name: "imagegate", baseURL, apiKey }).imageModel(name));

async function generate({ key = KEY, model = "gpt-image-2", prompt = "a kite", n = 1 } = {}) {
  const { images } = await generateImage({ model: imageModel(model, key), prompt, n, maxRetries: 0 });
  assert.equal(images.length, n);
  for (const image of images) assert.ok(image.base64.startsWith("iVBORw0KGgo"));
}

async function refused(promise, status) {
  const error = await promise.then(() => assert.fail("was not refused"), (error) => error);
  assert.equal(error.statusCode ?? error.lastError?.statusCode, status, error.stack);
}

const cells = {
  "generate": () => generate(),
  "edit, 2 files": () => generate({ prompt: { text: "a kite", images: [picture, picture] } }),
  "n = 2": () => generate({ n: 2 }),
  "alias model": () => generate({ model: "hero" }),
  "wrong key": () => refused(generate({ key: "wrong" }), 401),
  "upstream 429": () => refused(generate({ model: "sandbox", prompt: "a kite [sandbox: 429]" }), 429),
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
