import os

from openai import OpenAI

client = OpenAI(api_key=os.environ["API_KEY"], base_url=os.environ["BASE_URL"])

response = client.images.generate(
    model="gpt-image-2",
    prompt="a capybara in a hot spring",
    size="1024x1024",
)

print(response.data[0].url)
