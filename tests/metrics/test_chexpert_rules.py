"""The rule labeler, sentence by sentence: the table is its specification."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.findings.chexpert_rules import METRICS, ChexpertRulesF1
from radbench.metrics.findings.observations import FIVE, NEGATIVE, OBSERVATIONS, POSITIVE
from radbench.metrics.findings.rules import affirmed_sides, label, label_all, mentions
from radbench.metrics.findings.rules.sentences import lowered, sentences
from radbench.metrics.findings.rules.vocabulary import OTHER_TERMS, TERMS, Terms, word_starts

from radbench.records import Failure, Prediction, Text

SHORT = dict(zip("EC CM LO LL ED CO PN AT PX PE PO FX SD NF".split(), OBSERVATIONS, strict=True))
SIGNS = {1: "+", 2: "-", 3: "?"}

# sentence | labels besides No Finding: + positive, - negative, ? uncertain; observations not named are blank
TABLE = """
# plain statements
Small left pleural effusion. | PE+
There is a moderate right pneumothorax. | PX+
Mild cardiomegaly. | CM+
Bibasilar atelectasis. | AT+
Consolidation in the right lower lobe. | CO+
Mild pulmonary edema. | ED+
Right upper lobe pneumonia. | PN+
Patchy airspace disease at the left base. | LO+
There is a 2 cm nodule in the left upper lobe. | LL+
Biapical pleural thickening. | PO+
Old healed rib fractures on the right. | FX+
The endotracheal tube tip is 4 cm above the carina. | SD+
Widened mediastinum. | EC+
Left lower lobe collapse. | AT+
The left lower lobe has collapsed. | AT+
The left lower lobe has not collapsed. |
Right PNA. | PN+
No PNA. | PN-
ETT in good position. | SD+
NGT tip below the diaphragm. | SD+
RIJ line in place. | SD+
LIJ tip in the SVC. | SD+
Hydropneumothorax on the right. | PX+ PE+
Moderate hemothorax. | PE+
Diffuse ground-glass opacities. | LO+
Increased interstitial markings. | LO+
Pulmonary vascular congestion. | ED+
Findings of volume overload. | ED+
Nodular opacity in the right mid lung. | LL+ LO+
Left-sided PICC terminates in the SVC. | SD+
Dual lead pacemaker in place. | SD+
Calcified pleural plaques are present. | PO+
Masses in both lungs, consistent with metastases. | LL+
# words that look like an observation and are none
The trachea is midline. |
Small pericardial effusion. |
No mass effect. |
Subcutaneous edema of the chest wall. |
Status post right pneumonectomy. |
Vertebral body collapse at T8. |
A thyroid nodule displaces the trachea. |
The heart rate was elevated. |
Renal failure. |
Treatment failure. |
Failure to visualize the left costophrenic angle. |
Thyroid mass. |
Calcified granuloma in the right apex. |
Degenerative changes of the spine. |
# negation before
No pleural effusion. | PE-
No pneumothorax is seen. | PX-
There is no focal consolidation. | CO-
Without evidence of pneumonia. | PN-
Lungs are free of infiltrates. | LO-
The lungs are clear of consolidation. | LO- CO-
Negative for pneumothorax. | PX-
Absence of pleural fluid. | PE-
No evidence of acute fracture. | FX-
Neither pneumothorax nor effusion is identified. | PX- PE-
There is not a pleural effusion. | PE-
No radiographic evidence of congestive heart failure. | ED-
No large pleural effusion. | PE-
No definite pneumothorax. | PX-
Lack of focal consolidation. | CO-
No lines or tubes. | SD-
No suspicious pulmonary nodule. | LL-
# lists
No pleural effusion, pneumothorax or consolidation. | PE- PX- CO-
No focal consolidation, effusion, or pneumothorax. | CO- PE- PX-
No pneumonia, edema, effusion, pneumothorax, nodules or masses. | PN- ED- PE- PX- LL-
No consolidation, small effusion or pneumothorax. | CO- PE- PX-
Heart size is normal without edema or effusion. | CM- ED- PE-
No pneumothorax and no effusion. | PX- PE-
No pneumothorax/pleural effusion. | PX- PE-
# where a list of negations ends
No pneumothorax, small left pleural effusion. | PX- PE+
No pleural effusion but there is a small pneumothorax. | PE- PX+
No consolidation; mild edema. | CO- ED+
No pneumothorax. Stable cardiomegaly. | PX- CM+
No effusion, stable cardiomegaly. | PE- CM+
No pneumothorax, however there is a right effusion. | PX- PE+
No acute abnormality except for bibasilar atelectasis. | AT+
No acute process other than mild edema. | ED+
No pneumothorax and the heart is enlarged. | PX- CM+
No focal consolidation, possible small effusion. | CO- PE?
No pneumothorax with persistent left effusion. | PX- PE+
Otherwise no effusion, mild atelectasis at the left base. | PE- AT+
Although there is no effusion, atelectasis is present. | PE- AT+
# negation after
Pneumothorax is absent. | PX-
Pleural effusion is not seen. | PE-
Consolidation or effusion is not identified. | CO- PE-
The left pneumothorax has resolved. | PX-
The previously seen effusion has completely resolved. | PE-
Previous right basilar consolidation is no longer visualized. | CO-
Pneumothorax: none. | PX-
Pleural effusion: absent. | PE-
The endotracheal tube has been removed. | SD-
The edema has cleared. | ED-
Pneumonia is unlikely. | PN-
Pneumonia is felt unlikely. | PN-
Pneumonia is considered to be unlikely. | PN-
Pneumonia has been ruled out. | PN-
There is consolidation in neither lung. | CO-
Free of pneumothorax, the patient has a stable left effusion. | PX- PE+
The pulmonary edema has improved but not resolved. | ED+
# resolution
Interval resolution of the left pleural effusion. | PE-
Resolved pulmonary edema. | ED-
Near complete resolution of the right pneumonia. | PN+
Partial clearing of the airspace disease. | LO+
Resolving pneumonia in the left lower lobe. | PN+
Improving pulmonary edema. | ED+
Interval removal of the chest tube. | SD-
Follow up to resolution of the pneumonia is recommended. | PN-
# change is not negation
No change in the left pleural effusion. | PE+
No significant change in cardiomegaly. | CM+
Not significantly changed cardiomegaly. | CM+
The effusion is not significantly changed. | PE+
No change in the appearance of the support devices. | SD+
No interval change in bibasilar atelectasis. | AT+
Without significant change in the right pneumothorax. | PX+
The pneumothorax has not increased. | PX+
Unchanged small effusion. | PE+
No increase in the left effusion. | PE+
No new consolidation. | CO-
No new opacity. Stable left base opacity. | LO+
Nodule not seen on the prior exam. | LL+
The opacity was not present on the previous study. | LO+
# hedges before
Possible small left effusion. | PE?
Probable right lower lobe pneumonia. | PN?
Opacity may represent atelectasis. | LO+ AT?
Opacity which could reflect pneumonia or atelectasis. | LO+ PN? AT?
Findings suggestive of pulmonary edema. | ED?
Concerning for pneumonia. | PN?
Cannot exclude a small pneumothorax. | PX?
Can't rule out pneumonia. | PN?
Questionable nodule in the right apex. | LL?
Suspected rib fracture. | FX?
Airspace disease, likely pneumonia. | LO+ PN?
Question of left effusion. | PE?
Borderline cardiomegaly. | CM?
? pneumonia in the left base. | PN?
Minimal if any pleural effusion. | PE?
Pleural effusion? | PE?
Possible effusion and cardiomegaly. | PE? CM+
Favor atelectasis. | AT?
Doubt pneumonia. | PN?
Doubtful pneumonia. | PN?
No doubt pneumonia. | PN+
There may also be a small effusion. | PE?
# hedges after
Pneumonia cannot be excluded. | PN?
A small effusion is possible. | PE?
Pneumothorax is not excluded. | PX?
Superimposed infection is difficult to exclude. | PN?
Left pneumothorax is suspected. | PX?
Pneumonia is doubtful. | PN?
Pneumonia is felt less likely than atelectasis. | PN? AT?
Pneumonia felt less likely. | PN?
Right base opacity, less likely pneumonia. | LO+ PN?
Underlying consolidation is not entirely excluded. | CO?
Pneumonia is less likely than atelectasis. | PN? AT?
Atelectasis is favored over pneumonia. | AT? PN?
The right effusion is not clearly seen on this study. | PE?
# alternatives
Atelectasis versus pneumonia. | AT? PN?
Bibasilar atelectasis vs. consolidation. | AT? CO?
Left basilar atelectasis or scarring. | AT?
Pleural thickening versus effusion. | PO? PE?
# a negation beats the hedge inside it
No opacity to suggest pneumonia. | LO- PN-
No findings suspicious for pneumonia. | PN-
No evidence to suggest pneumothorax. | PX-
# not a statement about the image
Evaluate for pneumothorax. |
History of pneumonia. |
If there is concern for fracture, rib series may help. |
CT to exclude a mass. |
Indication: pneumonia. |
Fractures may not be demonstrated. |
# heart
The heart is normal in size. | CM-
Heart size within normal limits. | CM-
Normal heart size. | CM-
The heart is not enlarged. | CM-
Heart size is upper limits of normal. | CM-
The heart is enlarged. | CM+
Enlarged cardiac silhouette. | CM+
The cardiac silhouette is mildly enlarged. | CM+
Borderline heart size. | CM?
The heart is borderline enlarged. | CM?
No cardiac enlargement. | CM-
Moderate enlargement of the cardiac silhouette. | CM+
Stable heart size. |
The heart size is stable and normal. | CM-
Heart size is stable, prominent pulmonary arteries. |
# mediastinum
The cardiomediastinal silhouette is normal. | EC-
Heart size and mediastinal contours are within normal limits. | CM- EC-
The heart and mediastinum are unremarkable. | CM- EC-
No mediastinal widening. | EC-
Normal heart size and stable mediastinal contours. | CM-
Cardiac and mediastinal contours are normal. | CM- EC-
Enlarged heart, mediastinal contours are normal. | CM+ EC-
The mediastinum is stable. |
# lungs, pleura, bones
The lungs are clear. | LO-
Clear lungs. | LO-
Both lungs are clear and expanded. | LO-
The lungs are otherwise clear. | LO-
The lungs are not clear. |
The right lung is clear. |
Costophrenic angles are sharp. | PE-
The pleural spaces are clear. | PE-
Bony structures are intact. | FX-
Sternotomy wires are intact. | SD+
Interstitial markings are within normal limits. | LO-
# several at once
The lungs are clear. Left base opacity is unchanged. | LO+
No effusion on the right. Small effusion on the left. | PE+
Possible pneumonia. No pneumonia. | PN?
Cardiomegaly without edema. | CM+ ED-
Left lower lobe consolidation with a small parapneumonic effusion. | CO+ PE+
Right PICC without pneumothorax. | SD+ PX-
No effusion or pneumothorax with the ET tube in place. | PE- PX- SD+
Cardiomegaly without edema or effusion and with pacemaker. | CM+ ED- PE- SD+
No pneumothorax with no residual chest tube. | PX- SD-
The chest tube has been removed, with no residual pneumothorax. | SD- PX-
"""


def _cases() -> list[tuple[str, str]]:
    lines = (line for line in TABLE.strip().splitlines() if not line.startswith("#"))
    return [(text.strip(), want.strip()) for text, want in (line.split("|") for line in lines)]


def _named(codes: tuple[int, ...], finding: bool = False) -> set[str]:
    names = {name: code for name, code in zip(SHORT, codes, strict=True) if code}
    if not finding:
        names.pop("NF", None)
    return {name + SIGNS[code] for name, code in names.items()}


@pytest.mark.parametrize(("text", "want"), _cases())
def test_sentence(text: str, want: str) -> None:
    assert _named(label(text)) == set(want.split())


def test_the_table_is_large_enough() -> None:
    assert len(_cases()) >= 120
    assert len(set(_cases())) == len(_cases())


@pytest.mark.parametrize(
    ("text", "positive"),
    [
        ("No acute cardiopulmonary abnormality.", True),
        ("Normal chest.", True),
        ("The lungs are clear. Heart size is normal.", True),
        ("No pleural effusion or pneumothorax.", True),
        ("Lungs are clear. PICC tip in the SVC.", True),  # devices do not count
        ("Lungs are clear. Scoliosis.", False),  # an abnormality outside the 14
        ("Lungs are clear. No scoliosis.", True),
        ("Lungs are clear. Calcified granuloma.", False),
        ("Lungs are clear. Small left effusion.", False),
        ("Lungs are clear. Possible effusion.", False),
        ("Cardiomegaly.", False),
        ("", False),
        ("I cannot answer this question.", False),  # nothing said of a chest
        ("Two views of the chest.", False),
        # a normal word denied
        ("Heart size is not normal.", False),
        ("The exam is not normal.", False),
        ("The lungs are not clear.", False),
        ("The lungs aren't entirely clear.", False),
        ("Neither lung is clear.", False),
        ("Bones are not intact.", False),
        ("The heart is not enlarged and the lungs are clear.", True),
        ("The exam is not limited. Normal chest.", True),
        # nothing changed, whatever it was
        ("No interval change.", False),
        ("No significant change compared to prior.", False),
        ("No change in the appearance of the support devices.", False),
        ("No change in disease.", False),
        ("No acute cardiopulmonary changes.", True),
        ("No interval change. Normal chest.", True),
    ],
)
def test_no_finding(text: str, positive: bool) -> None:
    assert label(text)[-1] == (1 if positive else 0)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Small left pleural effusion.", {"Pleural Effusion": "left"}),
        ("Opacity in the right lower lobe.", {"Lung Opacity": "right"}),
        ("Bibasilar atelectasis.", {"Atelectasis": "bilateral"}),
        ("Bilateral pleural effusions.", {"Pleural Effusion": "bilateral"}),
        ("Pleural effusions, left greater than right.", {"Pleural Effusion": "bilateral"}),
        ("Small left and moderate right pleural effusions.", {"Pleural Effusion": "bilateral"}),
        ("Opacity in the right base and small left effusion.", {"Lung Opacity": "right", "Pleural Effusion": "left"}),
        ("Left pneumothorax, right effusion.", {"Pneumothorax": "left", "Pleural Effusion": "right"}),
        ("Left pleural effusion and atelectasis.", {"Pleural Effusion": "left", "Atelectasis": "left"}),
        ("Left opacity may represent pneumonia.", {"Lung Opacity": "left", "Pneumonia": "left"}),
        ("Pleural effusion.", {"Pleural Effusion": None}),
        ("Lingular opacity.", {"Lung Opacity": "left"}),
        ("Right middle lobe pneumonia.", {"Pneumonia": "right"}),
        ("Middle lobe pneumonia.", {"Pneumonia": "right"}),
        ("Atelectasis at both bases.", {"Atelectasis": "bilateral"}),
        ("Left PICC with its tip in the right atrium.", {"Support Devices": "left"}),
        ("Left effusion with shift of the trachea to the right.", {"Pleural Effusion": "left"}),
        ("Right hemidiaphragm elevation with left basilar atelectasis.", {"Atelectasis": "left"}),
        ("Cardiomegaly and left effusion.", {"Cardiomegaly": None, "Pleural Effusion": "left"}),
        ("Nodular opacity in the right mid lung.", {"Lung Lesion": "right", "Lung Opacity": "right"}),
        ("Haziness in the right lung and left base.", {"Lung Opacity": "bilateral"}),
        (
            "There is opacity in the left base which may represent atelectasis.",
            {"Lung Opacity": "left", "Atelectasis": "left"},
        ),
    ],
)
def test_laterality(text: str, want: dict[str, str | None]) -> None:
    assert {m.observation: m.laterality for m in mentions(text)} == want


def test_mentions_point_into_the_text() -> None:
    text = "IMPRESSION:\n1. Small LEFT pleural effusion.\n2. No pneumothorax."
    found = mentions(text)
    assert [(text[m.start : m.end], m.polarity, m.laterality) for m in found] == [
        ("effusion", 1, "left"),
        ("pneumothorax", 2, None),
    ]


def test_a_letter_whose_lower_case_is_longer_moves_no_offset() -> None:
    text = "\u0130\u0130 Small effusion."
    assert len(lowered(text)) == len(text)
    (mention,) = mentions(text)
    assert text[mention.start : mention.end] == "effusion"


def test_a_wrapped_line_is_one_sentence_and_an_empty_line_ends_it() -> None:
    assert _named(label("No pleural effusion,\npneumothorax or consolidation.")) == {"PE-", "PX-", "CO-"}
    assert _named(label("No pleural effusion\n\nsmall pneumothorax")) == {"PE-", "PX+"}
    assert [s for _, s in sentences("a 1.5 cm nodule vs. scar. b")] == ["a 1.5 cm nodule vs. scar.", " b"]


@pytest.mark.parametrize("heading", ["Indication", "Clinical history", "Comparison", "Technique", "Reason for exam"])
def test_a_section_of_history_is_not_read(heading: str) -> None:
    assert not any(label(f"{heading}: pneumonia and effusion"))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("EXAM: chest\nThere is a large left pneumothorax.", "PX+"),
        ("History: pneumonia\nThe left effusion is large.", "PE+"),
        ("History: pneumonia\r\nThe left effusion is large.", "PE+"),
        ("Reason for exam: pneumothorax, chest tube\nRight effusion is seen.", "PE+"),
        ("Indication: cough  Findings: Left effusion.", "PE+"),
        ("Indication: edema Comparison: None Findings: Large left pleural effusion Impression: Mass", "PE+ LL+"),
        ("Findings: no effusion Impression: left pneumonia", "PE- PN+"),
        ("Technique: pigtail. There is a left pneumothorax.", "PX+"),
        ("INDICATION:\npneumonia. Edema,\nnodule\nFINDINGS:\nLeft effusion", "PE+"),
        ("INDICATION: \npneumonia\nedema\n\nLeft effusion", "PE+"),
        ("History:\n\nLeft effusion", "PE+"),
        ("Indication: edema\nComparison: mass\nFindings: no effusion", "PE-"),
        ("Left effusion. Comparison: pneumonia", "PE+"),
        ("Indication: cough, evaluate for\npneumonia\nLeft effusion", "PE+"),
        ("History: edema", ""),
        ("History:", ""),
    ],
)
def test_a_section_of_history_ends(text: str, want: str) -> None:
    assert _named(label(text)) == set(want.split())


def test_codes_are_those_of_chexbert_in_its_order() -> None:
    codes = label("Possible edema. Small effusion. No pneumothorax.")
    assert (codes[4], codes[9], codes[8], codes[0]) == (3, 1, 2, 0)
    assert [OBSERVATIONS[i] for i in FIVE] == [
        "Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion",
    ]  # fmt: skip
    assert label_all(["Small effusion.", ""]).shape == (2, 14)
    assert label_all([]).shape == (0, 14)


WORDS = ["\n", *"no not left right effusion edema or , and ; heart enlarged may . ? mass clear lungs".split()]
SENTENCES = [text for text, _ in _cases() if not text.startswith("Indication")]


@given(st.data())
@pytest.mark.parametrize("terms", [*TERMS, OTHER_TERMS], ids=lambda t: [*OBSERVATIONS, "other"][t.observation])
def test_no_term_is_passed_over_for_its_first_letters(terms: Terms, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(terms.pattern, fullmatch=True, alphabet="abcdefghijklmnopqrstuvwxyz -/"))
    assert not terms.starts.isdisjoint(word_starts(text))


@given(st.text())
def test_any_text_is_labelled(text: str) -> None:
    assert set(label(text)) <= {0, 1, 2, 3}
    assert all(0 <= m.start < m.end <= len(text) for m in mentions(text))
    assert set(affirmed_sides(text)) <= {0, 1, 2, 3}


@given(
    st.lists(
        st.sampled_from(
            "no not left right effusion edema or , and ; heart enlarged may . ? \n mass clear lungs".split(" ")
        ),
        max_size=30,
    )
)
def test_any_words_are_labelled(words: list[str]) -> None:
    text = " ".join(words)
    assert set(label(text)) <= {0, 1, 2, 3}
    assert label(text.upper()) == label(text)


@given(st.lists(st.sampled_from(SENTENCES), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_sentences_changes_nothing(chosen: list[str], random: object) -> None:
    shuffled = list(chosen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert label(" ".join(shuffled)) == label(" ".join(chosen))
    assert affirmed_sides(" ".join(shuffled)) == affirmed_sides(" ".join(chosen))


@given(st.lists(st.sampled_from(SENTENCES), max_size=4))
def test_casing_changes_nothing(chosen: list[str]) -> None:
    text = " ".join(chosen)
    assert label(text.upper()) == label(text) == label(text.lower())


@given(st.sampled_from(SENTENCES), st.sampled_from(SENTENCES))
def test_the_strongest_statement_wins(one: str, other: str) -> None:
    rank = {1: 3, 3: 2, 2: 1, 0: 0}
    both = label(f"{one} {other}")[:-1]
    for a, b, together in zip(label(one)[:-1], label(other)[:-1], both, strict=True):
        assert together == max(a, b, key=lambda code: rank[code])


# --- the metric ------------------------------------------------------------------------------------------------------


def _score(metric: ChexpertRulesF1, pairs: list[tuple[str | None, tuple[str, ...]]]) -> float:
    rows = metric.rows(
        [Prediction(p) if p is not None else Prediction(None, Failure("empty")) for p, _ in pairs],
        [Text(r) for _, r in pairs],
        (),
    )
    return float(metric.value(rows, np.ones((1, len(rows))), ())[0])


def _random_pairs(n: int, seed: int) -> list[tuple[str | None, tuple[str, ...]]]:
    rng = np.random.default_rng(seed)

    def report() -> str:
        return " ".join(SENTENCES[i] for i in rng.integers(len(SENTENCES), size=rng.integers(0, 7)))

    return [(report(), (report(),)) for _ in range(n)]


@pytest.mark.parametrize("classes", [14, 5])
@pytest.mark.parametrize("uncertain", ["positive", "negative"])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples"])
def test_arithmetic_equals_scikit_learn(classes: int, uncertain: str, average: str) -> None:
    report = pytest.importorskip("sklearn.metrics").precision_recall_fscore_support
    pairs = _random_pairs(500, seed=3)
    chosen = list(FIVE) if classes == 5 else list(range(14))
    good = (1, 3) if uncertain == "positive" else (1,)
    predicted, true = (
        np.isin(label_all(t), good)[:, chosen] for t in ([p for p, _ in pairs], [r[0] for _, r in pairs])
    )
    expected = report(true, predicted, average=average, zero_division=0)
    for i, part in enumerate(("precision", "recall", "f1")):
        ours = _score(ChexpertRulesF1(classes, average, uncertain, part), pairs)  # type: ignore[arg-type]
        assert ours == pytest.approx(expected[i], abs=1e-12)


def test_a_failed_answer_misses_every_positive() -> None:
    metric = ChexpertRulesF1()
    pairs = [("Small effusion.", ("Small effusion.",)), (None, ("Edema. Pneumothorax.",))]
    assert _score(metric, pairs) == pytest.approx(2 * 1 / (2 * 1 + 2))
    assert _score(metric, [(None, ("Edema.",))]) == 0.0


def test_the_closest_of_several_references_counts() -> None:
    assert _score(ChexpertRulesF1(), [("Edema.", ("Pneumothorax.", "Edema."))]) == 1.0


def test_batches_and_order_change_nothing() -> None:
    metric = ChexpertRulesF1(average="macro")
    pairs = _random_pairs(60, seed=5)
    predictions, targets = [Prediction(p) for p, _ in pairs], [Text(r) for _, r in pairs]
    whole = metric.rows(predictions, targets, ())
    parts = [metric.rows(predictions[i:j], targets[i:j], ()) for i, j in ((0, 17), (17, 17), (17, 60))]
    assert np.array_equal(whole, np.concatenate(parts))
    order = np.random.default_rng(0).permutation(60)
    shuffled = metric.rows([predictions[i] for i in order], [targets[i] for i in order], ())
    assert np.array_equal(whole[order], shuffled)


@pytest.mark.parametrize("option", [{"classes": 7}, {"average": "mean"}, {"uncertain": "maybe"}, {"part": "f2"}])
def test_a_wrong_option_is_named(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        ChexpertRulesF1(**option)  # type: ignore[arg-type]


def test_every_option_is_in_the_signature() -> None:
    signatures = {
        ChexpertRulesF1(c, a, u, p).signature(())  # type: ignore[arg-type]
        for c in (14, 5)
        for a in ("micro", "macro", "weighted", "samples")
        for u in ("positive", "negative")
        for p in ("f1", "precision", "recall")
    }
    assert len(signatures) == 48
    assert all(factory().unavailable() is None for factory in METRICS.values())


def test_columns_name_three_counts_a_class() -> None:
    metric = ChexpertRulesF1(classes=5)
    assert metric.columns(())[:3] == ("tp:Cardiomegaly", "fp:Cardiomegaly", "fn:Cardiomegaly")
    assert metric.rows([], [], ()).shape == (0, 15)


@pytest.mark.parametrize("first", ["cardiac pacing device", "cardiac pacemaker", "a pacer", "pleural effusion"])
def test_a_denial_reaches_over_the_first_of_two_alternatives(first: str) -> None:
    codes = dict(zip(OBSERVATIONS, label(f"No evidence of {first} or cardiac enlargement."), strict=True))
    assert codes["Cardiomegaly"] == NEGATIVE
    assert label("No acute disease; stable or enlarged heart.")[OBSERVATIONS.index("Cardiomegaly")] == POSITIVE
