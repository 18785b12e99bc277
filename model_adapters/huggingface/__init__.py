"""A model of transformers: finding and loading it, its prompts, its forward passes."""
