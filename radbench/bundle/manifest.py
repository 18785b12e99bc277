"""The manifest of a bundle: what a run's manifest says of versions, model and tasks, without places and private names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radbench.bundle.key import keyed_digest
from radbench.public import public_name
from radbench.registry import find_tasks

_TASK_OPEN = ("version", "split", "support", "support_digest", "target", "form", "choices", "prompts", "parser",
              "generation", "data", "by_sample", "text_form")  # fmt: skip
_TASK_RESTRICTED = ("version", "form", "generation", "by_sample", "text_form")
_KEYED = ("data", "prompts", "support_digest")
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "all"})


def some(entry: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The fields of an entry that are named, where it has them."""
    return {key: entry[key] for key in keys if key in entry}


def public_manifest(manifest: Mapping[str, Any], results: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """A run's manifest as its bundle tells it; ``results`` are the bundle's. Raises KeyError where a field is absent."""
    identity, git = manifest["identity"], manifest["git"]
    datasets = _datasets(manifest, results)
    tasks = {}
    for name, entry in results["tasks"].items():
        described = _restricted_description(key, identity["tasks"][name]) if entry["restricted"] else (
            _open_description(identity["tasks"][name])
        )  # fmt: skip
        dataset = {"dataset": datasets[name]} if name in datasets else {}
        tasks[name] = {**described, **dataset, "regime": entry["regime"], "access": entry["access"]}
    return {
        "radbench": manifest["radbench"],
        "created": manifest["created"],
        "python": manifest["python"],
        "packages": {str(k): public_name(str(v)) for k, v in manifest["packages"].items()},
        "git": {"commit": git["commit"], "dirty": git["dirty"]} if git else None,
        "model": results["model"],
        **{key: results[key] for key in ("seed", "resamples", "level")},
        **{key: identity[key] for key in ("limit", "draws")},
        "tasks": tasks,
    }


def _open_description(described: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of an open task, its options without paths."""
    options = {k: public_name(v) if isinstance(v, str) else v for k, v in described.get("options", {}).items()}
    return {**some(described, _TASK_OPEN), "parser": public_name(described["parser"]), "options": options}


def _restricted_description(key: bytes, described: Mapping[str, Any]) -> dict[str, Any]:
    """No choice, no name of a column, and digests only under the key: a digest of few short texts can be guessed back."""
    split = {"split": described["split"]} if described["split"] in _SPLITS else {}
    options = {k: v for k, v in described.get("options", {}).items() if isinstance(v, int | float)}
    keyed = {what: keyed_digest(key, what, str(described[what])) for what in _KEYED if described[what] is not None}
    parser = described["parser"].partition(" ")[0]
    return {**some(described, _TASK_RESTRICTED), **split, **keyed, "parser": parser, "options": options}


def _datasets(manifest: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, str]:
    """The dataset of each member of a pooled group: patients that two tasks of one dataset share are one cluster."""
    members = {m for group in results["groups"].values() if group["how"] == "pool" for m in group["members"]}
    if not members:
        return {}
    specs = [spec for spec in manifest["config"]["tasks"] if not spec.endswith((".yaml", ".yml"))]
    return {task.name: task.dataset.name for task in find_tasks(specs) if task.name in members}
