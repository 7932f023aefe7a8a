import os

from openai import OpenAI

client = OpenAI(api_key=os.environ["API_KEY"], base_url=os.environ["BASE_URL"])

response = client.images.edit(
    model="gpt-image-2",
    image=open("source.png", "rb"),  # noqa: SIM115
    prompt="add a red hat",
    size="1024x1024",
)

print(response.data[0].url)
