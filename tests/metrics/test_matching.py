"""Readings of a closed-set answer: what each makes of texts as models write them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.vqa.choices import (
    multimedeval_label,
    multimedeval_labels,
    multimedeval_medmnist,
    multimedeval_option,
    multimedeval_vote,
    option_bleus,
    option_letter,
    polarity,
    yes_no,
)
from radbench.metrics.vqa.matching import (
    EXAMPLES,
    MATCHERS,
    NEVER_INVALID,
    contained_options,
    example_rows,
    guarded_option,
    letter_or_guarded,
    most_similar_option,
    ratios,
    side_by_side,
)
from radbench.tasks.parsers import answer_set, bleu_labels, choice, closed_choice, labels

from radbench.dataset import Dataset, lazy
from radbench.errors import ConfigError
from radbench.records import Answer, Sample
from radbench.task import Task

MODALITIES = ("CT", "MRI", "Ultrasound", "PET", "X-ray", "angiography")
FINDINGS = ("pneumonia", "pleural effusion", "pneumothorax", "normal")


def chosen(index: int | None, options: tuple[str, ...]) -> str | None:
    return None if index is None else options[index]


# --- difflib ---


def test_the_ratio_depends_on_the_order_of_its_arguments() -> None:
    text = "This is a CT scan."
    assert ratios(text, MODALITIES) != ratios(text, MODALITIES, order="text-first")
    assert max(ratios("ct", MODALITIES, case="lower")) == 1.0


def test_difflib_reads_a_case_as_the_paper_or_as_written() -> None:
    text = "Yes, there is evidence of pneumonia."
    assert most_similar_option(text, ("yes", "no")) == 0
    assert most_similar_option(text, ("yes", "no"), "mixed") == 1


# --- guarded ---


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("This is a CT scan.", MODALITIES, "CT"),  # difflib: Ultrasound
        ("The modality is an x-ray of the chest", MODALITIES, "X-ray"),
        ("an x-ray", ("ray", "X-ray"), "X-ray"),
        ("an x-ray", ("ray", "gun"), "ray"),  # no whole word: difflib decides
        ("PET/CT", MODALITIES, "PET"),  # the first named
        ("It is not a CT but an MRI.", MODALITIES, "MRI"),
        ("No pneumonia; the study is normal", FINDINGS, "normal"),
        ("no pleural effusion or pneumonia or pneumothorax", FINDINGS, "normal"),  # struck out, one is left
        ("There is no pneumothorax.", ("yes", "no"), "no"),
        ("Yes, no doubt", ("yes", "no"), "yes"),
        ("a pleural \n effusion is seen", FINDINGS, "pleural effusion"),
        ("no tumor", ("glioma", "no tumor", "pituitary tumor"), "no tumor"),
        ("effusions", FINDINGS, "pleural effusion"),  # difflib
        ("isn't pneumonia", ("pneumonia", "normal"), "normal"),
        ("abnormal", ("normal", "mass"), "normal"),  # not contained as a word; difflib still prefers it
        ("", FINDINGS, None),
    ],
)
def test_guarded(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert chosen(guarded_option(text, options), options) == expected


def test_contained_options_are_in_the_order_of_the_text() -> None:
    assert contained_options("MRI then CT, no PET", MODALITIES) == ([1, 0], [3])
    assert contained_options("CTs and NOCT", MODALITIES) == ([], [])


def test_all_options_denied_leaves_all() -> None:
    assert guarded_option("neither yes nor no", ("yes", "no")) is not None


# --- letters ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", 1), ("b", 1), ("(b)", 1), ("B.", 1), ("**C**", 2), ("  [D] ", 3), ("A", 0), ("Option C", 2),
        ("The answer is B", 1), ("The answer is (b).", 1), ("Answer: C) effusion", 2), ("Answer: A", 0),
        ("The correct answer is option D", 3), ("final answer: **B**", 1), ("The answer is A because the heart is large", 0),
        ("answer would be c", 2), ("The correct option is: B", 1), ("option D", 3), ("I choose option A here", 0),
        ("B) pleural effusion", 1), ("B. pleural effusion", 1), ("C: pneumothorax", 2), ("(A) pneumonia", 0),
        ("B is correct", 1), ("I think it is (C).", 2), ("It is not option B but option C", 2),
        ("The answer is B. No, the answer is C.", 2), ("Pleural effusion.", 1),
        ("A small pleural effusion", None), ("a mass", None), ("The answer is a small effusion", None),
        ("Answer: A small effusion", None), ("E", None), ("The answer is Z", None), ("option A or option B", None),
        ("The best option is a CT", None), ("C-spine fracture", None), ("the answer is T2 weighted", None),
        ("I'm not sure", None), ("", None), ("pneumonia and effusion", None), ("vitamin D deficiency", None), ("?", None),
    ],
)  # fmt: skip
def test_letters(text: str, expected: int | None) -> None:
    assert option_letter(text, FINDINGS) == expected


def test_a_letter_beyond_the_options_does_not_count() -> None:
    assert option_letter("C", ("yes", "no")) is None
    assert option_letter("C", ("yes", "no", "maybe")) == 2


def test_options_that_are_letters_are_read_as_texts() -> None:
    assert option_letter("A", ("B", "A")) == 1  # breast density, say
    assert option_letter("same", ("same", "same")) is None


def test_letters_then_guarded() -> None:
    assert letter_or_guarded("The answer is C", FINDINGS) == 2
    assert letter_or_guarded("A small pleural effusion", FINDINGS) == 1


@pytest.mark.parametrize(
    "noise", ["answer is " + "(" * 50_000, " " * 50_000, "answer " * 8_000, "*" * 50_000 + "B" * 50]
)
def test_long_noise_is_read_quickly(noise: str) -> None:
    import time

    start = time.perf_counter()
    option_letter(noise, FINDINGS)
    guarded_option(noise[:5000], FINDINGS)
    yes_no(noise, ("yes", "no"))
    assert time.perf_counter() - start < 5


# --- yes or no ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", True), ("Yes.", True), ("YES!!", True), ("y", True), ("Yes, there is no doubt", True), ("True", True),
        ("no", False), ("No, the lungs are clear.", False), ("n.", False), ("None", False), ("False", False),
        ("No evidence of disease is seen", False), ("There is no pneumothorax", False), ("not present", False),
        ("The mass is absent.", False), ("It isn't seen", False), ("cannot be seen", False), ("clear, without effusion", False),
        ("negative for fracture", False), ("A fracture is present", True), ("The image shows cardiomegaly.", True),
        ("There is an effusion.", True), ("I think yes", True), ("The answer is no", False), ("The answer is: yes", True),
        ("yes or no", None), ("Yes and no", None), ("I am not sure", None), ("cannot be excluded", None),
        ("Pneumonia cannot be ruled out.", None), ("unclear", None), ("I do not know", None), ("maybe", None),
        ("normal", None), ("", None), ("xyz", None), ("Nodule", None), ("nothing", None), ("yesterday", None),
    ],
)  # fmt: skip
def test_polarity(text: str, expected: bool | None) -> None:
    assert polarity(text) is expected


def test_yes_no_finds_its_options_wherever_they_stand() -> None:
    assert yes_no("not seen", ("No", "Yes")) == 0
    assert yes_no("maybe", ("yes", "no", "maybe")) == 2
    assert yes_no("is seen", ("absent", "present")) == 1
    assert yes_no("absent", ("present", "absent")) == 1
    assert yes_no("yes", MODALITIES) is None


# --- MultiMedEval ---


def test_bleu_matching_equals_torchmetrics_on_random_answers() -> None:
    bleu = pytest.importorskip("torchmetrics.functional.text").bleu_score
    pytest.importorskip("torch").set_num_threads(1)
    from radbench.metrics.vqa.multimedeval import clean_str

    rng = random.Random(4)
    words = "a the pleural effusion effusions X-ray 3,5 cm no yes chest: CT. MRI (left) heart é".split()

    def sentence(most: int) -> str:
        return " ".join(rng.choice(words) for _ in range(rng.randint(0, most)))

    for _ in range(60):
        answer, options = sentence(12), [f"{letter}: {sentence(4)}." for letter in "abcd"]
        theirs = [bleu([clean_str(answer)], [[clean_str(option)]], n_gram=1) for option in options]
        assert option_bleus(answer, options) == pytest.approx([t.item() for t in theirs], abs=1e-6)
        expected = theirs.index(max(theirs)) if max(theirs) else None
        assert multimedeval_option(answer, options) == expected
        assert multimedeval_label(answer, options) == (expected or 0)


def test_an_option_105_times_as_long_as_the_answer_underflows_in_float32() -> None:
    assert multimedeval_option("x", ["x " * 104]) == 0
    assert multimedeval_option("x", ["x " * 105]) is None


def test_image_matching_knows_no_invalid_answer() -> None:
    assert multimedeval_option("no idea", FINDINGS) is None
    assert multimedeval_label("no idea", FINDINGS) == 0
    assert multimedeval_medmnist("3", FINDINGS) is not None
    assert multimedeval_label("", FINDINGS) == 0
    assert multimedeval_label("x", ()) is None


def test_multilabel_takes_what_exceeds_a_half() -> None:
    assert multimedeval_labels("pleural effusion", ("pleural effusion", "pleural thickening", "mass")) == (0,)
    assert multimedeval_labels("", FINDINGS) == ()


def test_votes_count_tokens() -> None:
    assert multimedeval_vote("no, no and yes") == 1
    assert multimedeval_vote("It is not") is None


# --- all of them ---


@given(st.text(max_size=60), st.lists(st.text(max_size=12), max_size=7))
def test_every_matcher_gives_an_option_or_none_and_never_raises(text: str, options: list[str]) -> None:
    for name, matcher in MATCHERS.items():
        index = matcher(text, options)
        assert index is None or 0 <= index < len(options), name
        if name in NEVER_INVALID and options:
            assert index is not None


@given(st.permutations(FINDINGS), st.sampled_from(["pleural effusion", "It is normal.", "no mass but pneumonia"]))
def test_guarded_does_not_depend_on_the_order_of_options(options: list[str], text: str) -> None:
    index = guarded_option(text, options)
    expected = guarded_option(text, FINDINGS)
    assert index is not None and expected is not None
    assert options[index] == FINDINGS[expected]


def test_side_by_side_shows_every_matcher() -> None:
    (row,) = side_by_side(["This is a CT scan."], MODALITIES)
    assert list(row) == ["text", *MATCHERS]
    assert (row["difflib"], row["guarded"], row["letters"]) == ("Ultrasound", "CT", None)


def test_each_example_tells_matchers_apart() -> None:
    rows = example_rows()
    assert [row["text"] for row in rows] == [text for text, _ in EXAMPLES]
    assert all(len({row[name] for name in MATCHERS}) > 1 for row in rows)


# --- parsers ---


def _task(choices: tuple[str, ...]) -> Task:
    dataset = Dataset("d", lazy("radbench.tasks.readers.table:Table"), access="open", licence="-", source="-")
    return Task("t", 1, "T", dataset, "test", ("?",), ("accuracy",), choices=choices)


SAMPLE = Sample("s", None, {})
SCORES = {"CT": 0.9, "MRI": 0.1}


def test_the_choice_parser_reads_as_it_is_told() -> None:
    task = _task(MODALITIES)
    assert choice(Answer("This is a CT scan."), SAMPLE, task).value == ("CT",)
    assert choice(Answer("This is a CT scan."), SAMPLE, task, match="difflib").value == ("Ultrasound",)
    assert choice(Answer("This is a CT scan."), SAMPLE, task, match="difflib") == closed_choice(
        Answer("This is a CT scan."), SAMPLE, task
    )
    failed = choice(Answer("no idea"), SAMPLE, task, match="letters")
    assert failed.value is None and failed.failure is not None and failed.failure.kind == "unparsable"


def test_an_empty_answer_fails_but_for_multimedevals_images() -> None:
    task = _task(MODALITIES)
    for text in (None, "", " \n"):
        failure = choice(Answer(text), SAMPLE, task).failure
        assert failure is not None and failure.kind == "empty"
    assert choice(Answer(""), SAMPLE, task, match="multimedeval-1.0.0-image").value == ("CT",)
    assert choice(Answer(None), SAMPLE, task, match="multimedeval-1.0.0-image").value is None


def test_an_unknown_match_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no match 'guardd': did you mean 'guarded'"):
        choice(Answer("CT"), SAMPLE, _task(MODALITIES), match="guardd")


def test_scores_of_the_options_pass_through() -> None:
    task = _task(MODALITIES)
    for parser in (closed_choice, choice, labels, bleu_labels, answer_set):
        prediction = parser(Answer("CT", scores=SCORES), SAMPLE, task)
        assert prediction.value == ("CT",)
        assert prediction.scores is SCORES, parser
        assert parser(Answer("CT"), SAMPLE, task).scores is None


def test_bleu_labels_may_be_none() -> None:
    task = _task(FINDINGS)
    assert bleu_labels(Answer("pleural effusion"), SAMPLE, task).value == ("pleural effusion",)
    assert bleu_labels(Answer("clear lungs"), SAMPLE, task).value == ()
    assert bleu_labels(Answer(None), SAMPLE, task).value is None


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("Left lung, right lung", (), ("left lung", "right lung")),
        ('["left lung", "right lung"]', (), ("left lung", "right lung")),
        ("- left lung\n- right lung.", (), ("left lung", "right lung")),
        ("1. atelectasis\n2. edema", ("edema", "atelectasis"), ("edema", "atelectasis")),
        ("atelectasis and edema", ("edema", "atelectasis"), ("edema", "atelectasis")),
        ("edema, atelectasis, and mass", (), ("edema", "atelectasis", "mass")),
        ("Yes, there is an effusion", ("yes", "no"), ("yes",)),
        (
            "lung, mediastinum, pleura; breast",
            ("breast", "lung, mediastinum, pleura"),
            ("breast", "lung, mediastinum, pleura"),
        ),
        ("skull and contents", ("skull and contents", "breast"), ("skull and contents",)),
        ("none", ("edema",), ()),
        ("[]", (), ()),
        ("Normal.", ("edema",), ()),
        ("Normal", ("normal", "edema"), ("normal",)),
        ("No finding", (), ()),
        ("wrist", ("edema",), None),
        (".", (), None),
        ("  ", (), None),
    ],
)
def test_answer_sets(text: str, choices: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    assert answer_set(Answer(text), SAMPLE, _task(choices)).value == expected


@given(st.text(max_size=50), st.lists(st.text(max_size=8), max_size=4), st.sampled_from([",", "|", "."]))
def test_any_answer_is_a_set_or_a_failure(text: str, choices: list[str], separator: str) -> None:
    prediction = answer_set(Answer(text), SAMPLE, _task(tuple(choices)), separator)
    assert (prediction.value is None) == (prediction.failure is not None)
    if prediction.value is not None and choices:
        assert set(prediction.value) <= set(choices)
