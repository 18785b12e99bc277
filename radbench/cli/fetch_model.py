"""``radbench fetch model ID``: a model or LoRA adapter of the Hugging Face hub into the local cache, where ``hf:`` looks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fnmatch import filter as matching
from importlib.util import find_spec
from pathlib import Path

from radbench.errors import ConfigError

_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")
# The same weights again in another format.
_LEFT_OUT = ("original/*", "onnx/*", "consolidated*")


def fetch_model(name: str, revision: str | None = None, code: bool = False, include: Sequence[str] = ()) -> int:
    """Download safetensors, configuration, processor and tokenizer files; pickled weights only where ``include`` names them.

    ``code`` brings the repository's Python files too, for ``trust_remote_code=True``. A gated model asks for its owner's
    terms to be accepted and for a token (``hf auth login`` or ``HF_TOKEN``). Raises :class:`ConfigError`.
    """
    if find_spec("huggingface_hub") is None:
        raise ConfigError("huggingface_hub is not installed", remedy="pip install 'radbench[models]'")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    files = [*_FILES, *(["*.py"] if code else []), *include]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=files, ignore_patterns=list(_LEFT_OUT)))
    except GatedRepoError:
        raise ConfigError(
            f"model '{name}' is gated: its owner's terms have not been accepted with this account",
            remedy=f"accept them on the page of {name} on the hub, then hf auth login, and fetch it again",
        ) from None
    except RepositoryNotFoundError:
        raise ConfigError(
            f"the hub has no model '{name}', or this account may not see it", remedy="check the id; hf auth login"
        ) from None
    except HFValidationError as error:
        raise ConfigError(f"'{name}' is no id of the Hugging Face hub: {error}", remedy="OWNER/NAME") from None
    except (OSError, HfHubHTTPError) as error:
        at = f" at revision '{revision}'" if revision else ""
        raise ConfigError(
            f"model '{name}'{at} could not be downloaded: {error}",
            remedy="check the network, the disk and the revision",
        ) from error
    files = [str(file.relative_to(folder)) for file in folder.rglob("*")]
    if missing := [pattern for pattern in include if not matching(files, pattern)]:
        raise ConfigError(
            f"model '{name}' has no file {', '.join(missing)}", remedy="its page on the hub lists its files"
        )
    if not include and not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"model '{name}' has no safetensors weights; pickled ones are not fetched unless they are named",
            remedy="--include checkpoint.pt or as its page on the hub calls them, or ask its owner for safetensors",
        )
    if include:
        print(
            f"radbench: {', '.join(include)}: pickled weights can hold code; radbench reads them with weights_only,"
            " other programs may run it",
            file=sys.stderr,
        )
    print(f"{name}: {folder}")
    return 0
