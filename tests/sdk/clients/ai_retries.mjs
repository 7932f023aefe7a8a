// The Vercel AI SDK with the retries that it makes by itself: what the last error was.
import { createOpenAI } from "@ai-sdk/openai";
import { generateImage } from "ai";

const { BASE_URL, KEY } = process.env;
const model = createOpenAI({ baseURL: `${BASE_URL}/v1`, apiKey: KEY }).image("gpt-image-2");
const error = await generateImage({ model, prompt: "a kite" }).then(() => null, (error) => error);
const last = error?.lastError ?? error;
console.log(JSON.stringify({ status: last?.statusCode ?? null, tries: error?.errors?.length ?? 1 }));
