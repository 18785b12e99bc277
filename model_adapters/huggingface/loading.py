"""Where a Hugging Face model lies on this machine, what identifies it, and how it gets into memory. Nothing is downloaded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from radbench.model_adapters.identity import of_path

from radbench.errors import ConfigError
from radbench.options import flag, one_of

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
_QUANTIZATIONS = ("4bit", "8bit")
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# What of a model's own generation config counts; penalties, beams and sampling are the run's, not the model's.
_KEPT = (
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id",
    "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Files of a model or a LoRA adapter: ``name`` for people, ``identity`` of the contents (hub: the commit)."""

    name: str
    folder: Path
    identity: str


def find(name: str, revision: str | None, weights: str = "*.safetensors") -> Source:
    """A folder, or a hub id in the local cache. Raises :class:`ConfigError` where it, or a file of it, is not there."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ConfigError(f"'{name}' is a folder: it has no revision", remedy="leave revision= away")
        _check_files(name, folder, weights, "")
        return Source(folder.resolve().name, folder.resolve(), of_path(folder))
    if not _HUB_ID.fullmatch(name):
        raise ConfigError(
            f"no model folder '{name}'", remedy="give a folder, or an id of the Hugging Face hub: OWNER/NAME"
        )
    remedy = f"radbench fetch model {name}" + (f" --revision {revision}" if revision else "")
    if find_spec("huggingface_hub") is None:
        raise ConfigError("huggingface_hub is not installed", remedy="pip install 'radbench[models]'")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        at = f" at revision '{revision}'" if revision else ""
        raise ConfigError(f"model '{name}'{at} is not on this machine", remedy=remedy) from None
    except HFValidationError as error:
        raise ConfigError(f"'{name}' is no id of the Hugging Face hub: {error}") from None
    _check_files(name, found, weights, remedy)
    return Source(name, found, found.name)


def find_adapter(name: str | None) -> Source | None:
    """A LoRA adapter's folder or hub id. Raises :class:`ConfigError`."""
    if name is None:
        return None
    if find_spec("peft") is None:
        raise ConfigError("peft is not installed", remedy="pip install 'radbench[models]'")
    return find(str(name), None, "adapter_model.safetensors")


def _check_files(name: str, folder: Path, weights: str, remedy: str) -> None:
    config = "adapter_config.json" if weights.startswith("adapter") else "config.json"
    if not (folder / config).is_file():
        raise ConfigError(f"'{name}' has no {config}", remedy=remedy or "give the folder that save_pretrained wrote")
    index = folder / "model.safetensors.index.json"
    needed = set(_json(index).get("weight_map", {}).values()) if index.is_file() else set()
    missing = sorted(n for n in needed if not (folder / n).is_file())
    if missing:
        raise ConfigError(
            f"'{name}' lacks {len(missing)} of {len(needed)} weight files, such as {missing[0]}", remedy=remedy
        )
    if not any(folder.glob(weights)):
        raise ConfigError(
            f"'{name}' has no {weights} weights; pickled ones are not loaded",
            remedy=remedy or "save it with save_pretrained(FOLDER, safe_serialization=True)",
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name} of the model cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def check_template(source: Source, template: str | None) -> None:
    """Raise :class:`ConfigError` where neither the model nor the user brings a chat template."""
    files = ("chat_template.json", "tokenizer_config.json", "processor_config.json")
    folder = source.folder
    own = (folder / "chat_template.jinja").is_file() or any(_json(folder / f).get("chat_template") for f in files)
    if template is None and not own:
        raise ConfigError(
            f"model '{source.name}' has no chat template",
            remedy="template=plain (pictures and texts alone: a base model), or template=FILE.jinja",
        )
    if template is not None and template != "plain" and not Path(template).expanduser().is_file():
        raise ConfigError(f"template={template}: no such file", remedy="give a Jinja file, or plain")


def template_identity(template: str) -> str:
    """``plain``, or what a template file says, as a hash."""
    return template if template == "plain" else sha256(Path(template).expanduser().read_bytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is put into memory: options of :class:`radbench.model_adapters.hf.HuggingFace` of the same names."""

    dtype: str = "auto"
    device: str | None = None
    device_map: Any = None
    quantization: str | None = None
    attn: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Raise :class:`ConfigError` on a value or package that is not there."""
        one_of("dtype", self.dtype, DTYPES)
        one_of("quantization", self.quantization, (None, *_QUANTIZATIONS))
        flag("trust_remote_code", self.trust_remote_code)
        if self.device is not None and self.device_map is not None:
            raise ConfigError("device and device_map exclude each other", remedy="give one of them")
        needed = {"torch": True, "transformers": True, "accelerate": self.device_map is not None or self.quantization}
        for package, wanted in {**needed, "bitsandbytes": self.quantization}.items():
            if wanted and find_spec(package) is None:
                extra = "'radbench[models]'" if package in needed else package
                raise ConfigError(f"{package} is not installed", remedy=f"pip install {extra}")

    def said(self, folder: Path) -> dict[str, str]:
        """What of it changes answers; where the model lies in memory does not."""
        config = _json(folder / "config.json")
        stored = config.get("dtype") or config.get("torch_dtype")
        stored = stored or (config.get("text_config") or {}).get("dtype")
        dtype = f"auto ({stored})" if self.dtype == "auto" else self.dtype
        more = {"quantization": self.quantization, "attn": self.attn}
        return {"dtype": dtype, **{k: v for k, v in more.items() if v}}

    def model(self, source: Source, adapter: Source | None) -> Any:
        """The network in evaluation mode, LoRA weights laid over it. Raises :class:`ConfigError`."""
        import torch
        from transformers import AutoModelForImageTextToText

        device = self._device()
        options: dict[str, Any] = {"dtype": self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)}
        if self.attn:
            options["attn_implementation"] = self.attn
        if self.quantization:
            options["quantization_config"] = self._bits(options["dtype"])
        if self.device_map is not None or self.quantization:
            options["device_map"] = self.device_map or {"": device}
        try:
            model, info = AutoModelForImageTextToText.from_pretrained(
                source.folder, trust_remote_code=self.trust_remote_code, local_files_only=True, use_safetensors=True,
                output_loading_info=True, **options,
            )  # fmt: skip
            if "device_map" not in options:
                model = model.to(device)
            if adapter is not None:
                model = _with_adapter(model, adapter)
        except (OSError, ValueError, ImportError, RuntimeError, KeyError, AssertionError) as error:
            raise ConfigError(f"model '{source.name}' cannot be loaded: {type(error).__name__}: {error}") from error
        if missing := sorted(info["missing_keys"]):
            raise ConfigError(
                f"the files of '{source.name}' lack {len(missing)} weights of the model, such as {missing[0]}: they would"
                " be random",
                remedy="fetch the model again, or use the version of transformers that it was saved with",
            )
        return model.eval()

    def _device(self) -> str:
        """The device asked for, else a GPU where there is one. Raises :class:`ConfigError` on one that is not there."""
        import torch

        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
            why = str(error).partition("\n")[0]
            raise ConfigError(f"device={device} cannot be used here: {why}", remedy="device=cpu") from None
        return device

    def _bits(self, dtype: Any) -> Any:
        import torch
        from transformers import BitsAndBytesConfig

        if self.quantization == "8bit":
            return BitsAndBytesConfig(load_in_8bit=True)
        computed = torch.bfloat16 if dtype == "auto" else dtype
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=computed)


def _with_adapter(model: Any, adapter: Source) -> Any:
    """The model with LoRA weights laid over it. Raises :class:`ConfigError` where they are not its own."""
    from peft import PeftModel

    found = PeftModel.from_pretrained(model, str(adapter.folder), is_trainable=False)
    told = found.load_adapter(str(adapter.folder), "default")  # again: it alone says what did not fit
    if unfit := sorted([*told.missing_keys, *told.unexpected_keys]):
        raise ConfigError(
            f"{len(unfit)} weights of the adapter '{adapter.name}' do not fit the model, such as {unfit[0]}",
            remedy="give the model that the adapter was trained on",
        )
    return found


def generation_config(source: Source, trust_remote_code: bool, repetition_penalty: float) -> Any:
    """The effective ``GenerationConfig``: the model's own token ids, greedy and neutral in everything else.

    Hub checkpoints bring sampling settings and penalties of their own (temperature 0.1, repetition_penalty 1.05): kept,
    they would differ from model to model. Raises :class:`ConfigError` on a model that is no image-text-to-text model.
    """
    import transformers
    from transformers import AutoConfig, GenerationConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    kind = _json(source.folder / "config.json").get("model_type")
    if kind not in KNOWN and not trust_remote_code:
        raise ConfigError(
            f"'{source.name}' is of the type '{kind}', no image-text-to-text model of transformers"
            f" {transformers.__version__}",
            remedy="a newer transformers, trust_remote_code=True for a model that brings its code, or an adapter of its"
            " own: radbench list models",
        )
    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=trust_remote_code, local_files_only=True)
        if (source.folder / "generation_config.json").is_file():
            own = GenerationConfig.from_pretrained(source.folder, local_files_only=True)
        else:
            own = GenerationConfig.from_model_config(config)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"the configuration of '{source.name}' cannot be read: {error}") from error
    kept = {name: value for name in _KEPT if (value := getattr(own, name, None)) is not None}
    return GenerationConfig(**kept, do_sample=False, num_beams=1, repetition_penalty=repetition_penalty)


def said(config: Any) -> str:
    """An effective generation config as the fingerprint has it."""
    names = (*_KEPT, "do_sample", "num_beams", "repetition_penalty")
    return json.dumps({n: v for n in names if (v := getattr(config, n, None)) is not None}, sort_keys=True)
