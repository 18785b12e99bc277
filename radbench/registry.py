"""Finding tasks, metrics and models by name, without importing them at start-up.

Everything is found through entry points, ours as well as a third party's: ``radbench.tasks`` and ``radbench.groups``
(iterables of Task or Group), ``radbench.metrics`` (a mapping name -> factory) and ``radbench.models`` (a factory).
Specs are ``name``, ``name:argument`` and ``name:argument,key=value``; a wrapper around a model is ``name(model,key=value)``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin, get_type_hints

from radbench.errors import ConfigError, RadbenchError, nearest
from radbench.specs import literal, parse_spec, top_level

if TYPE_CHECKING:
    from radbench.metrics.base import Metric
    from radbench.records import Model
    from radbench.task import Group, Task

log = logging.getLogger("radbench")


@cache
def _entries(group: str) -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=group), key=lambda e: e.name))


def _load(entry: EntryPoint) -> Any:
    return _user_code(entry.load, f"the plug-in '{entry.name}' ({entry.value})", "reinstall or uninstall its package")


def _loadable(group: str) -> list[Any]:
    """What a group's plug-ins declare; a broken one is reported and left out, the others stay usable."""
    found = []
    for entry in _entries(group):
        try:
            found.append(_load(entry))
        except ConfigError as error:
            log.warning("%s", error)
    return found


def _user_code(call: Callable[[], Any], what: str, remedy: str) -> Any:
    """Run code that is not ours; whatever it raises becomes a :class:`ConfigError` with the cause kept."""
    try:
        return call()
    except RadbenchError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what} failed: {type(error).__name__}: {error}", remedy=remedy) from error


@cache
def all_tasks() -> Mapping[str, Task]:
    """Every installed task by name. Raises :class:`ConfigError` where two share a name."""
    found: dict[str, Task] = {}
    for tasks in _loadable("radbench.tasks"):
        for task in tasks:
            if task.name in found:
                raise ConfigError(f"two installed packages declare the task '{task.name}'")
            found[task.name] = task
    return found


@cache
def all_groups() -> tuple[Group, ...]:
    return tuple(group for groups in _loadable("radbench.groups") for group in groups)


@cache
def all_metrics() -> Mapping[str, Callable[..., Metric]]:
    """Every installed metric factory by name."""
    return {name: factory for metrics in _loadable("radbench.metrics") for name, factory in metrics.items()}


def model_names() -> list[str]:
    return [entry.name for entry in _entries("radbench.models")]


def model_factory(name: str) -> Any:
    """An installed model's class by its bare name. Raises :class:`ConfigError` where its plug-in is broken."""
    return next(_load(entry) for entry in _entries("radbench.models") if entry.name == name)


def find_tasks(patterns: Iterable[str]) -> list[Task]:
    """Tasks by name, suite, group, ``suite/*`` pattern or path of a YAML task file, in the order asked, each once.

    ``name:option=value`` sets an option of a task, of a pattern's tasks that have it. Raises :class:`ConfigError`.
    """
    from fnmatch import fnmatchcase

    chosen: dict[str, Task] = {}
    for pattern in patterns:
        if pattern.endswith((".yaml", ".yml")):
            from radbench.taskfile import load_task_file

            task = load_task_file(pattern)
            if chosen.get(task.name, task) != task or task.name in all_tasks():
                raise ConfigError(
                    f"{pattern}: another task is called '{task.name}'", remedy="give each task a name of its own"
                )
            chosen[task.name] = task
            continue
        known = all_tasks()
        name, options = _task_spec(pattern)
        groups = {g.name: g.members for g in all_groups()}
        if name in known:
            matches = [known[name]]
        elif name in groups:
            matches = [known[member] for member in groups[name]]
        else:
            matches = [t for n, t in known.items() if fnmatchcase(n, name) or n.startswith(f"{name}/")]
        if not matches:
            suites = {n.partition("/")[0] + "/*" for n in known}
            hint = nearest(name, suites if name.endswith("/*") else {*known, *groups})
            raise ConfigError(f"unknown task '{pattern}': {hint}", remedy="radbench list tasks")
        for task in _with_options(matches, options, pattern):
            if chosen.get(task.name, task) != task:
                raise ConfigError(f"task '{task.name}' is asked for with different options", remedy="run it twice")
            chosen[task.name] = task
    return list(chosen.values())


def _task_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a task spec. Raises :class:`ConfigError` on an option without value or given twice."""
    name, arguments, options = parse_spec(spec)
    given = [part.partition("=")[0] for part in spec.partition(":")[2].split(",")]
    if arguments or (":" in spec and not options):
        wrong = arguments[0] if arguments else ""
        raise ConfigError(f"task '{spec}': '{wrong}' is no option", remedy=f"TASK:name=value; radbench describe {name}")
    if len(given) > len(set(given)):
        raise ConfigError(f"task '{spec}': an option is given twice", remedy="give each once")
    return name, options


def is_pattern(spec: str) -> bool:
    """Whether tasks are asked for by a pattern, suite or group, so that one whose data are missing is passed over."""
    return not spec.endswith((".yaml", ".yml")) and spec.partition(":")[0] not in all_tasks()


def _with_options(tasks: list[Task], options: Mapping[str, Any], pattern: str) -> list[Task]:
    """Options set on the tasks that have them; at least one must."""
    if len(tasks) == 1:
        return [tasks[0].with_options(options)]
    has = {t.name: {o.name for o in t.options} for t in tasks}
    for option in options:
        if not any(option in names for names in has.values()):
            raise ConfigError(f"no task of '{pattern}' has the option '{option}'", remedy="radbench describe TASK")
    return [t.with_options({k: v for k, v in options.items() if k in has[t.name]}) for t in tasks]


@cache
def find_metric(spec: str) -> Metric:
    """A metric by spec, such as ``accuracy`` or ``bleu:n=1,tok=split``. Raises :class:`ConfigError`."""
    name, arguments, options = parse_spec(spec)
    known = all_metrics()
    if name not in known:
        raise ConfigError(f"unknown metric '{name}': {nearest(name, known)}", remedy="radbench list metrics")
    return construct(known[name], f"metric '{spec}'", arguments, options)


def find_model(spec: str | Model | Callable[..., Any]) -> Model:
    """A model by spec, a ``module:function``, or what Python code hands over. Raises :class:`ConfigError`."""
    if not isinstance(spec, str):
        return _as_model(spec, getattr(spec, "__name__", type(spec).__name__), "")
    if wrapper := re.fullmatch(r"([\w-]+)\((.*)\)", spec, re.DOTALL):
        return _wrapped(wrapper[1], wrapper[2])
    name, _, rest = spec.partition(":")
    for entry in _entries("radbench.models"):
        if entry.name == name:
            return _construct_spec(_load(entry), f"model '{name}'", rest)
    remedy = f"python -c 'import {name}' shows where"
    if rest and not name.endswith(".py") and _user_code(lambda: _importable(name), f"importing '{name}'", remedy):
        target, _, rest = rest.partition(":")  # module:name, then options as of any model
        thing = _user_code(lambda: _import_object(name, target), f"importing '{name}'", remedy)
        return _as_model(thing, spec, rest)
    remedy = "radbench list models, or give module:function"
    shown = spec.partition(",")[0] if rest else spec  # options may hold what should not be shown
    if spec.count("(") > spec.count(")"):
        remedy = "close the parenthesis: NAME(MODEL,option=value)"
    if name.endswith(".py"):
        remedy = f"give the module without .py: {spec.replace('.py:', ':', 1)}"
    raise ConfigError(f"unknown model '{shown}': {nearest(name, model_names())}", remedy=remedy)


def _wrapped(name: str, inside: str) -> Model:
    """A wrapper such as ``rag(hf:ID,dtype=float32,k=5)`` around the model named first in it.

    Options at the end are the wrapper's where it has them; the first one that it lacks, or has been given already, and
    everything before belong to the model.
    """
    factory = next((_load(e) for e in _entries("radbench.models") if e.name == name), None)
    if factory is None or not getattr(factory, "wraps", False):
        wrappers = [e.name for e in _entries("radbench.models") if _wraps(e)]
        raise ConfigError(
            f"model '{name}(...)': '{name}' wraps no model: {nearest(name, wrappers)}", remedy="NAME(MODEL)"
        )
    if inside.count("(") != inside.count(")"):
        raise ConfigError(f"model '{name}(...)': its parentheses do not pair", remedy="NAME(MODEL,option=value)")
    own = list(inspect.signature(factory).parameters)[1:]
    parts, options = top_level(inside), dict[str, Any]()
    while len(parts) > 1:
        key, equals, value = parts[-1].partition("=")
        if not equals or key.strip() not in own or key.strip() in options:
            break
        options[key.strip()] = literal(value.strip())
        parts.pop()
    try:
        model = find_model(",".join(parts).strip())
    except ConfigError as error:  # a misspelt option of the wrapper was taken for one of the model
        remedy = f"{error.remedy}; the options of {name} are: {', '.join(own)}".removeprefix("; ")
        raise ConfigError(error.message, remedy=remedy) from None
    return construct(factory, f"model '{name}(...)'", [model], options)


def _wraps(entry: EntryPoint) -> bool:
    try:
        return bool(getattr(_load(entry), "wraps", False))
    except ConfigError:  # a broken plug-in is no reason to hide what was wrong with the spec
        return False


def anchored_model(spec: str) -> str:
    """A model's spec with absolute paths, where options that mean a path (``paths`` of its class) name what is there."""
    if wrapper := re.fullmatch(r"([\w-]+)\((.*)\)", spec, re.DOTALL):
        first, *options = top_level(wrapper[2])
        return f"{wrapper[1]}({','.join([anchored_model(first), *(_anchored(o, '', ()) for o in options)])})"
    name, colon, rest = spec.partition(":")
    factory: Any = next((_load(e) for e in _entries("radbench.models") if e.name == name), None)
    if factory is None or not rest:
        return spec
    paths = getattr(factory, "paths", ())
    if getattr(factory, "raw_argument", False):
        return f"{name}:{_absolute(rest)}" if paths else spec
    if getattr(factory, "hosted", False):
        paths = (*paths, "python")
    parts = top_level(rest)
    positional = [p for p in inspect.signature(factory).parameters if p != "self"] + [""] * len(parts)
    return name + colon + ",".join(_anchored(p, n, paths) for p, n in zip(parts, positional, strict=False))


def _anchored(part: str, positional: str, paths: Iterable[str]) -> str:
    """``key=value``, or the value of a positional option, with its path absolute; ``embed=`` names another model."""
    key, equals, value = part.partition("=") if re.match(r"\w+=", part) else (positional, "", part)
    if key in paths:
        value = _absolute(value)
    elif key == "embed":
        inside = value[1:-1] if value.startswith("(") and value.endswith(")") else value
        value = value.replace(inside, anchored_model(inside), 1)
    return f"{key}={value}" if equals else value


def _absolute(value: str) -> str:
    """The absolute path of what is there, ``FILE.py:Class`` too; else the value as it is."""
    file, colon, name = value.rpartition(":")
    for path, behind in ((value, ""), (file, colon + name)):
        if path and os.path.exists(found := os.path.abspath(os.path.expanduser(path))):
            return found + behind
    return value


def _importable(module: str) -> bool:
    import importlib.util

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a model beside the data, as `python -m` would find it
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _import_object(module: str, name: str) -> Any:
    loaded = importlib.import_module(module)
    if not hasattr(loaded, name):
        functions = [n for n, v in vars(loaded).items() if callable(v) and not n.startswith("_")]
        raise ConfigError(f"module '{module}' has no '{name}': {nearest(name, functions)}")
    return getattr(loaded, name)


def _as_model(thing: Any, spec: str, options: str) -> Model:
    from radbench.records import Model as ModelProtocol

    if inspect.isclass(thing):
        thing = _construct_spec(thing, f"model '{spec}'", options)
    elif options:
        raise ConfigError(f"model '{spec}': a function takes no options", remedy="write a class that has 'answer'")
    if isinstance(thing, ModelProtocol):
        return thing
    if callable(thing):
        from radbench.model_adapters.function import FunctionModel

        return FunctionModel(thing, spec)
    hint = (
        "set hosted = True in the class, or worker:FILE.py:Class (docs/models.md)" if hasattr(thing, "answer") else ""
    )
    raise ConfigError(
        f"'{spec}' is neither a function nor has it 'answer', 'fingerprint' and 'capabilities'", remedy=hint
    )


def _construct_spec(factory: Callable[..., Any], what: str, rest: str) -> Any:
    """Call a factory with what follows its name; one with ``raw_argument`` takes it as one text (a path, a sentence)."""
    if getattr(factory, "raw_argument", False):
        return construct(factory, what, [rest], {})
    if getattr(factory, "wraps", False):
        raise ConfigError(f"{what} wraps another model", remedy="write it as NAME(MODEL), such as blank(knn)")
    _, arguments, options = parse_spec(f":{rest}")
    if getattr(factory, "hosted", False):
        from radbench.model_adapters.host import Hosted

        return construct(functools.partial(Hosted, cast(type, factory)), what, arguments, options)
    return construct(factory, what, arguments, options)


def construct(factory: Callable[..., Any], what: str, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Call a factory with the options of a spec; a wrong option names the right ones."""
    try:
        inspect.signature(factory).bind(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"{what}: {error}", remedy=f"its options are: {options_of(factory)}") from None
    return _user_code(lambda: factory(*arguments, **options), what, f"its options are: {options_of(factory)}")


def options_of(factory: Callable[..., Any]) -> str:
    """A factory's options as people write them: ``n=4, avg=corpus (corpus|sample)``."""
    plain = factory.func if isinstance(factory, functools.partial) else factory
    try:
        hints = get_type_hints(plain.__init__ if inspect.isclass(plain) else plain)
    except (NameError, TypeError):  # an annotation that only a type checker can see
        hints = {}
    parts = []
    for name, parameter in inspect.signature(factory).parameters.items():
        mark = (
            "*"
            if parameter.kind is parameter.VAR_POSITIONAL
            else "**"
            if parameter.kind is parameter.VAR_KEYWORD
            else ""
        )
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        hint = hints.get(name)
        allowed = f" ({'|'.join(map(str, get_args(hint)))})" if get_origin(hint) is Literal else ""
        parts.append(f"{mark}{name}{default}{allowed}")
    return ", ".join(parts) or "none"
