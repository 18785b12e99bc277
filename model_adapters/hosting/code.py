"""What a hosted class is, read from the class itself or from a file that cannot be imported here, and its options."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from radbench.model_adapters.identity import of_path

from radbench.errors import ConfigError, nearest
from radbench.registry import options_of

CAPABILITIES = ("text", "boxes", "mask2d", "mask3d", "multi_image", "volumes")
_PLACES = frozenset({"device", "device_map"})  # where a model computes is not what it is
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class Code:
    """A hosted class: ``target`` is its ``FILE.py:Class``, ``factory`` itself where it may be imported here.

    ``capabilities``, ``endpoint`` and ``paths`` are the class's attributes. ``paths`` names the options that mean files,
    folders or repositories of the Hugging Face hub; by default ``checkout``, ``weights`` and what ends in _path, _dir, _file.
    """

    name: str
    target: str
    capabilities: frozenset[str]
    signature: inspect.Signature
    factory: Callable[..., Any] | None = None
    hashed: bool = True  # whether its file counts as part of the model
    checkout: str | None = None  # a folder for sys.path
    endpoint: str | None = None
    paths: tuple[str, ...] | None = None

    @classmethod
    def of_class(cls, factory: type) -> Code:
        """Raises :class:`ConfigError` on attributes that cannot be."""
        try:
            file = inspect.getsourcefile(factory)
        except (TypeError, OSError):
            file = None
        name, ours = str(getattr(factory, "name", factory.__name__)), factory.__module__.startswith("radbench.")
        values = {n: getattr(factory, n) for n in ("capabilities", "endpoint", "paths") if hasattr(factory, n)}
        target, hashed = f"{file or '?'}:{factory.__qualname__}", not ours and file is not None
        signature = inspect.signature(factory)
        return cls(name, target, factory=factory, signature=signature, hashed=hashed, **_declared(values, name))

    @classmethod
    def in_file(cls, target: str) -> Code:
        """What can be read of ``FILE.py:Class`` without running it. Raises :class:`ConfigError`."""
        path, _, name = (target, "", "") if target.endswith(".py") else target.rpartition(":")
        file = Path(path).expanduser().absolute()
        if not file.is_file():
            raise ConfigError(
                f"worker: there is no file {path or target}", remedy="worker:FILE.py:Class,python=INTERPRETER"
            )
        try:
            tree = ast.parse(file.read_bytes(), filename=path)
        except SyntaxError as error:
            raise ConfigError(f"{path}, line {error.lineno}: {error.msg}") from None
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        able = [n for n, node in classes.items() if any(getattr(s, "name", "") == "answer" for s in node.body)]
        if not name and len(able) == 1:
            name = able[0]
        if name not in classes:
            wrong = f"has no class '{name}'" if name else f"has {len(able)} classes with a method 'answer'"
            raise ConfigError(f"{path} {wrong}: {nearest(name, classes)}", remedy="worker:FILE.py:Class")
        node = classes[name]
        values: dict[str, Any] = {}
        for base in reversed(node.bases):  # of the same file
            if isinstance(base, ast.Name) and base.id in classes:
                values |= _class_values(classes[base.id])
        values |= _class_values(node)
        declared = _declared(values, f"{path}:{name}")
        return cls(str(values.get("name", name)), f"{file}:{name}", signature=_signature(node), **declared)

    def bound(
        self, arguments: Sequence[Any], options: Mapping[str, Any], shared: str
    ) -> tuple[dict[str, Any], inspect.BoundArguments]:
        """All options with their defaults, and what the class is called with: given ones, and places instead of names.

        Raises :class:`ConfigError` where a path or a repository is not on this machine; ``shared`` are the options of
        every hosted model. A class may have a static method ``resolved(options) -> options`` for what shorthands stand for.
        """
        try:
            call = self.signature.bind(*arguments, **options)
        except TypeError as error:
            own = options_of(self.factory) if self.factory else ", ".join(map(str, self.signature.parameters.values()))
            raise ConfigError(
                f"model '{self.name}': {error}",
                remedy=f"its options are: {own or 'none'}; of every hosted model: {shared}",
            ) from None
        full = self.signature.bind(*arguments, **options)
        full.apply_defaults()
        bound, given = dict(full.arguments), set(call.arguments)
        if resolved := getattr(self.factory, "resolved", None):
            told = resolved(bound)
            call.arguments.update(told)
            bound.update(told)
        for key, value in bound.items():
            if self.signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD:
                place: object = {k: self._place(k, v, True) for k, v in value.items()}
            else:
                place = self._place(key, value, key in given)
            if place is not value:
                call.arguments[key] = place
        return bound, call

    def _is_path(self, key: str, value: object) -> bool:
        usual = key in ("checkout", "weights") or key.endswith(("_path", "_dir", "_file"))
        return isinstance(value, str) and bool(value) and (usual if self.paths is None else key in self.paths)

    def _place(self, key: str, value: Any, given: bool) -> Any:
        """The absolute path of what an option names; the snapshot of a repository in the hub's cache."""
        if not self._is_path(key, value):
            return value
        if (found := _on_disk(value) or _in_cache(value)) is not None:
            return str(found)
        if _HUB_ID.fullmatch(value):
            raise ConfigError(
                f"model '{self.name}': {key}={value} is no file or folder, nor a repository in the Hugging Face cache",
                remedy=f"radbench fetch model {value}",
            )
        if given:
            raise ConfigError(f"model '{self.name}': {key}={value} is not there")
        return value

    def fingerprint(self, bound: Mapping[str, Any]) -> dict[str, str]:
        """Name and options but the device, with the contents of what they name on disk instead of where it lies."""
        found = {"adapter": "hosted", "name": self.name}
        if self.hashed:
            found["source"] = of_path(self.target.rpartition(":")[0])
        if self.checkout:
            bound = {**bound, "checkout": self.checkout}
        own = {k: self._said(k, v) for k, v in bound.items() if k not in _PLACES}
        return found | {f"option {k}" if k in found else k: v for k, v in own.items()}

    def _said(self, key: str, value: object) -> str:
        if isinstance(value, list | tuple):
            return ",".join(self._said(key, v) for v in value)
        if isinstance(value, Mapping):
            return ",".join(f"{k}={self._said(str(k), v)}" for k, v in value.items())
        if isinstance(value, str) and (self._is_path(key, value) or key == "checkout"):
            if place := _on_disk(value):
                try:
                    return f"{place.name}#{of_path(place)}"
                except OSError as error:
                    raise ConfigError(f"{key}={value} cannot be read: {error.filename}: {error.strerror}") from None
            if snapshot := _in_cache(value):
                return f"{value}@{snapshot.name}"  # its commit
        return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else str(value)


def _on_disk(value: str) -> Path | None:
    try:
        path = Path(value).expanduser().absolute()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _in_cache(name: str) -> Path | None:
    """The newest snapshot of a repository in the Hugging Face cache of this machine; nothing is asked of the network."""
    if not _HUB_ID.fullmatch(name) or find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def _declared(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The class's ``capabilities``, ``endpoint`` and ``paths``, checked."""
    capabilities, endpoint, paths = values.get("capabilities", ("text",)), values.get("endpoint"), values.get("paths")
    for what, value in {"capabilities": capabilities, "paths": paths or ()}.items():
        if not isinstance(value, tuple | list | set | frozenset) or not all(isinstance(v, str) for v in value):
            raise ConfigError(
                f"{name}: {what} are {value!r}, expected a tuple of texts, such as ('text', 'multi_image')"
            )
    for value in sorted(set(capabilities).difference(CAPABILITIES)):
        raise ConfigError(f"{name}: there is no capability '{value}': {nearest(value, CAPABILITIES)}")
    if not isinstance(endpoint, str | None):
        raise ConfigError(f"{name}: endpoint is {type(endpoint).__name__}, expected the URL as a text")
    return {
        "capabilities": frozenset(capabilities),
        "endpoint": endpoint,
        "paths": None if paths is None else tuple(paths),
    }


def _class_values(node: ast.ClassDef) -> dict[str, Any]:
    """The class's attributes that are literals; of others what stands in the file."""
    found: dict[str, Any] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name, value = statement.targets[0].id, statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            name, value = statement.target.id, statement.value
        else:
            continue
        if isinstance(value, ast.Call) and len(value.args) == 1:  # frozenset({...})
            value = value.args[0]
        found[name] = _literal(value)
    return found


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _signature(node: ast.ClassDef) -> inspect.Signature:
    """The constructor's parameters; any where it is inherited."""
    init = next((s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)
    kinds = inspect.Parameter
    if init is None:
        return inspect.Signature([kinds("options", kinds.VAR_KEYWORD)] if node.bases else [])
    given = init.args
    plain = [*given.posonlyargs, *given.args]
    defaults: list[Any] = [kinds.empty] * (len(plain) - len(given.defaults)) + [_literal(d) for d in given.defaults]
    found = [
        kinds(argument.arg, kinds.POSITIONAL_OR_KEYWORD, default=default)
        for argument, default in list(zip(plain, defaults, strict=True))[1:]
    ]
    if given.vararg:
        found.append(kinds(given.vararg.arg, kinds.VAR_POSITIONAL))
    for argument, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found.append(kinds(argument.arg, kinds.KEYWORD_ONLY, default=_literal(value) if value else kinds.empty))
    if given.kwarg:
        found.append(kinds(given.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(found)
