import OpenAI from "openai";

const client = new OpenAI({ apiKey: process.env.API_KEY, baseURL: process.env.BASE_URL });

const response = await client.images.generate({
  model: "gpt-image-2",
  prompt: "a capybara in a hot spring",
  size: "1024x1024",
});

console.log(response.data[0].url);
