// The official Node SDK against a live gateway: nine tests, each printed as one line of JSON.
// Run by test_node_sdk.py with BASE_URL, KEY and the paths PICTURE and MASK in the environment.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI, { AzureOpenAI, toFile } from "openai";

const { BASE_URL, KEY, PICTURE, MASK } = process.env;
const picture = readFileSync(PICTURE);
const mask = readFileSync(MASK);
const prompt = "a lighthouse in a storm";
const client = new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey: KEY, maxRetries: 0, timeout: 30_000 });

const file = (name, bytes = picture) => toFile(bytes, name, { type: "image/png" });

function pngSize(b64) {
  const bytes = Buffer.from(b64, "base64");
  assert.equal(bytes.subarray(0, 8).toString("hex"), "89504e470d0a1a0a");
  assert.equal(bytes.subarray(-8, -4).toString("latin1"), "IEND");
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
}

async function refused(promise, kind, fields) {
  const error = await promise.then(() => assert.fail("was not refused"), (error) => error);
  assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value, name);
  assert.match(error.requestID, /^req_/);
  return error;
}

const tests = {
  async generate() {
    const answer = await client.images.generate({ model: "gpt-image-2", prompt, size: "1536x1024", quality: "low" });
    assert.deepEqual(pngSize(answer.data[0].b64_json), [1536, 1024]);
    assert.equal(answer.size, "1536x1024");
    assert.equal(answer.quality, "low");
    assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
    assert.match(answer._request_id, /^req_/);
  },

  async headers() {
    const { data, response, request_id } = await client.images
      .generate({ model: "sandbox", prompt, n: 2 })
      .withResponse();
    assert.equal(data.data.length, 2);
    assert.equal(response.headers.get("x-imagegate-provider"), "sandbox");
    assert.equal(response.headers.get("x-request-id"), request_id);
    assert.ok(Number(response.headers.get("openai-processing-ms")) >= 0);
  },

  async edit_one_file() {
    for (const image of [await file("in.png"), await toFile(picture)]) {
      const answer = await client.images.edit({ model: "gpt-image-2", image, prompt });
      assert.equal(answer.data.length, 1);
      pngSize(answer.data[0].b64_json);
    }
  },

  async edit_several_files_with_a_mask() {
    const answer = await client.images.edit({
      model: "gpt-image-2",
      image: [await file("a.png"), await file("b.png")],
      mask: await file("mask.png", mask),
      prompt,
      size: "1024x1024",
    });
    assert.deepEqual(pngSize(answer.data[0].b64_json), [1024, 1024]);
  },

  async edit_in_json() {
    const image_url = `data:image/png;base64,${picture.toString("base64")}`;
    const answer = await client.post("/images/edits", {
      body: { model: "gpt-image-2", prompt, images: [{ image_url }, { image_url }] },
    });
    pngSize(answer.data[0].b64_json);
  },

  async streams() {
    const made = [];
    for await (const event of await client.images.generate({
      model: "gpt-image-2", prompt, stream: true, partial_images: 2, size: "1024x1024",
    })) made.push(event);
    assert.equal(made.at(-1).type, "image_generation.completed");
    assert.ok(made.slice(0, -1).every((event) => event.type === "image_generation.partial_image"));
    assert.deepEqual(pngSize(made.at(-1).b64_json), [1024, 1024]);

    const edited = [];
    for await (const event of await client.images.edit({
      model: "gpt-image-2", image: await file("in.png"), prompt, stream: true,
    })) edited.push(event.type);
    assert.equal(edited.at(-1), "image_edit.completed");
  },

  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.deepEqual(names.sort(), ["gpt-image-2", "hero", "sandbox"]);
    assert.equal((await client.models.retrieve("hero")).id, "hero");
    await refused(client.models.retrieve("no-such-model"), OpenAI.NotFoundError, { code: "model_not_found" });
  },

  async errors() {
    const generate = (fields, by = client) => by.images.generate({ model: "gpt-image-2", prompt, ...fields });
    const stranger = new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey: "wrong", maxRetries: 0 });
    await refused(generate({}, stranger), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" });
    const strict = client.withOptions({ defaultHeaders: { "x-imagegate-size-mode": "strict" } });
    await refused(generate({ size: "1792x936" }, strict), OpenAI.BadRequestError, {
      param: "size", code: "invalid_value",
    });
    assert.equal((await generate({ size: "1792x936" })).size, "1792x944");
    await refused(generate({ prompt: undefined }), OpenAI.BadRequestError, {
      param: "prompt", code: "missing_required_parameter",
    });
    await refused(generate({ model: "reserved" }), OpenAI.PermissionDeniedError, { status: 403, param: "model" });
    await refused(generate({ model: "sandbox", prompt: "a cat [sandbox: 429]" }), OpenAI.RateLimitError, {
      status: 429,
    });
  },

  async azure_and_lumenfall_paths() {
    const azure = new AzureOpenAI({
      endpoint: BASE_URL, apiKey: KEY, apiVersion: "2025-04-01-preview", maxRetries: 0,
    });
    pngSize((await azure.images.generate({ model: "gpt-image-2", prompt })).data[0].b64_json);
    pngSize((await azure.images.edit({ model: "hero", image: await file("in.png"), prompt })).data[0].b64_json);
    const lumenfall = new OpenAI({ baseURL: `${BASE_URL}/openai/v1`, apiKey: KEY, maxRetries: 0 });
    const answer = await lumenfall.images.generate({ model: "sandbox", prompt, response_format: "b64_json" });
    pngSize(answer.data[0].b64_json);
  },
};

for (const [name, test] of Object.entries(tests)) {
  let error = null;
  try {
    await test();
  } catch (thrown) {
    error = thrown.stack ?? String(thrown);
  }
  console.log(JSON.stringify({ name, error }));
}
