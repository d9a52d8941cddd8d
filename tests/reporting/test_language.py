"""Every language says the same things in its own words, and writes numbers as people do."""

import inspect
import re
from pathlib import Path
from string import Formatter

import pytest

from kakusan import reporting
from kakusan.errors import KakusanError
from kakusan.reporting.language import Language, language, languages, usual

HOUSE = Path(inspect.getfile(reporting)).parent
BOTH = ENGLISH, JAPANESE = language("en"), language("ja")
# What is written so in Japanese too.
NAMES = {
    "CLIP",
    "SNR",
    "kakusan",
    "kB",
    "MB",
    "ms",
    "SHA",
    "FID",
    "KID",
    "DDIM",
    "LPIPS",
    "Stable",
    "Diffusion",
    "Naeem",
    "Parmar",
    "PSNR",
    "dB",
    "VAE",
    "GAN",
    "LoRA",
    "Hessel",
}

every_language = pytest.mark.parametrize("say", BOTH, ids=lambda say: say.code)


def places(sentence):
    """Returns the values that a sentence asks for, and how each is written."""
    return [(name, way) for _, name, way, _ in Formatter().parse(sentence) if name is not None]


def source():
    """Returns all that is written in the room of reports, but for its catalogues."""
    files = [*HOUSE.rglob("*.py"), *HOUSE.rglob("*.jinja")]
    return "\n".join(file.read_text("utf-8") for file in files)


def test_there_are_two():
    assert languages() == ["en", "ja"]


def test_another_is_refused_naming_those_there_are():
    with pytest.raises(KakusanError, match=r"unknown language 'fr'.*en, ja"):
        language("fr")


def test_both_have_the_same_sentences_in_the_same_order():
    assert list(JAPANESE.sentences) == list(ENGLISH.sentences)


def test_both_put_the_same_values_into_a_sentence():
    english, japanese = (
        {key: {name for name, _ in places(sentence)} for key, sentence in say.sentences.items()} for say in BOTH
    )
    assert japanese == english


@every_language
def test_every_value_is_written_in_a_way_that_exists(say):
    for key, sentence in say.sentences.items():
        for _, spec in places(sentence):
            way, *words = spec.split() or ["count"]
            inspect.signature(getattr(Language, way)).bind(say, 1, *words), key


def test_every_sentence_is_said_somewhere():
    text = source()
    prefixes = set(re.findall(r'f"([\w.]+)\{', text))
    unused = [
        key for key in ENGLISH.sentences if f'"{key}"' not in text and not any(key.startswith(p) for p in prefixes)
    ]
    assert unused == []


def test_whatever_is_said_is_in_the_catalogue():
    said = re.findall(r'\bsay\(\s*"([\w.]+)"', source())
    assert len(said) > 20
    assert set(said) <= set(ENGLISH.sentences)


def test_no_english_is_left_in_japanese():
    for key, sentence in JAPANESE.sentences.items():
        text = re.sub(r"\{[^}]*\}", "", sentence)
        assert set(re.findall(r"[A-Za-z]{2,}", text)) <= NAMES, key
        assert not re.search(r"[,.:;!?()] |[,.:;!?]$", text), f"{key}: half-width punctuation"
        assert not re.search(r"[０-９]", text), f"{key}: full-width digits"
        assert not re.search(r"です|ます", text), f"{key}: not in the plain form"


def test_what_is_a_whole_sentence_in_one_is_one_in_the_other():
    whole = [{key for key, text in say.sentences.items() if text.endswith(say("page.stop"))} for say in BOTH]
    assert whole[0] == whole[1]


@every_language
def test_a_sentence_without_its_values_is_refused(say):
    with pytest.raises(KeyError):
        say("loss.fell", first=1.0)
    with pytest.raises(KeyError):
        say("loss.flew")


@pytest.mark.parametrize(
    ("way", "values", "english", "japanese"),
    [
        ("number", (0,), "0", "0"),
        ("number", (0.12345,), "0.123", "0.123"),
        ("number", (9.996,), "10.0", "10.0"),
        ("number", (99.97,), "100", "100"),
        ("number", (1234.5,), "1,234", "1,234"),
        ("number", (-19.137,), "−19.1", "−19.1"),
        ("spread", (19.137, 0.83), "19.1 ± 0.8", "19.1 ± 0.8"),
        ("count", (437_322,), "437,322", "437,322"),
        ("several", (1, "step"), "1 step", "1 step"),
        ("several", (2, "class", "classes"), "2 classes", "2 classes"),
        ("percent", (0.98765,), "98.8 %", "98.8 %"),
        ("percent", (None,), "not measured", "未測定"),
        ("fraction", (0.39418,), "0.39418", "0.39418"),
        ("fraction", (0.02,), "0.02000", "0.02000"),
        ("fraction", (4.036e-5,), "4.04×10⁻⁵", "4.04×10⁻⁵"),
        ("fraction", (2.43e-12,), "2.43×10⁻¹²", "2.43×10⁻¹²"),
        ("fraction", (0,), "0.00000", "0.00000"),
        ("duration", (0,), "0 µs", "0 µs"),
        ("duration", (0.00034,), "340 µs", "340 µs"),
        ("duration", (0.00125,), "1.25 ms", "1.25 ms"),
        ("duration", (74.6,), "74.6 s", "74.6秒"),
        ("duration", (119.6,), "120 s", "120秒"),
        ("duration", (175.2,), "2 min 55 s", "2分55秒"),
        ("size", (340_000,), "340 kB", "340 kB"),
        ("size", (2_743_940,), "2.74 MB", "2.74 MB"),
    ],
)
def test_values_are_written_as_people_write_them(way, values, english, japanese):
    for say, expected in ((ENGLISH, english), (JAPANESE, japanese)):
        assert getattr(say, way)(*values).replace("\N{NO-BREAK SPACE}", " ") == expected


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "JA"}, "ja"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LC_ALL": "ja_JP.UTF-8", "LC_MESSAGES": "en_US.UTF-8", "LANG": "en_US.UTF-8"}, "ja"),
        ({"LC_MESSAGES": "ja_JP.UTF-8", "LANG": "en_US.UTF-8"}, "ja"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LC_ALL": "C", "LANG": "ja_JP.UTF-8"}, "en"),
    ],
)
def test_the_usual_language_is_the_systems(monkeypatch, environment, code):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("locale.getlocale", lambda: (None, None))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert usual() == code
