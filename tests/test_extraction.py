"""extraction.py: the final answer is found in every language, and it is said where."""

import pytest

from pipelines.answers import extract, verify

COLON = {
    "am": "መልስ፦ 17", "ar": "الإجابة: ١٧", "bn": "উত্তর: ১৭", "cs": "Odpověď: 17", "nl": "Antwoord: 17",
    "en": "Answer: 17", "fr": "Réponse : 17", "de": "Antwort: 17", "el": "Απάντηση: 17", "ha": "Amsa: 17",
    "he": "תשובה: 17", "hi": "उत्तर: १७", "id": "Jawaban: 17", "it": "Risposta: 17", "ja": "答え：17",
    "jv": "Wangsulan: 17", "km": "ចម្លើយ៖ 17", "ko": "정답: 17", "lo": "ຄຳຕອບ: 17", "ms": "Jawapan: 17",
    "mr": "उत्तर: 17", "fa": "پاسخ: ۱۷", "pl": "Odpowiedź: 17", "pt": "Resposta: 17", "ro": "Răspuns: 17",
    "ru": "Ответ: 17", "es": "Respuesta: 17", "sw": "Jibu: 17", "sv": "Svar: 17", "tl": "Sagot: 17",
    "ta": "பதில்: 17", "te": "సమాధానం: 17", "th": "คำตอบ: 17", "tr": "Cevap: 17", "uk": "Відповідь: 17",
    "ur": "جواب: 17", "vi": "Đáp số: 17", "zh": "答案：17", "be": "Адказ: 17", "bg": "Отговор: 17",
    "sr": "Одговор: 17", "mk": "Одговор: 17", "kk": "Жауап: 17", "uz": "Javob: 17", "ka": "პასუხი: 17",
    "hy": "Պատասխան՝ 17", "az": "Cavab: 17", "fi": "Vastaus: 17", "da": "Svar: 17", "no": "Svar: 17",
    "hu": "Válasz: 17", "hr": "Odgovor: 17", "sk": "Odpoveď: 17", "sl": "Odgovor: 17", "lt": "Atsakymas: 17",
    "lv": "Atbilde: 17", "et": "Vastus: 17", "is": "Svar: 17", "ga": "Freagra: 17", "mt": "Tweġiba: 17",
    "ca": "Resposta: 17", "eu": "Erantzuna: 17", "gl": "Resposta: 17", "ne": "उत्तर: १७", "si": "පිළිතුර: 17",
    "my": "အဖြေ: ၁၇",
}  # fmt: skip
SENTENCE = {
    "am": "ስለዚህ መልሱ 17 ነው።", "ar": "إذن الجواب هو ١٧.", "bn": "সুতরাং উত্তর হল ১৭।",
    "cs": "Takže odpověď je 17.", "nl": "Dus het antwoord is 17.", "en": "So the final answer is 17.",
    "fr": "Donc la réponse est 17.", "de": "Die Antwort lautet also 17.", "el": "Άρα η απάντηση είναι 17.",
    "ha": "Don haka amsar ita ce 17.", "he": "לכן התשובה היא 17.", "hi": "इसलिए उत्तर 17 है।",
    "id": "Jadi, jawabannya adalah 17.", "it": "Quindi la risposta è 17.", "ja": "したがって、答えは17です。",
    "jv": "Dadi jawabane yaiku 17.", "km": "ដូច្នេះចម្លើយគឺ 17។", "ko": "따라서 정답은 17입니다.",
    "lo": "ດັ່ງນັ້ນຄຳຕອບແມ່ນ 17.", "ms": "Jadi jawapannya ialah 17.", "mr": "म्हणून उत्तर 17 आहे.",
    "fa": "بنابراین پاسخ برابر است با ۱۷.", "pl": "Zatem odpowiedź to 17.", "pt": "Portanto, a resposta é 17.",
    "ro": "Deci răspunsul este 17.", "ru": "Значит, ответ — 17.", "es": "Por lo tanto, la respuesta es 17.",
    "sw": "Kwa hiyo jibu ni 17.", "sv": "Alltså är svaret 17.", "tl": "Kaya ang sagot ay 17.",
    "ta": "எனவே பதில் 17 ஆகும்.", "te": "కాబట్టి సమాధానం 17.", "th": "ดังนั้นคำตอบคือ 17",
    "tr": "Dolayısıyla cevap 17'dir.", "uk": "Отже, відповідь — 17.", "ur": "لہٰذا جواب 17 ہے۔",
    "vi": "Vậy câu trả lời là 17.", "zh": "所以答案是17。",
}  # fmt: skip


@pytest.mark.parametrize("language", sorted(COLON))
def test_a_marker_is_known_in_every_language(language: str) -> None:
    text = f"3 + 4 = 7\n\n**{COLON[language]}**\n\n(5 + 12)"
    found = extract(text, language)
    assert found
    assert found.where == "marker"
    assert verify("17", found.text, language).kind == "right"
    assert verify("12", found.text, language).kind == "wrong"


@pytest.mark.parametrize("language", sorted(SENTENCE))
def test_a_sentence_that_names_the_answer_is_known_in_every_main_language(language: str) -> None:
    found = extract(f"3 + 4 = 7. {SENTENCE[language]}\n\n5 + 12", language)
    assert found
    assert found.where == "marker"
    assert verify("17", found.text, language).kind == "right"
    assert verify("71", found.text, language).kind == "wrong"
