"""What a hosted class is, read from the class itself or from a file that cannot be imported here, and its options."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radbench.model_adapters.identity import of_path

from radbench.errors import ConfigError, nearest
from radbench.registry import options_of

_PLACES = frozenset({"device", "device_map"})  # where a model computes is not what it is
_PATHS = frozenset(
    "checkout weights checkpoint path folder model lora vocab llama tokenizer lang_encoder".split()
)  # options that mean something on disk where something of their name is there


@dataclass(frozen=True, slots=True)
class Code:
    """A hosted class: ``target`` is its ``FILE.py:Class``, ``factory`` itself where it may be imported here."""

    name: str
    target: str
    capabilities: frozenset[str]
    signature: inspect.Signature
    factory: Callable[..., Any] | None = None
    hashed: bool = True  # whether its file counts as part of the model
    checkout: str | None = None  # a folder for the worker's sys.path

    @classmethod
    def of_class(cls, factory: type) -> Code:
        try:
            file = inspect.getsourcefile(factory)
        except (TypeError, OSError):
            file = None
        name, ours = str(getattr(factory, "name", factory.__name__)), factory.__module__.startswith("radbench.")
        capabilities = _capabilities(getattr(factory, "capabilities", ("text",)), name)
        target = f"{file or '?'}:{factory.__qualname__}"
        return cls(name, target, capabilities, inspect.signature(factory), factory, not ours and file is not None)

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
        values = _class_values(node)
        capabilities = _capabilities(values.get("capabilities", ("text",)), f"{path}:{name}")
        return cls(str(values.get("name", name)), f"{file}:{name}", capabilities, _signature(node))

    def bound(self, arguments: Sequence[Any], options: Mapping[str, Any], shared: str) -> dict[str, Any]:
        """All options with their defaults. Raises :class:`ConfigError`; ``shared`` are those of every hosted model."""
        try:
            bound = self.signature.bind(*arguments, **options)
        except TypeError as error:
            own = options_of(self.factory) if self.factory else ", ".join(map(str, self.signature.parameters.values()))
            raise ConfigError(
                f"model '{self.name}': {error}",
                remedy=f"its options are: {own or 'none'}; of every hosted model: {shared}",
            ) from None
        for key, value in options.items():
            if key in _PATHS and str(value).startswith(("/", "~", "./")) and not _is_path(key, value):
                raise ConfigError(f"model '{self.name}': {key}={value} is not there")
        bound.apply_defaults()
        return dict(bound.arguments)

    def fingerprint(self, bound: Mapping[str, Any]) -> dict[str, str]:
        """Name and options but the device, with the contents of what they name on disk instead of where it lies."""
        found = {"adapter": "hosted", "name": self.name}
        if self.hashed:
            found["source"] = of_path(self.target.rpartition(":")[0])
        if self.checkout:
            bound = {**bound, "checkout": self.checkout}
        return found | {f"option {k}" if k in found else k: said(k, v) for k, v in bound.items() if k not in _PLACES}


def _capabilities(value: object, name: str) -> frozenset[str]:
    if not isinstance(value, tuple | list | set | frozenset) or not all(isinstance(v, str) for v in value):
        raise ConfigError(
            f"{name}: capabilities are {value!r}, expected a tuple of texts, such as ('text', 'multi_image')"
        )
    return frozenset(value)


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


def _is_path(key: str, value: object) -> bool:
    """Whether an option means something on disk: it is there and looks like a path, or the option's name says so."""
    if not isinstance(value, str) or not value:
        return False
    looks = "/" in value or "." in value or value.startswith("~") or key in _PATHS or key.endswith(("_path", "_dir"))
    try:
        return looks and Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def anchored(key: str, value: object) -> object:
    return str(Path(str(value)).expanduser().absolute()) if _is_path(key, value) else value


def said(key: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(said(key, v) for v in value)
    if isinstance(value, Mapping):
        return ",".join(f"{k}={said(str(k), v)}" for k, v in value.items())
    if _is_path(key, value):
        try:
            return f"{Path(str(value)).name}#{of_path(str(value))}"
        except OSError as error:
            raise ConfigError(f"{key}={value} cannot be read: {error.filename}: {error.strerror}") from None
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else str(value)
