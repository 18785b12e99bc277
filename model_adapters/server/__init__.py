"""An OpenAI-compatible server: messages, requests that are retried, replies."""
