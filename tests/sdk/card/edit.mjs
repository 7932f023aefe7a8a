import fs from "fs";
import OpenAI from "openai";

const client = new OpenAI({ apiKey: process.env.API_KEY, baseURL: process.env.BASE_URL });

const response = await client.images.edit({
  model: "gpt-image-2",
  image: fs.createReadStream("source.png"),
  prompt: "add a red hat",
  size: "1024x1024",
});

console.log(response.data[0].url);
