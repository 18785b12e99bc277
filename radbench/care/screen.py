"""A check-up of a dataset as people read it on one screen, and as JSON. Neither has an id or value of restricted data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from radbench.care.checkup import FormFacts, ManifestFacts, Report
from radbench.care.hub import fetchable
from radbench.care.inventory import Split
from radbench.care.privacy import TEXT, UNREADABLE, Concern
from radbench.dataset import Dataset
from radbench.report import aligned, clean

NO_FOLDER = "without a folder of its own: shipped in a package, or where its task file says"
_LABEL = 10  # columns of the words before the facts
_ANSWERS = 4  # answers whose counts are shown in the table


def text(report: Report) -> str:
    """A screen about one dataset. Of restricted data no id, file name or value is in it."""
    dataset = report.dataset
    lines = [f"{dataset.name}: {dataset.access}, {dataset.licence}"]
    lines += _fact("from", ", ".join(filter(None, (dataset.source, dataset.homepage))))
    lines += _fact("hub", ", ".join(dataset.hub))
    lines += _fact("note", dataset.note)
    for name, where in report.companions.items():
        lines += _fact("needs", f"{name}: {where}")
    if report.absent:
        lines += _fact("found", f"no: {report.absent}")
        lines += _fact("expected", dataset.tree)
        lines += _fact("next", _next(report))
        lines += [f"  error    {clean(e)}" for e in report.errors]
        return "\n".join(lines)
    lines += _fact("found", str(report.root or NO_FOLDER))
    if report.forms:
        lines += _form_lines(report.forms)
    lines += _manifest_lines(report)
    lines += _privacy_lines(report)
    lines += [""] if report.errors or report.warnings else []
    lines += [f"  error    {clean(e)}" for e in report.errors]
    lines += [f"  warning  {clean(w)}" for w in report.warnings]
    return "\n".join(lines)


def _fact(label: str, value: str) -> list[str]:
    """Lines with their label before the first; none of an empty value."""
    return [f"  {label if not i else '':{_LABEL}}{clean(line)}" for i, line in enumerate(value.splitlines())]


def _next(report: Report) -> str:
    if fetchable(report.dataset):
        return f"radbench data fetch {report.dataset.name}\nor {report.remedy}"
    return report.remedy


def _form_lines(forms: Sequence[FormFacts]) -> list[str]:
    """The splits and the leakage of every way of reading, rows that are equal written once."""
    header = ["split", "samples", "expected", "clusters", "files", "missing", "answers"]
    rows = _merged((_split_row(s), form) for form in forms for s in form.splits)
    lines = ["", *_indented(aligned([*header, "read by"], rows, right={1, 2, 3, 4, 5}))]
    if any(form.pools for form in forms):
        lines += ["", "  leakage: samples of the test split that the pool gives away"]
        lines += _indented(_leak_table(forms))
        lines += dict.fromkeys(line for form in forms for line in _partly(form))
    return lines


def _leak_table(forms: Sequence[FormFacts]) -> str:
    kinds = list(dict.fromkeys(leak.kind for f in forms for pool in f.pools for leak in pool.leakage.leaks))
    rows: list[tuple[list[str], FormFacts]] = []
    for form in forms:
        for pool in form.pools:
            found = {k.kind: f"{k.affected:,} of {k.compared:,}" for k in pool.leakage.leaks if k.compared}
            rows.append(([pool.pool, pool.test, *(found.get(kind, "-") for kind in kinds)], form))
    return aligned(["pool", "test", *kinds, "read by"], _merged(rows), right=set(range(2, 2 + len(kinds))))


def _merged(rows: Iterable[tuple[list[str], FormFacts]]) -> list[list[str]]:
    """Rows with the tasks they are about, equal ones once."""
    tasks: dict[tuple[str, ...], list[str]] = {}
    for cells, form in rows:
        tasks.setdefault(tuple(cells), []).extend(form.tasks)
    return [[*cells, names[0] + (f" + {len(names) - 1}" if names[1:] else "")] for cells, names in tasks.items()]


def _indented(table: str) -> list[str]:
    return [f"  {line}" for line in table.splitlines()]


def _split_row(split: Split) -> list[str]:
    expected = "-" if split.expected is None else f"{split.expected:,}"
    if split.fault:
        return [split.name, "-", expected, "-", "-", "-", "cannot be read" if split.needed else "not there"]
    few = list(split.answers.items())[:_ANSWERS]
    answers = ", ".join(f"{name} {count:,}" for name, count in few) + (", ..." if len(split.answers) > len(few) else "")
    clusters = "-" if split.clusters is None else f"{split.clusters:,}"
    return [
        split.name,
        f"{split.samples:,}",
        expected,
        clusters,
        f"{split.files:,}",
        f"{split.missing:,}",
        answers or "-",
    ]


def _partly(form: FormFacts) -> list[str]:
    """Where not every picture was compared."""
    lines = []
    for pool in form.pools:
        found = pool.leakage
        (here, of), (there, all_there) = found.test_pictures, found.pool_pictures
        if here < of or there < all_there:
            lines.append(
                f"  pictures compared: {here:,} of {of:,} in {pool.test}, {there:,} of {all_there:,} in {pool.pool};"
                " --leak-pictures 0 compares all"
            )
        if found.unreadable:
            lines.append(f"  {found.unreadable:,} pictures of {pool.test} and {pool.pool} cannot be read")
    return lines


def _manifest_lines(report: Report) -> list[str]:
    facts = report.manifest
    if facts is None:
        return []
    return ["", *_fact("manifest", _manifest_state(facts, report.dataset))]


def _manifest_state(facts: ManifestFacts, dataset: Dataset) -> str:
    if facts.written:
        return (
            f"{facts.written:,} files written to {facts.path} (a local record: names of restricted files can identify)"
        )
    if not facts.created:
        return f"none; radbench data check {dataset.name} --write-manifest hashes every file"
    if facts.of:
        return (
            f"is of {facts.of}, so that nothing is compared; --write-manifest writes one of this folder in its place,\n"
            f"--manifest {facts.path} compares all the same"
        )
    difference = facts.difference
    if difference is None:
        return f"{facts.path}: no files"
    state = "as written" if difference.same else "DIFFERS"
    verify = "" if difference.how == "sha256" else "; --verify hashes every file"
    return f"{state} on {facts.created}: {difference.files:,} files by {difference.how}{verify}"


def _privacy_lines(report: Report) -> list[str]:
    if not report.looked_at:
        return ["", *_fact("privacy", "no picture to look at")]
    concerns = summary(report.concerns)
    head = f"{report.looked_at:,} pictures of the evaluated splits looked at (headers, text in the pixels)"
    if not concerns:
        return ["", *_fact("privacy", f"{head}: nothing found, which is no guarantee")]
    rows = [[c["kind"], c["name"], f"{c['pictures']:,}", _range(c["least"], c["most"])] for c in concerns]
    table = aligned(["concern", "what", "pictures", "length"], rows, right={2, 3})
    return ["", *_fact("privacy", head), *_indented(table)]


def _range(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def summary(concerns: Iterable[Concern]) -> list[dict[str, Any]]:
    """Concerns by kind and name: in how many pictures, and the lengths found. Values are in none of them."""
    found: dict[tuple[str, str], tuple[set[Any], list[int]]] = {}
    for concern in concerns:
        if concern.kind == UNREADABLE:
            continue
        name = "characters side by side" if concern.kind == TEXT else concern.name
        images, lengths = found.setdefault((concern.kind, name), (set(), []))
        images.add(concern.image)
        lengths.append(concern.length)
    rows = [
        {"kind": kind, "name": name, "pictures": len(images), "least": min(lengths), "most": max(lengths)}
        for (kind, name), (images, lengths) in found.items()
    ]
    return sorted(rows, key=lambda r: (r["kind"], -r["pictures"], r["name"]))


# --- as JSON ---


def as_dict(report: Report) -> dict[str, Any]:
    """The report for programs: the same facts, nothing more of restricted data."""
    dataset = report.dataset
    return {
        "dataset": dataset.name,
        "access": dataset.access,
        "licence": dataset.licence,
        "source": dataset.source,
        "homepage": dataset.homepage,
        "found": None if report.absent else str(report.root or NO_FOLDER),
        "needs": report.companions,
        "expected tree": dataset.tree.splitlines(),
        "forms": [_form_dict(f) for f in report.forms],
        "manifest": _manifest_dict(report.manifest),
        "pictures looked at": report.looked_at,
        "concerns": summary(report.concerns),
        "errors": list(report.errors),
        "warnings": list(report.warnings),
        "remedy": report.remedy,
    }


def _form_dict(form: FormFacts) -> dict[str, Any]:
    pools = [{"from": p.pool, "to": p.test, **asdict(p.leakage)} for p in form.pools]
    return {"tasks": list(form.tasks), "splits": [asdict(s) for s in form.splits], "pools": pools}


def _manifest_dict(facts: ManifestFacts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    counts = {}
    if (d := facts.difference) is not None:
        kinds = {"changed": d.changed, "missing": d.missing, "new": d.new, "touched": d.touched}
        counts = {"compared": d.how, **{kind: len(names) for kind, names in kinds.items()}}
    known = {"path": str(facts.path), "created": facts.created, "written": facts.written}
    return {**known, "of another folder": facts.of or None, **counts}
