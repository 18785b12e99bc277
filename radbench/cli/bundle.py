"""The commands around publishable bundles: export and verify."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from radbench.bundle.export import export_run
from radbench.bundle.key import default_key_file, load_or_make_key
from radbench.bundle.verify import verify as verify_bundle
from radbench.errors import ConfigError, Exit
from radbench.report import clean
from radbench.scoring import rounded

_MOST_LINES = 100


def export(run: str, out: str, key: str | None, as_json: bool) -> int:
    """Write the bundle of a run; the digest to cite goes to standard output, what was left out to standard error."""
    file = Path(key).expanduser() if key else default_key_file()
    if file.resolve().is_relative_to(Path(out).resolve()):
        raise ConfigError(f"--key {file} lies inside the bundle", remedy="keep the key where nobody publishes it")
    secret, made = load_or_make_key(file)
    exported = export_run(Path(run), Path(out), secret)
    if made:
        print(f"radbench: made the key {file}; keep it: it gives the samples the same ids in the next bundle",
              file=sys.stderr)  # fmt: skip
    if as_json:
        print(json.dumps({
            "bundle": str(exported.path), "digest": exported.digest, "tasks": list(exported.tasks),
            "restricted": list(exported.restricted), "left_out": dict(exported.left_out), "partial": exported.partial,
        }))  # fmt: skip
        return int(Exit.OK)
    for name, reason in exported.left_out.items():
        print(f"radbench: left out: {clean(name)}: {clean(reason)}", file=sys.stderr)
    restricted = f", {len(exported.restricted)} of restricted data" if exported.restricted else ""
    partial = ", PARTIAL: not to be ranked" if exported.partial else ""
    print(f"{exported.path}: {len(exported.tasks)} tasks{restricted}{partial}")
    print(f"digest: {exported.digest}")
    return int(Exit.OK)


def verify(path: str, digest: str | None, as_json: bool) -> int:
    """Compute a bundle's results anew: 0 where all agree, 1 with a line for each fault."""
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigError(f"{path} is no folder", remedy="radbench export RUN -o BUNDLE makes a bundle")
    found = verify_bundle(folder, digest)
    if as_json:
        faults = [
            {"file": f.file, "task": f.task, "metric": f.metric, "message": f.message, "stored": f.stored,
             "computed": f.computed}
            for f in found.faults
        ]  # fmt: skip
        document = {"ok": not found.faults, "digest": found.digest, "tasks": found.tasks, "values": found.values,
                    "from_totals": found.from_totals, "stated": found.stated, "partial": found.partial,
                    "faults": faults}  # fmt: skip
        print(json.dumps(rounded(document)))
        return int(Exit.FAILED if found.faults else Exit.OK)
    for fault in found.faults[:_MOST_LINES]:
        print(clean(fault.line()))
    if len(found.faults) > _MOST_LINES:
        print(f"... and {len(found.faults) - _MOST_LINES} more; all of them with --json")
    totals = f", {found.from_totals} of them from totals of restricted data" if found.from_totals else ""
    stated = (
        f" {found.stated} metrics of restricted data are stated and cannot be computed anew." if found.stated else ""
    )
    partial = " The run is PARTIAL: not to be ranked." if found.partial else ""
    print(f"{'FAILED' if found.faults else 'verified'}: {len(found.faults)} faults; {found.tasks} tasks,"
          f" {found.values} numbers computed anew{totals}.{stated}{partial}")  # fmt: skip
    print(f"digest: {found.digest or '-'}")
    return int(Exit.FAILED if found.faults else Exit.OK)
