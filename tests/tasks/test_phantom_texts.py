"""Phantom texts and questions as pure functions: every statement agrees with the case it was made from."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.findings.observations import OBSERVATIONS
from radbench.metrics.findings.rules import label
from radbench.tasks.phantom import changes, grammar, sets
from radbench.tasks.phantom import questions as q
from radbench.tasks.phantom import texts as t
from radbench.tasks.phantom.lexicon import EXAMINATION, FEATURES, WORDS
from radbench.tasks.phantom.samples import KINDS
from radbench.tasks.phantom.spec import ABNORMALITIES, DEVICES, Case, Finding, Picture
from radbench.tasks.phantom.study import Study
from radbench.tasks.phantom.tasks import GROUPS, TASKS

from radbench.records import Boxes, Labels, Sample, Text
from radbench.registry import find_metric

# --- made-up cases ---


def finding(name: str = "lung nodule", **fields: object) -> Finding:
    return Finding(name, **{"organ": "lung", "side": "left", **fields})  # type: ignore[arg-type]


def case(*findings: Finding, number: int = 1, prior: str | None = None, shown: bool = True, **fields: object) -> Case:
    """A chest radiograph unless told otherwise; its one picture shows every finding, each with a box of its own."""
    boxes = {f.name: tuple((10.0 * i, 4.0, 10.0 * i + 8, 20.0) for i in range(f.count)) for f in findings}
    picture = Picture(
        f"{number}.png", "2d", "PA", (64, 128), (3.0, 3.0), {"heart": ((50.0, 30.0, 90.0, 60.0),), **boxes},
        visible=tuple(f.name for f in findings) if shown else (),
    )  # fmt: skip
    plain = Case(
        f"case-{number}", f"patient-{number}", "test", "X-ray", "chest", "", "frontal", 61, "female", "Cough for two weeks.",
        tuple(findings), (picture,), 0.3, prior, 30 if prior else 0,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


@st.composite
def made_cases(draw: st.DrawFn) -> Case:
    key = draw(st.sampled_from(sorted(ABNORMALITIES)))
    names = draw(st.lists(st.sampled_from(ABNORMALITIES[key] + DEVICES.get(key, ())), max_size=4, unique=True))
    findings = []
    for name in names:
        sized = draw(st.booleans())
        findings.append(
            Finding(
                name,
                draw(st.sampled_from(("lung", "liver", "brain"))),
                draw(st.sampled_from(("left", "right", "bilateral", "midline", ""))),
                draw(st.sampled_from(("upper", "middle", "lower", ""))),
                draw(st.floats(3, 90)) if sized else 0.0,
                "" if sized else draw(st.sampled_from(("mild", "moderate", "severe", ""))),
                draw(st.integers(1, 3)) if WORDS[name].number == "count" else 1,
                attributes=draw(st.sampled_from(({}, {"margin": "smooth"}, {"density": "hypodense"}))),
            )
        )
    made = case(*findings, number=draw(st.integers(1, 10**6)), modality=key[0], region=key[1])
    view = "axial" if key[0] in ("CT", "MRI") else "PA"
    return replace(made, pictures=(replace(made.pictures[0], view=view),))


# --- reading a text back ---

_NAMES = sorted(
    ((said, name) for name, word in WORDS.items() for i, n in enumerate(word.names) for said in {n, word.plural(i)}),
    key=lambda pair: -len(pair[0]),
)
_DENIES = re.compile(r"(No|There (is|are) no|Negative for)\b")
_SIDES = {"left": "left", "right": "right", "bilateral": "bilateral", "both sides": "bilateral"}
_COUNTS = {"two": 2, "three": 3}


def names_in(sentence: str) -> set[str]:
    found, rest = set(), sentence.lower()
    for said, name in _NAMES:
        if said.lower() in rest:
            found.add(name)
            rest = rest.replace(said.lower(), "|")
    return found


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.]) ", text)


def facts(text: str) -> tuple[dict[str, tuple[object, ...]], set[str]]:
    """Affirmed findings with (sides, zones, severities, sizes, number), and the names denied."""
    affirmed, denied = dict[str, tuple[object, ...]](), set[str]()
    for sentence in sentences(text):
        names = names_in(sentence)
        if _DENIES.match(sentence):
            denied |= names
            continue
        for name in names:
            low = re.sub(r"\(.*?\)", "", sentence.lower())
            affirmed[name] = (
                {side for word, side in _SIDES.items() if word in low},
                set(re.findall(r"(upper|middle|lower) (?:zone|third)", low)),
                set(re.findall(r"mild|moderate|severe", low)),
                set(re.findall(r"(\d+) mm", low)),
                next((n for word, n in _COUNTS.items() if word in low.split()), 1),
            )
    return affirmed, denied


def expected(f: Finding) -> tuple[object, ...]:
    side = grammar.said_side(f)
    size = {str(max(1, round(f.size_mm)))} if f.size_mm else set()
    number = f.count if WORDS[f.name].number == "count" else 1
    return {side} - {""}, {f.zone} - {""}, {f.severity} - {""}, size, number


def test_no_name_of_a_finding_hides_in_another() -> None:
    for said, name in _NAMES:
        assert names_in(said) == {name}
    assert set(WORDS) == {n for table in (ABNORMALITIES, DEVICES) for names in table.values() for n in names}
    for (modality, region), names in ABNORMALITIES.items():
        assert (modality, region) in EXAMINATION
        for name in names:
            looks = FEATURES[name].get(modality) or FEATURES[name][""]
            assert not names_in(looks), "features must not give the diagnosis away"


@given(made_cases(), st.sampled_from((0, 1)))
def test_the_findings_section_says_what_the_record_says_and_nothing_else(made: Case, wording: int) -> None:
    affirmed, denied = facts(t.findings(made, made.pictures, wording))
    assert affirmed == {f.name: expected(f) for f in made.findings}
    assert not denied & {f.name for f in made.findings}
    assert denied <= set(grammar.vocabulary(made))


@given(made_cases())
def test_two_wordings_state_the_same_facts_in_other_words(made: Case) -> None:
    first, second = (t.findings(made, made.pictures, wording) for wording in (0, 1))
    assert facts(first) == facts(second)
    assert not set(sentences(first)) & set(sentences(second))
    assert first == t.findings(made, made.pictures, 0)
    assert t.impression(made, made.pictures, 0) != t.impression(made, made.pictures, 1)
    assert t.caption(made, made.pictures[0], 0) != t.caption(made, made.pictures[0], 1)


@given(made_cases(), st.sampled_from((0, 1)))
def test_impression_and_caption_name_what_is_there(made: Case, wording: int) -> None:
    diseases = {f.name for f in made.findings if not grammar.is_device(made, f)}
    affirmed, denied = facts(t.impression(made, made.pictures, wording))
    assert (set(affirmed), denied) == (diseases, set())
    assert names_in(t.caption(made, made.pictures[0], wording)) == {f.name for f in made.findings}


def test_what_a_picture_does_not_show_is_neither_affirmed_nor_denied() -> None:
    hidden = case(finding("lung nodule"), shown=False)
    affirmed, denied = facts(t.findings(hidden, hidden.pictures))
    assert affirmed == {}
    assert "lung nodule" not in denied
    assert not any("lung nodule" in asked.text for asked in q.questions(hidden, hidden.pictures[0]))
    assert "lung nodule" not in sets.candidate(hidden, hidden.pictures[0]).absent


@pytest.mark.parametrize(
    ("view", "name", "fields"),
    [
        ("lateral", "lung nodule", {}),
        ("sagittal", "brain tumor", {"modality": "MRI", "region": "head"}),
        ("left kidney", "renal stone", {"modality": "Ultrasound", "region": "abdomen"}),
    ],
)
def test_a_picture_that_tells_no_side_is_not_asked_for_one(view: str, name: str, fields: dict[str, str]) -> None:
    made = case(finding(name, side="left"), **fields)
    made = replace(made, pictures=(replace(made.pictures[0], view=view),))
    said = [t.report(made, made.pictures), t.caption(made, made.pictures[0])]
    asked = [*q.questions(made, made.pictures[0]), *q.contextual(made, made.pictures[0])]
    said += [a.text + a.answer for a in asked]
    assert not any("left" in text or "right" in text for text in said)
    assert "side" not in {a.kind for a in sets.listings(made, made.pictures[0])}
    both = replace(made, pictures=(*made.pictures, replace(made.pictures[0], view="PA")))
    assert ("left" in t.report(both, both.pictures)) == (view != "left kidney")


_CHEXPERT = {
    "pleural effusion": "Pleural Effusion", "pneumothorax": "Pneumothorax", "cardiomegaly": "Cardiomegaly",
    "lung nodule": "Lung Lesion", "consolidation": "Consolidation", "pulmonary edema": "Edema",
    "atelectasis": "Atelectasis", "rib fracture": "Fracture", "central venous catheter": "Support Devices",
    "pacemaker": "Support Devices", "endotracheal tube": "Support Devices",
}  # fmt: skip


@pytest.mark.parametrize("wording", [0, 1])
def test_the_rule_labeler_reads_the_record_out_of_chest_reports(wording: int) -> None:
    from radbench.tasks.phantom.sampling import sample_cohort

    chest = [c for c in sample_cohort(seed=5, cases=240) if (c.modality, c.region) == ("X-ray", "chest")]
    assert len(chest) > 50
    for sampled in chest:
        made = case(*sampled.findings, number=int(sampled.id[-4:]))
        text = t.report(made, made.pictures, wording)
        found = {OBSERVATIONS[i] for i, code in enumerate(label(text)) if code in (1, 3)} - {"No Finding"}
        opacity = {"Lung Opacity"} if "air bronchograms" in text else set()
        assert found == {_CHEXPERT[f.name] for f in made.findings} | opacity, text


def test_a_rationale_gives_features_then_the_diagnosis() -> None:
    made = case(finding("pleural effusion"), finding("cardiomegaly", side="midline"))
    text = t.rationale(made, made.findings)
    assert text.startswith("The radiographic features can be summarized as follows. A homogeneous opacity")
    assert text.endswith("The diagnosis is pleural effusion and cardiomegaly.")
    assert t.rationale_of(made, made.findings, "pleural effusion").endswith("The answer is Yes.")
    assert t.rationale_of(made, made.findings, "pneumothorax").endswith("The answer is No.")
    assert "A homogeneous opacity" in t.rationale_of(made, made.findings, "pneumothorax")


def test_each_region_is_captioned_with_what_it_holds() -> None:
    made = case(
        finding("lung nodule", side="left", zone="upper"), finding("cardiomegaly", organ="heart", side="midline")
    )
    picture = made.pictures[0]
    assert facts(t.region_caption(made, picture, "lung nodule"))[0].keys() == {"lung nodule"}
    assert facts(t.region_caption(made, picture, "left lung"))[0].keys() == {"lung nodule"}
    assert facts(t.region_caption(made, picture, "heart"))[0].keys() == {"cardiomegaly"}
    assert "right lung" in t.region_caption(made, picture, "right lung")
    assert facts(t.region_caption(made, picture, "right lung"))[0] == {}


# --- changes ---


def two_studies() -> tuple[Case, Case]:
    before = case(
        finding("pneumothorax", side="right"), finding("lung nodule"), finding("atelectasis"), finding("consolidation")
    )
    now = case(
        finding("lung nodule", change="larger"), finding("atelectasis", change="smaller"),
        finding("pleural effusion", change="new"), finding("consolidation", change="unchanged"), number=2, prior="case-1",
    )  # fmt: skip
    return now, before


_CHANGE_WORDS = {
    "new": r"\b[Nn]ew\b|development", "larger": "larger|ncrease", "smaller": "smaller|ecrease",
    "unchanged": "unchanged|stable|No interval", "resolved": "resol|no longer",
}  # fmt: skip


@pytest.mark.parametrize("wording", [0, 1])
def test_the_difference_tells_every_change_and_what_has_gone(wording: int) -> None:
    now, before = two_studies()
    assert {(change, f.name) for change, f in changes.changes(now, before)} == {
        ("larger", "lung nodule"), ("smaller", "atelectasis"), ("new", "pleural effusion"), ("unchanged", "consolidation"),
        ("resolved", "pneumothorax"),
    }  # fmt: skip
    told = {}
    for sentence in sentences(changes.difference(now, before, wording)):
        (name,) = names_in(sentence)
        told[name] = {change for change, words in _CHANGE_WORDS.items() if re.search(words, sentence)}
    assert told == {f.name: {change} for change, f in changes.changes(now, before)}


def test_nothing_to_compare_is_no_change() -> None:
    assert changes.difference(case(), case(number=2)) in changes.SAME


def test_questions_on_changes_have_the_answers_of_the_record() -> None:
    now, before = two_studies()
    change_of = {f.name: change for change, f in changes.changes(now, before)}
    closed = Counter[str]()
    asked = list(changes.on_changes(now, before))
    for question in asked:
        if question.kind == "difference":
            continue
        (name,) = names_in(question.text)
        if question.kind == "comparison":
            assert question.answer == change_of[name]
        else:
            verb = next(c for c in ("new", "larger", "smaller", "unchanged", "resolved") if c in question.text)
            assert question.answer == ("yes" if verb == change_of[name] else "no")
            closed[question.answer] += 1
    assert [a.kind for a in asked].count("comparison") == sum(closed.values()) == 5


# --- questions ---


def named(made: Case, text: str) -> Finding:
    (name,) = names_in(text)
    return next(f for f in made.findings if f.name == name)


@given(made_cases())
def test_every_question_has_the_answer_of_the_record(made: Case) -> None:
    visible = {f.name for f in made.findings}
    for asked in q.questions(made, made.pictures[0]):
        if asked.kind == "presence":
            assert asked.answer == ("yes" if names_in(asked.text) <= visible else "no")
        elif asked.kind == "side":
            assert asked.answer == named(made, asked.text).side
        elif asked.kind == "zone":
            assert asked.answer == named(made, asked.text).zone
        elif asked.kind == "severity":
            assert asked.answer == named(made, asked.text).severity
        elif asked.kind == "count":
            assert asked.answer == str(named(made, asked.text).count)
        elif asked.kind == "size":
            low, high = {"under 10 mm": (0, 9), "10 to 19 mm": (10, 19), "20 to 39 mm": (20, 39)}.get(
                asked.answer, (40, 999)
            )
            assert low <= round(named(made, asked.text).size_mm) <= high
        elif asked.kind == "abnormality":
            assert names_in(asked.answer) == {f.name for f in made.findings if not grammar.is_device(made, f)}
        elif asked.kind == "device":
            assert names_in(asked.answer) == {f.name for f in made.findings if grammar.is_device(made, f)}
        elif asked.kind == "modality" and asked.closed:
            assert (made.modality in asked.text) == (asked.answer == "yes")
        else:
            wanted = {"modality": made.modality, "region": made.region, "view": "PA", "plane": "axial"}
            assert asked.answer == wanted[asked.kind]


@pytest.mark.parametrize(("boxes", "asked"), [
    (((0, 0, 10, 10), (12, 0, 20, 10)), True), (((0, 0, 10, 10), (11, 11, 20, 20)), False),
    (((0, 0, 10, 10), (8, 8, 20, 20)), False), (((0, 0, 10, 10),), False),
])  # fmt: skip
def test_how_many_is_asked_only_where_the_picture_shows_them_apart(
    boxes: tuple[tuple[float, float, float, float], ...], asked: bool
) -> None:
    made = case(finding("lung nodule", count=2, size_mm=14.0))
    picture = replace(made.pictures[0], boxes={"lung nodule": boxes})
    counts = [a.answer for a in q.questions(replace(made, pictures=(picture,)), picture) if a.kind == "count"]
    assert counts == ["2"] * asked


@given(made_cases())
def test_options_hold_the_answer_once_and_nothing_else_that_is_true(made: Case) -> None:
    orders = set()
    for asked in q.questions(made, made.pictures[0]):
        options = q.choices_of(made, asked)
        if not options:
            continue
        assert options.count(asked.answer) == 1
        assert 3 <= len(set(options)) == len(options) <= 4 or asked.kind == "abnormality"
        assert options == q.choices_of(made, asked)
        if asked.kind == "abnormality":
            assert not {f.name for f in made.findings} & (set(options) - {asked.answer})
        orders.add(options.index(asked.answer))
    assert orders <= {0, 1, 2, 3}


def test_the_right_option_stands_at_every_letter_about_as_often() -> None:
    places = Counter[int]()
    for number in range(400):
        made = case(finding(), number=number)
        modality = next(a for a in q.questions(made, made.pictures[0]) if a.kind == "modality" and not a.closed)
        places[q.choices_of(made, modality).index("X-ray")] += 1
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 65  # 100 expected, standard deviation 8.7


def test_kinds_of_question_alternate() -> None:
    made = case(finding("lung nodule", zone="upper", size_mm=14.0), finding("pleural effusion", severity="mild"))
    kinds = [a.kind for a in q.selected(made, made.pictures[0])]
    assert len(kinds) == q.PER_PICTURE == len(set(kinds))


def test_the_history_stands_before_a_contextual_question() -> None:
    made = case(finding("lung nodule", size_mm=14.0))
    assert q.background(made) == "A 61-year-old woman. Cough for two weeks."
    first, second = q.contextual(made, made.pictures[0])
    assert facts(first.answer)[0]["lung nodule"][3] == {"14"}
    assert second.answer == "lung nodule"


def test_lists_name_what_is_seen_and_on_which_side() -> None:
    made = case(
        finding("lung nodule", side="left"), finding("pneumothorax", side="right"), finding("pacemaker", side="left")
    )
    asked = {a.kind: a for a in sets.listings(made, made.pictures[0])}
    assert asked["abnormality"].names == ("lung nodule", "pneumothorax")
    assert asked["device"].names == ("pacemaker",)
    side = {"left": ("lung nodule", "pacemaker"), "right": ("pneumothorax",)}
    assert asked["side"].names == next(names for word, names in side.items() if word in asked["side"].text)


@given(st.lists(made_cases(), min_size=1, max_size=30))
def test_yes_and_no_are_as_many_for_every_disease_of_a_group(cases: list[Case]) -> None:
    cases = [replace(c, id=f"case-{i}") for i, c in enumerate(cases)]
    by_id = {c.id: c for c in cases}
    asked = sets.balanced([sets.candidate(c, c.pictures[0]) for c in cases])
    tally = Counter[tuple[object, ...]]()
    for name, pairs in asked.items():
        made = by_id[name]
        assert len(pairs) == len(set(pairs))
        for disease, answer in pairs:
            assert disease in ABNORMALITIES[made.modality, made.region]
            assert answer == (disease in {f.name for f in made.findings})
            tally[made.modality, made.region, disease, answer] += 1
    assert all(tally[(*key[:3], True)] == tally[(*key[:3], False)] for key in tally)


def test_no_question_is_lost_where_both_answers_exist() -> None:
    cases = [case(finding("lung nodule"), number=1), case(finding("pneumothorax"), number=2)]
    asked = sets.balanced([sets.candidate(c, c.pictures[0]) for c in cases])
    assert {pair for pairs in asked.values() for pair in pairs} == {
        ("lung nodule", True), ("lung nodule", False), ("pneumothorax", True), ("pneumothorax", False),
    }  # fmt: skip


# --- samples of a hand-made case ---


def samples(kind: str, made: Case, prior: Case | None = None, asked: tuple[tuple[str, bool], ...] = ()) -> list[Sample]:
    from pathlib import Path

    return list(KINDS[kind].make(Study(Path("cohort"), made, prior, asked, kind)))


def test_a_sample_tells_where_it_comes_from() -> None:
    made = case(finding("lung nodule", zone="upper"))
    (sample,) = samples("report", made)
    assert (sample.id, sample.cluster, sample.access) == ("case-1-report-0", "patient-1", "open")
    assert sample.images[0].path == "cohort/1.png"
    assert sample.images[0].view == "PA"
    assert dict(sample.strata) == {
        "modality": "X-ray", "region": "chest", "images": "1", "view": "PA", "finding": "lung nodule",
    }  # fmt: skip
    assert sample.targets["answer"] == Text((t.report(made, made.pictures),))


def test_priors_come_first_with_their_days() -> None:
    now, before = two_studies()
    (sample,) = samples("comparison", now, before)
    assert [(i.role, i.days_before, i.study) for i in sample.images] == [
        ("prior", 30, "case-1"), ("current", None, "case-2"),
    ]  # fmt: skip
    visits = {s: samples(f"multi-visit-{s}", now, before)[0] for s in ("none", "reports", "images", "both")}
    assert len({v.targets["answer"].first for v in visits.values()}) == 1  # type: ignore[union-attr]
    assert {s: (len(v.images), "previous" in v.slots) for s, v in visits.items()} == {
        "none": (1, False), "reports": (1, True), "images": (2, False), "both": (2, True),
    }  # fmt: skip


def test_boxes_are_told_as_fractions_and_given_in_pixels() -> None:
    made = case(finding("lung nodule", size_mm=14.0))
    captions = {s.slots["label"]: s for s in samples("region-caption", made)}
    assert captions["lung nodule"].slots["target"] == "[0.00, 0.06, 0.06, 0.31]"
    assert captions["heart"].slots["target"] == "[0.39, 0.47, 0.70, 0.94]"
    (sample,) = samples("detection-pathology", made)
    assert len(sample.choices) == 9
    boxes = sample.targets["boxes"]
    assert isinstance(boxes, Boxes)
    assert all(b.label in sample.choices for b in boxes.boxes)
    assert boxes.frame == (128, 64)
    assert [(b.x0, b.y1) for b in boxes.boxes] == [(0.0, 20.0)] * ("lung nodule" in sample.choices)


def test_an_anatomy_that_a_finding_touches_is_not_called_normal() -> None:
    touched = case(finding("lung nodule", count=1))
    boxes = {"lung nodule": ((55.0, 35.0, 60.0, 40.0),), "heart": ((50.0, 30.0, 90.0, 60.0),)}
    touched = replace(touched, pictures=(replace(touched.pictures[0], boxes=boxes),))
    assert [s.slots["label"] for s in samples("region-caption", touched)] == ["lung nodule"]


def test_labels_of_a_normal_study() -> None:
    normal = case(modality="MRI", region="head", sequence="T2")
    (sample,) = samples("multiclass", normal)
    assert sample.targets["answer"] == Labels(("normal",))
    assert sample.choices == ("normal", *ABNORMALITIES["MRI", "head"])
    assert samples("multiclass", case(finding("lung nodule"), finding("pneumothorax"))) == []
    assert samples("multiclass", case(finding("pacemaker"))) == []
    assert samples("multiclass", case(finding("lung nodule"), shown=False)) == []
    assert samples("multilabel", case())[0].targets["answer"] == Labels(())
    assert samples("rationale", case()) == []


# --- tasks ---


def test_every_task_has_a_kind_and_metrics_that_need_no_weights() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS)
    for task in TASKS:
        assert task.dataset.reader.options["kind"] in KINDS
        assert task.support == "train"
        for metric in task.metrics:
            assert find_metric(metric).unavailable() is None
    assert {task.dataset.reader.options["kind"] for task in TASKS} == set(KINDS)
    names = {task.name: task for task in TASKS}
    for group in GROUPS:
        for member in group.members:
            assert set(group.metrics) <= set(names[member].metrics)
