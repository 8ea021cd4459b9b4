"""language.py: each segment gets its language, whatever maths, code and short sentences surround it."""

import os
import time
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.language import LABELS, UND, mask, report

# Written for this test: the same little chain in many languages.
# ruff: noqa: E501 - one line each
CHAINS = {
    "ru": "Хм, сначала посчитаем яблоки. У Маши было $5$ яблок, и она купила ещё три. Значит, всего восемь. Да, верно.",
    "uk": "Хм, спочатку порахуємо яблука. У Марійки було $5$ яблук, і вона купила ще три. Отже, всього вісім. Так.",
    "be": "Спачатку палічым яблыкі. У Машы было $5$ яблыкаў, і яна купіла яшчэ тры. Значыць, усяго восем яблыкаў.",
    "bg": "Първо да преброим ябълките. Мария имаше $5$ ябълки и купи още три. Следователно общо са осем ябълки.",
    "sr": "Прво да пребројимо јабуке. Марија је имала $5$ јабука и купила је још три. Дакле, укупно има осам јабука.",
    "mk": "Прво да ги изброиме јаболката. Марија имаше $5$ јаболка и купи уште три. Значи, вкупно има осум јаболка.",
    "kk": "Алдымен алмаларды санайық. Мәриямда $5$ алма болды және ол тағы үш алма сатып алды. Барлығы сегіз алма.",
    "en": "Hmm, first let us count the apples. Mary had $5$ apples and she bought three more. So there are eight in all.",
    "de": "Hm, zuerst zählen wir die Äpfel. Maria hatte $5$ Äpfel und kaufte noch drei. Also sind es insgesamt acht.",
    "fr": "Hmm, comptons d'abord les pommes. Marie avait $5$ pommes et elle en a acheté trois. Donc il y en a huit.",
    "es": "Primero contemos las manzanas. María tenía $5$ manzanas y compró tres más. Entonces hay ocho en total.",
    "pt": "Primeiro vamos contar as maçãs. A Maria tinha $5$ maçãs e comprou mais três. Então são oito no total.",
    "gl": "Primeiro imos contar as mazás. María tiña $5$ mazás e mercou tres máis. Entón hai oito mazás en total.",
    "ca": "Primer comptem les pomes. La Maria tenia $5$ pomes i en va comprar tres més. Llavors n'hi ha vuit en total.",
    "it": "Prima contiamo le mele. Maria aveva $5$ mele e ne ha comprate altre tre. Quindi sono otto in totale.",
    "ro": "Mai întâi numărăm merele. Maria avea $5$ mere și a mai cumpărat trei. Deci sunt opt mere în total.",
    "nl": "Eerst tellen we de appels. Maria had $5$ appels en kocht er nog drie. Dus er zijn in totaal acht appels.",
    "pl": "Najpierw policzmy jabłka. Maria miała $5$ jabłek i kupiła jeszcze trzy. Więc razem jest osiem jabłek.",
    "cs": "Nejdřív spočítáme jablka. Marie měla $5$ jablek a koupila ještě tři. Takže celkem je jich osm.",
    "sk": "Najprv spočítame jablká. Mária mala $5$ jabĺk a kúpila ešte tri. Takže spolu ich je osem.",
    "hr": "Prvo prebrojimo jabuke. Marija je imala $5$ jabuka i kupila je još tri. Dakle, ukupno ima osam jabuka.",
    "sl": "Najprej preštejmo jabolka. Marija je imela $5$ jabolk in kupila je še tri. Torej jih je skupaj osem.",
    "hu": "Először számoljuk meg az almákat. Máriának $5$ almája volt, és vett még hármat. Tehát összesen nyolc van.",
    "fi": "Lasketaan ensin omenat. Marialla oli $5$ omenaa ja hän osti vielä kolme. Siis omenoita on yhteensä kahdeksan.",
    "et": "Loeme kõigepealt õunad kokku. Maarjal oli $5$ õuna ja ta ostis veel kolm. Seega on kokku kaheksa õuna.",
    "lv": "Vispirms saskaitīsim ābolus. Marijai bija $5$ āboli, un viņa nopirka vēl trīs. Tātad kopā ir astoņi āboli.",
    "lt": "Pirmiausia suskaičiuokime obuolius. Marija turėjo $5$ obuolius ir nusipirko dar tris. Taigi iš viso aštuoni.",
    "sv": "Först räknar vi äpplena. Maria hade $5$ äpplen och köpte tre till. Alltså finns det åtta äpplen totalt.",
    "da": "Først tæller vi æblerne. Maria havde $5$ æbler og købte tre mere. Altså er der otte æbler i alt.",
    "no": "Først teller vi eplene. Maria hadde $5$ epler og kjøpte tre til. Altså er det åtte epler til sammen.",
    "is": "Fyrst teljum við eplin. María átti $5$ epli og keypti þrjú í viðbót. Þá eru það samtals átta epli.",
    "tr": "Önce elmaları sayalım. Meryem'in $5$ elması vardı ve üç tane daha aldı. O zaman toplam sekiz elma var.",
    "az": "Əvvəlcə almaları sayaq. Məryəmin $5$ alması var idi və o, daha üç alma aldı. Deməli, cəmi səkkiz alma var.",
    "uz": "Avval olmalarni sanaymiz. Maryamda $5$ ta olma bor edi va u yana uchta sotib oldi. Demak, jami sakkizta olma.",
    "id": "Pertama kita hitung apelnya. Maria punya $5$ apel dan membeli tiga lagi. Jadi jumlah apelnya ada delapan.",
    "vi": "Trước tiên ta đếm số táo. Mai có $5$ quả táo và mua thêm ba quả nữa. Vậy tổng cộng có tám quả táo.",
    "tl": "Una, bilangin natin ang mga mansanas. May $5$ mansanas si Maria at bumili pa siya ng tatlo. Kaya walo lahat.",
    "sw": "Kwanza tuhesabu matofaa. Maria alikuwa na matofaa $5$ na akanunua mengine matatu. Kwa hivyo jumla ni manane.",
    "ha": "Da farko mu ƙidaya tuffa. Maryam tana da tuffa $5$ kuma ta sayi uku. Saboda haka duka tuffa takwas ne.",
    "ga": "Ar dtús comhairimid na húlla. Bhí $5$ úll ag Máire agus cheannaigh sí trí cinn eile. Mar sin tá ocht n-úll ann.",
    "mt": "L-ewwel ngħoddu t-tuffieħ. Marija kellha $5$ tuffieħat u xtrat tlieta oħra. Għalhekk hemm tmienja b'kollox.",
    "eu": "Lehenik sagarrak zenbatuko ditugu. Mariak $5$ sagar zituen eta beste hiru erosi ditu. Beraz, zortzi sagar dira.",
    "el": "Πρώτα ας μετρήσουμε τα μήλα. Η Μαρία είχε $5$ μήλα και αγόρασε άλλα τρία. Άρα συνολικά είναι οκτώ.",
    "he": "קודם נספור את התפוחים. למריה היו $5$ תפוחים והיא קנתה עוד שלושה. לכן יש שמונה בסך הכול.",
    "ar": "أولا نعد التفاح. كان لدى مريم $5$ تفاحات واشترت ثلاث تفاحات أخرى. إذن المجموع هو ثماني تفاحات.",
    "fa": "اول سیب‌ها را می‌شماریم. مریم $5$ سیب داشت و سه سیب دیگر خرید. پس در مجموع هشت سیب دارد.",
    "ur": "پہلے سیب گنتے ہیں۔ مریم کے پاس $5$ سیب تھے اور اس نے تین اور خریدے۔ تو کل آٹھ سیب ہیں۔",
    "hi": "पहले सेब गिनते हैं। मारिया के पास $5$ सेब थे और उसने तीन और खरीदे। इसलिए कुल आठ सेब हैं।",
    "mr": "आधी सफरचंदे मोजूया. मारियाकडे $5$ सफरचंदे होती आणि तिने आणखी तीन घेतली. म्हणून एकूण आठ आहेत.",
    "ne": "पहिले स्याउ गनौं। मारियासँग $5$ वटा स्याउ थियो र उनले अरू तीन वटा किनिन्। त्यसैले जम्मा आठ वटा छन्।",
    "bn": "প্রথমে আপেল গুনি। মারিয়ার $5$টি আপেল ছিল এবং সে আরও তিনটি কিনল। তাহলে মোট আটটি।",
    "ta": "முதலில் ஆப்பிள்களை எண்ணுவோம். மரியாவிடம் $5$ ஆப்பிள்கள் இருந்தன. மொத்தம் எட்டு.",
    "zh": "首先数一下苹果。小红有$5$个苹果，又买了三个。所以一共有八个苹果。",
    "ja": "まず、りんごを数えましょう。花子さんは$5$個持っていて、さらに三個買いました。合計は八個です。",
    "ko": "먼저 사과를 세어 보자. 민지는 사과가 $5$개 있었고 세 개를 더 샀다. 그래서 모두 여덟 개이다.",
    "th": "ก่อนอื่นเรานับแอปเปิล มาลีมีแอปเปิล $5$ ลูกและซื้อเพิ่มอีกสามลูก ดังนั้นรวมทั้งหมดแปดลูก",
    "ka": "ჯერ ვაშლები დავთვალოთ. მარიამს $5$ ვაშლი ჰქონდა და კიდევ სამი იყიდა. ესე იგი სულ რვაა.",
    "hy": "Նախ հաշվենք խնձորները։ Մարիամն ուներ $5$ խնձոր և գնեց ևս երեքը։ Ուրեմն ընդամենը ութն է։",
    "my": "ပထမဦးစွာ ပန်းသီးများကို ရေတွက်ကြမည်။ စုစုပေါင်း ရှစ်လုံး ဖြစ်သည်။",
}
MGSM = Path(os.environ.get("THINKIN_MGSM", "mgsm"))


@pytest.mark.parametrize("language", CHAINS)
def test_a_pure_chain_is_strictly_in_its_language(language: str) -> None:
    found = report(CHAINS[language], LABELS)
    assert found.language == language
    assert found.strict(language), [(CHAINS[language][s.start : s.end], s.language) for s in found.segments]
    assert found.switches == ()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Ответ: 17", "ru"), ("Итак, $n=7$.", "ru"), ("Хм. Проверим. Да, верно.", "ru"), ("Проверим.", "ru"),
        ("Значит, $x^2 = 4$.", "ru"), ("Подставим $x=2$.", "ru"), ("Отже, $n=7$.", "uk"), ("Відповідь: 17", "uk"),
        ("Отговор: 17", "bg"), ("Answer: 17", "en"), ("Antwort: 17", "de"), ("Réponse : 17", "fr"), ("答え：17", "ja"),
        ("答案：17", "zh"), ("الإجابة: 17", "ar"), ("پاسخ: 17", "fa"), ("उत्तर: 17", "hi"), ("정답: 17", "ko"),
    ],
)  # fmt: skip
def test_a_short_line_is_no_other_language(text: str, language: str) -> None:
    assert report(text, LABELS).language == language


@pytest.mark.parametrize("language", ["ru", "uk", "de", "es", "zh", "ja", "ar", "hi", "id"])
def test_english_sentences_in_a_chain_are_found_where_they_are(language: str) -> None:
    english = "Wait, let me check this again. The total number of apples is eight."
    text = f"{CHAINS[language]} {english} {CHAINS[language]}"
    found = report(text, LABELS)
    begin = len(CHAINS[language]) + 1
    assert found.language == language
    assert found.majority(language)
    assert not found.strict(language)
    assert 0 < found.share("en") < 0.5
    assert [(switch.start, switch.before, switch.after) for switch in found.switches] == [
        (begin, language, "en"),
        (begin + len(english) + 1, "en", language),
    ]
    for segment in found.segments:
        assert (segment.language == "en") == (begin <= segment.start < begin + len(english))


def test_a_foreign_word_of_another_script_is_found() -> None:
    text = "Нам нужно 计算 это значение."
    assert [(text[s.start : s.end], s.language) for s in report(text, ("ru", "en")).segments] == [
        ("Нам нужно", "ru"),
        ("计算", "zh"),  # though no label writes it
        ("это значение", "ru"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Найдём GCD(12, 18) и вызовем print() в Python.",
        "Скорость 60 км/ч, а масса 5 kg. Это видно из $\\text{the answer is here}$.",
        "Сначала посчитаем, сколько денег у Джона. Он купил Machine Learning for Dummies за 20 долларов.",
        "Код:\n```python\n# this is a comment in the english language\nprint('hello world')\n```\nвыводит приветствие.",
        "Смотри https://example.com/this/is/the/english/page и посчитай \\boxed{the result}.",
        "В задаче сказано: “How many apples does she have in all?” Переведём вопрос.",
        "<think>\nПусть x_total будет суммой, тогда \\begin{align} a &= b \\end{align} верно.\n</think>",
    ],
)
def test_maths_code_names_and_quotations_leave_a_chain_strict(text: str) -> None:
    assert report(text, LABELS).strict("ru"), report(text, LABELS).segments


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Джон купил Machine Learning for Dummies и отдал за эту книгу 20 долларов.", "ru"),
        ("В Python цикл while not found подходит, а def main не нужен.", "ru"),
        ("小明买了 Machine Learning for Dummies 这本书。", "zh"),
        ("题目说：“How many apples does she have in all?” 我们来翻译。", "zh"),
        ("СНАЧАЛА ПОСЧИТАЕМ ЯБЛОКИ, ПОТОМ ВЫЧТЕМ ТЕ, ЧТО СЪЕЛИ ДЕТИ.", "ru"),
        ("Ｆｉｒｓｔ ｗｅ ｃｏｕｎｔ ｔｈｅ ａｐｐｌｅｓ", "en"),
        ("\u200f".join("First we count the apples, then the pears."), "en"),
        ("\u200b".join("Сначала посчитаем яблоки, потом груши."), "ru"),
        ("\u202eСначала посчитаем яблоки, потом груши.\u202c", "ru"),
        (normalize("NFD", "Найдём второй ответ: ещё не всё посчитано."), "ru"),
        ("Сначала посчита\u0301ем я\u0301блоки.", "ru"),
        ("🤔 Хм... 👍🏽 Проверим! 🎉 Всё верно ✅", "ru"),
        ("Prvo računamo vrednost. Zatim ćemo da proverimo šta je ostalo ovde.", "sr"),
        ("Аввал нечта олма борлигини ҳисоблаймиз. Кейин бир қисмини айирамиз.", "uz"),
        ("આપણે પહેલા સફરજન ગણીએ છીએ.", "gu"),  # no label: named all the same, so that it is nobody's own
        ("ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᎢᎦ.", "mis"),
        ("Пусть:\n```python\n# the code of a chain that was cut off before the fence was closed", "ru"),
        ("電車は75 km走ったことになる。", "ja"),
    ],
)
def test_odd_text_is_named(text: str, language: str) -> None:
    found = report(text, LABELS)
    assert found.majority(language), found
    assert found.strict(language), found


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("Нам нужно find the sum and then divide by two, и получим ответ.", ("ru", "en", "ru")),
        ("Теперь WE NEED TO COUNT THE APPLES и это всё.", ("ru", "en", "ru")),
        ("لنحسب العدد: the total is eight apples ثم نضيف واحدا.", ("ar", "en", "ar")),
        ("The word яблоко is a noun, and so it is not a verb.", ("en", "ru", "en")),
    ],
)
def test_a_clause_in_another_script_is_a_segment(text: str, languages: tuple[str, ...]) -> None:
    assert tuple(segment.language for segment in report(text, ("ru", "en", "ar")).segments) == languages


def test_text_without_letters_has_no_language() -> None:
    assert report("$x=1$, 17 + 4 = 21.", LABELS).language == UND
    assert not report("$x=1$", LABELS).strict("ru")


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(ValueError, match="xx"):
        report("text", ("ru", "xx"))


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_reported_within_its_bounds(text: str) -> None:
    found = report(text, LABELS)
    masked = mask(text)
    assert len(masked) == len(text)
    assert all(a in (b, " ") for a, b in zip(masked, text, strict=True))
    assert all(0 <= s.start < s.end <= len(text) for s in found.segments)
    assert all(a.end <= b.start for a, b in zip(found.segments, found.segments[1:], strict=False))
    assert not found.shares or abs(sum(share for _, share in found.shares) - 1) < 1e-9


@pytest.mark.parametrize(
    "unit", ["$x$ ", "```\n", "\\begin{a} ", "\\a{", "<b", "a.b", "да, ", "да. ", "Hi да 你好 ", "а", "«", "1. "]
)
def test_long_texts_take_linear_time(unit: str) -> None:
    start = time.perf_counter()
    report(unit * (200_000 // len(unit)), LABELS)
    assert time.perf_counter() - start < 10.0


@pytest.mark.parametrize("language", ["bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh"])
def test_real_questions_are_in_their_language(language: str) -> None:
    path = MGSM / f"mgsm_{language}.tsv"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    questions = [line.rsplit("\t", 1)[0] for line in path.read_text().splitlines()][:60]
    found = [report(question, LABELS) for question in questions]
    assert sum(one.language == language for one in found) == len(found)
    assert sum(one.strict(language) for one in found) >= 0.98 * len(found)
