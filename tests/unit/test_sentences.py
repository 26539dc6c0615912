"""Lines are split where sentences end, in many languages, and not at abbreviations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq_cli.tokenization.sentences import (
    join_sentences,
    language_of_names,
    language_of_script,
    split_sentences,
)

# A language, and a line with | where its sentences end.
LINES = [
    (
        "en",
        "Mr. Smith met Dr. Jones at 3 p.m. in St. Louis. |They talked, e.g. about the U.S. army.",
    ),
    ("en", "J. R. R. Tolkien wrote it. |It costs 3.50 dollars! |See Fig. 3."),
    ("en", 'He said: "I am tired." |Then he left... |What?! |Yes.'),
    ("en", '"Go!" he said. |Then he left.'),
    ("en", "I live in the U.S. |It is big."),
    ("en", "i like dogs. |they bark."),
    ("en", "1. First item. |2. Second item."),
    ("de", "Das ist z.B. ein Test. |Am 3. Oktober 2020 kam Dr. Müller an."),
    ("fr", "M. Dupont est arrivé le 1er mai. |Nous avons vu M. Durand. |Il pleut."),
    ("es", "El Sr. García vive en EE. UU. desde 2010. |¿Cómo estás? |¡Muy bien!"),
    ("it", "Il dott. Rossi abita in via Roma n. 5. |Piove."),
    ("pt", "O Sr. Silva e a Sra. Costa chegaram. |Está frio."),
    ("nl", "Dhr. Jansen woont o.a. in Den Haag. |Het regent."),
    ("sv", "Det är t.ex. en bil. |Den är röd."),
    ("pl", "Prof. Kowalski mieszka przy ul. Długiej 5. |Pada deszcz. |To jest np. dom."),
    ("cs", "Pan Novák bydlí v ul. Dlouhé č. 5. |Prší. |Je to např. dům."),
    ("tr", "Dr. Yılmaz saat 15.30'da geldi. |Hava soğuk."),
    ("ru", "Он родился в 1950 г. в Москве. |Т. е. очень давно. |«Да!» — сказал он."),
    ("el", "Ο κ. Παπαδόπουλος ήρθε. |Πού είσαι; |Βρέχει."),
    ("hy", "Ես տուն եմ գնում։ |Որտե՞ղ ես։"),
    ("ar", "ذهبت إلى البيت. |أين أنت؟ |د. أحمد هنا."),
    ("fa", "من به خانه رفتم. |تو کجایی؟"),
    ("ur", "میں گھر گیا۔ |تم کہاں ہو؟"),
    ("hi", "मैं घर जा रहा हूँ। |तुम कहाँ हो? |डॉ. शर्मा आए।"),
    ("bn", "আমি বাড়ি যাচ্ছি। |তুমি কোথায়?"),
    ("zh", "我喜欢苹果。|你呢？|“好的。”他说。|我也喜欢！"),
    ("ja", "私はりんごが好きです。|「はい。」と彼は言った。|あなたは？"),
    ("ja", "「はい。」|「いいえ。」"),
    ("ko", "나는 집에 간다. |너는 어디에 있니?"),
    ("my", "ကျွန်တော် အိမ်ပြန်တယ်။ |မင်း ဘယ်မှာလဲ။"),
    ("km", "ខ្ញុំទៅផ្ទះ។ |អ្នកនៅឯណា?"),
    ("am", "ሰላም ነው። |እንዴት ነህ?"),
    ("th", "ฉันชอบแอปเปิล คุณชอบอะไร วันนี้ฝนตก"),  # nothing marks where sentences end
]


@pytest.mark.parametrize(("language", "line"), LINES)
def test_sentences_end_at_their_ends_and_not_at_abbreviations(language: str, line: str) -> None:
    assert "|".join(split_sentences(line.replace("|", ""), language)) == line


@pytest.mark.parametrize(
    ("language", "line"), [each for each in LINES if each[0] in "el hy ar fa ur hi bn zh ja ko ru"]
)
def test_without_a_language_the_script_decides(language: str, line: str) -> None:
    assert "|".join(split_sentences(line.replace("|", ""))) == line


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("Ein Tag. Für dich.", "en"),
        ("дом", "ru"),
        ("漢字です", "ja"),
        ("汉字", "zh"),
        ("12.", "en"),
    ],
)
def test_kana_makes_a_line_japanese_and_latin_letters_english(line: str, language: str) -> None:
    assert language_of_script(line) == language


@given(
    st.text(st.characters(exclude_categories=[]))
    | st.text("aA 1.!?。”\"'()« \u0085\u2028\u3000\r"),
    st.sampled_from(["", "en", "de", "zh", "hi", "xx", "no such language"]),
)
def test_no_character_is_lost_whatever_a_line_holds(line: str, language: str) -> None:
    sentences = split_sentences(line, language)
    assert "".join(sentences) == line
    assert len(sentences) == 1 or all(each.strip() for each in sentences)


@pytest.mark.parametrize(
    ("sentences", "line"),
    [
        (["A man.", "A dog."], "A man. A dog."),
        (["我喜欢。", "你呢？"], "我喜欢。你呢？"),
        (["他说：“好。”", "你呢？"], "他说：“好。”你呢？"),
        (["你呢?", "我."], "你呢?我."),
        (["私です。", "Yes."], "私です。Yes."),
        (["我 喜欢 苹果 。", "你 呢 ？"], "我 喜欢 苹果 。 你 呢 ？"),  # its words have spaces
        (["나는 간다.", "너는?"], "나는 간다. 너는?"),
        (["ฉันชอบ", "วันนี้"], "ฉันชอบ วันนี้"),
        (["घर।", "तुम?"], "घर। तुम?"),
        (["", "A dog."], "A dog."),
        ([], ""),
    ],
)
def test_sentences_are_joined_as_their_script_joins_them(sentences: list[str], line: str) -> None:
    assert join_sentences(sentences) == line


@pytest.mark.parametrize(
    ("names", "language"),
    [
        (["train.en"], "en"),
        (["a.en.gz", "dir/b.en"], "en"),
        (["corpus.tsv:de"], "de"),
        (["corpus.jsonl:translation.fr"], "fr"),
        (["hf:some/set:train:translation.cs"], "cs"),
        (["a.en", "b.fr"], ""),
        (["train.txt"], ""),
        (["corpus.tsv:1"], ""),
        (["en"], "en"),
        ([], ""),
    ],
)
def test_names_of_texts_tell_their_language(names: list[str], language: str) -> None:
    assert language_of_names(names) == language


def test_codes_with_three_letters_or_a_script_have_the_rules_of_their_language():
    line = "Am 3. Mai kam Dr. Meier. Er ging u. a. nach Bonn."
    expected = split_sentences(line, "de")
    assert len(expected) == 2
    assert split_sentences(line, "en") != expected
    for code in ("deu", "deu_Latn", "de_DE", "ger"):
        assert split_sentences(line, code) == expected
