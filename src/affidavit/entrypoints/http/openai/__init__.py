"""The endpoint that clients made for OpenAI's API can be pointed at."""
