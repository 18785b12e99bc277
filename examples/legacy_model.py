"""A model of another library as one file, here in the manner of CheXagent-2, which needs transformers 4.40 and picture paths.

``radbench run --model worker:legacy_model.py,python=/envs/chexagent/bin/python,weights=FOLDER --tasks own_data/vqa.yaml``
Without ``weights`` a stand-in answers, so that the way there can be tried out first.
"""

from __future__ import annotations

import os
import tempfile


class CheXagent:
    """CheXagent-2 (StanfordAIMI/CheXagent-2-3b): text about one picture or several."""

    hosted = True  # where its imports work here too, legacy_model:CheXagent runs it in this process
    name = "chexagent-2"
    capabilities = ("text", "multi_image")

    def __init__(self, weights=None, device="cuda"):
        """Loads everything; what it raises stops the run."""
        if weights is None:
            self.generate = lambda paths, text, generation: "left" if os.path.getsize(paths[0]) % 2 else "right"
            return
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(weights, trust_remote_code=True)
        model = AutoModelForCausalLM.from_pretrained(weights, trust_remote_code=True, torch_dtype=torch.bfloat16)
        model = model.to(device).eval()

        def generate(paths, text, generation):
            said = tokenizer.from_list_format([*({"image": path} for path in paths), {"text": text}])
            turns = [{"from": "system", "value": "You are a helpful assistant."}, {"from": "human", "value": said}]
            ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt").to(device)
            with torch.inference_mode():
                out = model.generate(ids, max_new_tokens=generation["max_new_tokens"], **generation["sampling"])
            return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()

        self.generate = generate

    def answer(self, turns, choices, form, generation):
        """One request. ``turns``: (role, parts) with parts that are texts and Pillow pictures."""
        parts = [part for _, parts in turns for part in parts]
        text = "\n".join(part for part in parts if isinstance(part, str))
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for part in parts:
                if not isinstance(part, str):
                    paths.append(os.path.join(folder, f"{len(paths)}.png"))
                    part.save(paths[-1])
            return self.generate(paths, text, generation)
