"""Which language each part of a text is in.

`mask` blanks what belongs to no language (maths, code, links, numbers, identifiers); what is left is cut into
segments: sentences and lines, and inside them any run of a foreign script that is more than a name. Every segment is
scored for each label by langid's model, by the letters its alphabet has and has not, and by its commonest words; the
segments of one script then take the sequence of languages with the best total, where each change has a price. So a
short segment follows its neighbours, and a long one speaks for itself.

langid knows neither Hausa nor Uzbek nor Burmese: the first two are told by letters and words, the last by its script.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

UND = "und"
# fmt: off
LABELS: tuple[str, ...] = (  # the reference's 38 and their nearest relatives, ISO 639-1
    "am", "ar", "bn", "zh", "cs", "nl", "en", "fr", "de", "el", "ha", "he", "hi", "id", "it", "ja", "jv", "km", "ko",
    "lo", "ms", "mr", "fa", "pl", "pt", "ro", "ru", "es", "sw", "sv", "tl", "ta", "te", "th", "tr", "uk", "ur", "vi",
    "be", "bg", "sr", "mk", "kk", "uz", "ka", "hy", "az", "fi", "da", "no", "hu", "hr", "sk", "sl", "lt", "lv", "et",
    "is", "ga", "mt", "ca", "eu", "gl", "ne", "si", "my",
)
# fmt: on

FLOOR = 4  # letters a segment needs to be given a language; two in the scripts that write syllables or words
LANGID_WEIGHT = 0.2  # its features overlap, so its log-odds are several times too sure
WORD_WEIGHT = 5.0  # log-odds of a common word, shared among the labels that have it
LETTER_COST = 3.0  # log-odds against a label for each letter its alphabet has not
PRIOR = 3.0  # log-odds of the languages that models know best: they slip into these
SWITCH_COST = 8.0  # log-odds that a change of language must be worth
UNKNOWN_COST = 4.0  # log-odds against a label that langid does not know: its words must make up for it


def _table(text: str) -> dict[str, list[str]]:
    """`name: word word ...`, in as many lines as it takes."""
    table: dict[str, list[str]] = {}
    for word in text.split():
        if word.endswith(":"):
            table[word[:-1]] = []
        else:
            table[next(reversed(table))].append(word)
    return table


_MASK = re.compile(
    r"""
    (?=[`$\\<\d"«“„「『A-Za-z_])(?:                             # one look rules most letters out
      ```[\s\S]{0,8000}?```                                   # fenced code
    | `[^`\n]{1,400}`                                         # inline code
    | \$\$[\s\S]{1,2000}?\$\$ | \\\[[\s\S]{0,2000}?\\\] | \\\([\s\S]{0,2000}?\\\)
    | \\begin\{[^{}\n]*\}[\s\S]{0,4000}?\\end\{[^{}\n]*\}
    | (?<![\\$])\$(?!\s)[^$\n]{0,300}?(?<![\s\\])\$(?!\d)     # a dollar sum has a space or a digit there
    | \\[A-Za-z]+\*?(?:\{(?:[^{}]|\{(?:[^{}]|\{[^{}\n]*\})*\})*\})*
    | (?:https?://|www\.)[^\s<>]+ | [A-Za-z0-9_][\w.+-]{0,64}@[\w-]{1,64}\.[\w.]{2,64}
    | </?[A-Za-z][^<>\n]{0,80}>
    | \d[\d.,:/]{0,20}\s?(?:[кмсд]?м|кг|м?г|[мк]?л|км/ч|м/с|см|мм|км|ч|с|мин|руб|[kcmd]?m|k?g|m?g|m?l|km/h|m/s|h|s|min)
      (?:[²³]|\^\d)?(?![^\W\d_])                               # a number with its unit
    | (?<![\w.])[A-Za-z_][\w.]{0,60}(?:\(\)|\((?=[\w,\s]{0,40}\)))  # a call
    | \b(?:[A-Za-z]+[_\d]|[A-Za-z]*[a-z][A-Z])\w*             # snake_case, x1, camelCase
    | (?<![^\W\d_])[A-Za-z](?![^\W\d_])                       # a variable
    | (?<![A-Z][ ])\b[A-Z]{2,6}\b(?![ ][A-Z]{2})              # GCD
    | (?<=\s)["«“„「『][^"»”“」』\n]{1,80}["»”“」』](?=[\s.,;:!?)]) # a quotation inside a line
    | \d+)
    """,
    re.VERBOSE,
)
_VISIBLE = re.compile(r"[^\n]")
_SENTENCE = re.compile(r"(?:[^\n.!?…。！？؟۔।॥։።]+|[.!?…]+(?![\s.!?…]))+[.!?…。！？؟۔।॥։።]*")
_WORD = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0dff])+(?:['’ʻʼ][^\W\d_]+)*")  # letters and marks
_PLAIN_WORD = re.compile(r"(?<![^\W\d_])[a-zа-яёα-ωა-ჿ][^\W\d_]+")  # not capitalised, so no name

# fmt: off
_BLOCKS = _table(
    """
    latin: A-Z a-z À-ʯ Ḁ-ỿ Ａ-Ｚ ａ-ｚ greek: Ͱ-Ͽ ἀ-῿ cyrillic: Ѐ-ԯ armenian: Ա-֏ hebrew: א-ת
    arabic: ؠ-ي ٮ-ۓ ۺ-ۿ ݐ-ݿ ﭐ-﷿ ﹰ-ﻼ devanagari: ऀ-ॣ bengali: ঀ-ৣ tamil: ஂ-௣ telugu: ఀ-ౣ sinhala: ං-෴ thai: ก-๎
    lao: ກ-໎ burmese: က-ဿ georgian: Ⴀ-ჿ hangul: ᄀ-ᇿ ㄱ-ㆎ 가-힣 ethiopic: ሀ-ፚ khmer: ក-៓ cjk: 々-〇 ぁ-ヿ 㐀-䶿 一-鿿 ｦ-ﾟ
    """
)
_SCRIPTS = _table(
    """
    greek: el armenian: hy hebrew: he bengali: bn tamil: ta telugu: te sinhala: si thai: th lao: lo burmese: my
    georgian: ka hangul: ko ethiopic: am khmer: km cjk: zh ja arabic: ar fa ur ug ps devanagari: hi mr ne
    cyrillic: ru uk be bg sr mk kk ky mn
    """
)
_LARGEST = frozenset(("en", "ru", "ar", "hi"))  # one of each script
_ALONE = {"cjk": 2, "hangul": 2, "thai": 3, "lao": 3, "khmer": 3, "burmese": 3}  # letters that make a word or two
_BICAMERAL = ("latin", "cyrillic", "greek")  # here a foreign run of three plain words is more than a name
_ALPHABETS = _table(  # beside a-z; beside the letters that all Cyrillic, all Arabic alphabets share
    """
    en: id: ms: sw: ha: ɓɗƙƴ jv: éèê tl: ñ uz: ʻ nl: éëïèêöü fr: àâæçéèêëîïôœùûüÿ de: äöüß es: áéíóúüñ
    pt: áàâãçéêíóôõú it: àèéìíòóù ro: ăâîșțşţ
    vi: àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ tr: âçğıîöşûü az: çəğıöşü
    pl: ąćęłńóśźż cs: áčďéěíňóřšťúůýž sk: áäčďéíĺľňóôŕšťúýž hu: áéíóöőúüű fi: äöå sv: åäöé da: æøåé no: æøåéòô
    hr: čćđšž sl: čšž lt: ąčęėįšųūž lv: āčēģīķļņšūž et: äõöüšž is: áðéíóúýþæö ga: áéíóú mt: ċġħżàèìòù
    ca: àçéèíïóòúü eu: ñç gl: áéíóúñïü ru: ёйщъыьэюя uk: єіїґйщьюя be: ёіўйыьэюя bg: йщъьюя sr: ђјљњћџ
    mk: ѓѕјљњќџ kk: әғқңөұүһіёйщъыьэюя ar: ةأإىيكؤئآء fa: پچژگکیأؤئآء ur: پچژگکیٹڈڑںےہھۓأؤئآء
    mr: ळ zh: 你她了的是们这为个时来说对会还么没过问题设则从于给两计总数应该选项发现请让吗它您哪
    ja: ぁ-ヿ円歳込働価値個毎総残枚桁払売買
    """
)
_WORDS = _table(
    """
    en: the of and to is in that it we so for are with he she his her each how many let be which this has have
        if then from now total at not what there on wait check answer by per total because therefore would was
        they need first
    fr: le la les de des et est un une que qui dans pour il elle en sur par avec combien donc au aux du ce cette
        pas plus nous si sont chaque réponse alors calculons se son sa ses
    de: der die das und ist ein eine zu von mit den dem des wie viele für auf nicht sie er es wir also im hat
        sind jeder jede dann wenn sich auch aber pro antwort rechnen daher an aus bei
    es: el la los las de y es un una que en por para con cuántos cuántas cuánto se su del al entonces cada hay
        más no si lo son respuesta tiene como ahora calcular
    pt: o a os as de e é um uma que em por para com quantos quantas não se do da no na dos das ao cada então são
        mais tem você resposta isso seu sua quanto
    it: il lo la i gli le di e è un una che in per con quanti quante non si del della ogni quindi sono ha al più
        se risposta questo allora nel dei
    nl: de het een en van is dat in op te voor met hoeveel niet zijn ze hij per dus er elke als aan we ook heeft
        naar bij antwoord dan om
    ro: și si de la în un o este care cu pe din nu mai câte câți are sunt pentru că fiecare deci ce se al
        răspuns dacă
    ca: el la els les de i és un una que en per amb quants quantes no del cada té són més doncs si ens resposta
        llavors hi
    gl: o a os as de e é un unha que en por para con cantos cantas non do da no na cada ten son máis entón se
        resposta ao
    eu: eta da bat zenbat du dira ere ez hau hori izan behar beraz dugu bakoitzak dela ditu dute erantzuna zuen
        baina
    id: yang dan di untuk dengan adalah ini itu berapa dari ke tidak pada akan setiap dia jika maka kita karena
        bisa jadi jumlah apakah mereka jawaban uang
    ms: yang dan di untuk dengan adalah ini itu berapa dari ke tidak pada akan setiap dia jika maka kita kerana
        boleh jadi jumlah mereka jawapan wang ialah telah bagi iaitu
    jv: sing lan ing kanggo karo iku iki pira saka ora bakal saben dheweke yen dadi ana kang wis kita amarga
        jumlah jawaban uga dhuwit piro
    tl: ang ng sa mga na at ay ilan si niya siya kung para may isang hindi ito bawat ni nang ba kaya lahat sagot
        tayo
    sw: na ya wa kwa ni katika la za kila ana je ngapi ili cha kama hii yake wake kuwa alikuwa hivyo jumla jibu
        si siku sasa ambayo
    ha: da a na ya ta ba ne ce su za wannan cikin nawa kowane kuma shi ita sun daga don idan yana tana amsa zuwa
        ko mu yake haka duka saboda akwai
    uz: va bu bilan uchun bir har nechta necha ham edi dan ning esa kerak bo'lsa javob shunday keyin agar jami
        lekin emas qancha bo'ladi ularning
    tr: ve bir bu için ile kaç ne her de da olarak toplam değil ise o daha çok sonra kadar var olan eğer cevap
        şimdi önce
    az: və bir bu üçün ilə neçə nə hər də da olaraq cəmi deyil isə o daha çox sonra qədər var olan əgər cavab
        indi
    vi: và là của có bao nhiêu một cho mỗi được không trong với vậy các ta số người nếu này thì đã để đó
    pl: i w na z do jest się nie to że ile jak po o za każdy dla są co jeśli więc od czy ma tylko odpowiedź
        teraz
    cs: a v na z do je se ne to že kolik jak po o za každý pro jsou co pokud tedy od má který celkem odpověď ale
        když jeho takže nebo si
    sk: a v na z do je sa nie to že koľko ako po o za každý pre sú čo ak teda od má ktorý spolu odpoveď ale keď
        jeho takže alebo si
    hr: i u na s je se ne to da koliko kako po o za svaki su što ako dakle od ima koji ukupno odgovor ali kada
        sve nije
    sl: in v na z je se ne to da koliko kako po o za vsak so kaj če torej od ima ki skupaj odgovor ali ko vse ni
    hu: a az és egy hogy nem is van mennyi hány ez minden ha akkor meg tehát de összesen volt válasz csak ki
    fi: ja on ei se että kuinka monta paljon hän joka jos niin kun mutta ovat siis tämä yhteensä vastaus myös
        sen
    et: ja on ei see et kui mitu palju ta iga siis aga kes oli seega selle kokku vastus ka tema nii
    sv: och att det är en ett som i på för av med hur många inte har den till de varje om så vi från svar eller
        också hon han per
    da: og at det er en et som i på for af med hvor mange ikke har den til de hver hvis så vi fra svar eller
        også hun han per meget nu
    no: og at det er en et som i på for av med hvor mange ikke har den til de hver hvis så vi fra svar eller
        også hun han per mye nå
    is: og að er í á sem hversu margir mörg ekki það af til með hver hún hann við ef þá fyrir svar svo en um
    lt: ir yra kad kiek į iš su ne jei tai per už kiekvienas bet jis ji todėl atsakymas viso ar buvo dabar
    lv: un ir ka cik no uz ar ne ja tad par katrs bet viņš viņa tātad atbilde kopā vai bija tagad tas
    ga: an na agus is ar tá i a le sé sí ní go cé mhéad gach do bhí má ag seo sin mar freagra don
    mt: il u ta li hu hija fi għal ma kull jekk kemm hemm minn din dan huwa tal biex mhux tweġiba
    ru: и в не на что это как так да нет если то значит итак по с у он она мы из для за его её сколько каждый
        всего ответ проверим верно нужно чтобы был было тогда теперь или где хорошо получаем
    uk: і в не на що це як так й ні якщо то значить отже по з у він вона ми із для за його її скільки кожен
        всього відповідь перевіримо правильно потрібно щоб був було тоді тепер або де добре та є
    be: і ў не на што гэта як так ды калі то значыць такім па з у ён яна мы для за яго яе колькі кожны усяго
        адказ трэба каб быў было тады цяпер або дзе добра ці
    bg: и в не на че това как така да ако то значи по с у той тя ние от за го колко всеки общо отговор проверим
        вярно трябва беше тогава сега или къде добре са се ще един
    sr: и у не на да је то како ако онда дакле по са он она ми из за његов колико сваки укупно одговор треба био
        сада или где добро су се што
    mk: и во не на дека е тоа како ако тогаш значи по со тој таа ние од за колку секој вкупно одговор треба беше
        сега или каде добро се што да
    kk: және мен бұл бір үшін қанша неше егер онда әр жауап керек болса да де емес болды барлығы осы ол
    ar: في من على أن هو هي كم إلى ما كل هذا التي لا مع كان إذا عدد لكل الإجابة لذلك ثم
    fa: در از به که این است را با چند هر برای آن می و او اگر تعداد پاسخ پس شود دارد بنابراین
    ur: میں کے کی کا ہے سے اور کو کتنے ہر یہ وہ نے پر ایک اگر ہیں جواب کتنی تو تھا لیے
    hi: है में के की का और से को कितने हर यह वह ने पर एक यदि हैं उत्तर कितना तो था लिए इसलिए अब प्रत्येक
    mr: आहे मध्ये आणि किती ते हे त्याने एक तर आहेत उत्तर प्रत्येक या त्या तिने जर म्हणून होते साठी ला आता नाही
    ne: छ मा र को का कति यो त्यो ले एक यदि छन् उत्तर प्रत्येक हो भने लागि अब थियो उनले गर्छ हुन्छ छैन
    """
)
# fmt: on
_NAMES = ("", *_BLOCKS)

_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Ints = np.ndarray[Any, np.dtype[np.intp]]
_Codes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Segment:
    """`text[start:end]` and its language; "und" below the floor."""

    start: int
    end: int
    language: str


@dataclass(frozen=True, slots=True)
class Report:
    """The languages of a text: `language` has most letters, `shares` (summing to 1) come largest first."""

    language: str
    shares: tuple[tuple[str, float], ...]
    segments: tuple[Segment, ...]

    def share(self, language: str) -> float:
        """Share (0 to 1) of the determined letters that are in `language`."""
        return dict(self.shares).get(language, 0.0)

    def strict(self, language: str) -> bool:
        """Whether every determined segment is in `language`, and at least one is."""
        return [name for name, _ in self.shares] == [language]

    @property
    def switches(self) -> tuple[int, ...]:
        """Offsets at which a determined segment differs in language from the one before it."""
        determined = [segment for segment in self.segments if segment.language != UND]
        return tuple(b.start for a, b in pairwise(determined) if a.language != b.language)


def mask(text: str) -> str:
    """The text with all that is in no language turned to spaces; same length, same line breaks."""
    return _MASK.sub(lambda match: _VISIBLE.sub(" ", match.group()), text)


def report(text: str, labels: Collection[str]) -> Report:
    """Name the language of each segment, out of `labels` (ISO 639-1 codes of `LABELS`; ValueError for others).

    A segment in a script that no label writes is named out of all of `LABELS`, so that it never passes as one's own.
    """
    pieces, main = _pieces(mask(text))
    names: list[str] = [UND] * len(pieces)
    for script in {piece.script for piece in pieces}:
        candidates = _candidates(tuple(sorted(labels)), script)
        bare = script in _BICAMERAL and script != main  # names stay in their script in any text
        group = [i for i, piece in enumerate(pieces) if piece.script == script and piece.letters >= _floor(script)]
        for i, name in zip(group, _decide([pieces[i].text for i in group], script, candidates, bare), strict=True):
            names[i] = name
    weights: dict[str, int] = {}
    for piece, name in zip(pieces, names, strict=True):
        if name != UND:
            weights[name] = weights.get(name, 0) + piece.letters
    total = sum(weights.values())
    shares = sorted(((name, weight / total) for name, weight in weights.items()), key=lambda item: (-item[1], item[0]))
    segments = tuple(Segment(piece.start, piece.end, name) for piece, name in zip(pieces, names, strict=True))
    return Report(shares[0][0] if shares else UND, tuple(shares), segments)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A segment before it has a language; `text` holds the letters of its own script only."""

    start: int
    end: int
    script: str
    letters: int
    text: str


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What tells the labels of one script apart; `rows` has one column per label, the rest leads to its rows."""

    columns: tuple[tuple[int, ...], ...]  # langid's classes of each label
    prior: _Floats
    rows: _Floats
    letters: dict[str, int]
    words: dict[str, int]
    telling: re.Pattern[str]  # the letters that not all labels have


def _pieces(masked: str) -> tuple[list[_Piece], str]:
    """Cut a masked text into segments, each in one script, and name the script of most letters."""
    points = np.frombuffer(masked.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = _script_table()[np.minimum(points, 0xFFFF)]
    counts = np.bincount(codes, minlength=len(_NAMES))
    main = int(np.argmax(counts[1:])) + 1
    pieces: list[_Piece] = []
    for sentence in _SENTENCE.finditer(masked):
        start = sentence.start()
        inside = codes[start : sentence.end()]
        places = np.flatnonzero(inside)
        if not len(places):
            continue
        scripts = inside[places]
        if (scripts == scripts[0]).all():
            first, last = start + int(places[0]), start + int(places[-1]) + 1
            pieces.append(_Piece(first, last, _NAMES[int(scripts[0])], len(places), masked[first:last]))
        else:
            pieces += _runs(masked, places + start, scripts, main)
    return pieces, _NAMES[main]


def _runs(masked: str, places: _Ints, scripts: _Codes, main: int) -> list[_Piece]:
    """Cut a sentence of several scripts where a run of a foreign one is more than a name or a word of code."""
    if main not in scripts:
        main = int(np.bincount(scripts).argmax())
    edges = [0, *(np.flatnonzero(np.diff(scripts)) + 1).tolist(), len(scripts)]
    parts: list[tuple[int, list[tuple[int, int, int]]]] = []  # script and runs: (start, end, letters)
    for a, b in pairwise(edges):
        script, run = int(scripts[a]), (int(places[a]), int(places[b - 1]) + 1, b - a)
        if script == main or _speaks(masked[run[0] : run[1]], _NAMES[script], b - a):
            if not parts or parts[-1][0] != script:
                parts.append((script, []))
            parts[-1][1].append(run)
    return [
        _Piece(
            runs[0][0],
            runs[-1][1],
            _NAMES[script],
            sum(letters for _, _, letters in runs),
            " ".join(masked[start:end] for start, end, _ in runs),
        )
        for script, runs in parts
    ]


def _speaks(run: str, script: str, letters: int) -> bool:
    """Whether a run of a foreign script inside a sentence is speech of its own."""
    if script in _BICAMERAL:
        return len(_PLAIN_WORD.findall(run)) >= 3
    return letters >= _ALONE.get(script, 6)


def _decide(texts: Sequence[str], script: str, labels: tuple[str, ...], names: bool) -> list[str]:
    """The likeliest sequence of languages for consecutive segments of one script; "und" if all could be `names`."""
    if not texts or (len(labels) == 1 and not names):
        return [labels[0]] * len(texts)
    evidence = _evidence(script, labels)
    scores = _langid_scores(texts, evidence.columns) * LANGID_WEIGHT + evidence.prior
    spoken = not names
    for row, text in zip(scores, texts, strict=True):
        lower = text.lower()
        words = [evidence.words[word] for word in _WORD.findall(lower) if word in evidence.words]
        letters = [evidence.letters[letter] for letter in evidence.telling.findall(lower)]
        row += evidence.rows[words + letters].sum(0)
        spoken = spoken or bool(words) or bool(_PLAIN_WORD.search(text))
    if not spoken:
        return [UND] * len(texts)  # capitalised and unknown: names
    return [labels[i] for i in _path(scores)]


def _path(scores: _Floats) -> list[int]:
    """The columns, one per row, with the largest sum of scores less `SWITCH_COST` for each change (Viterbi)."""
    best: _Floats = scores[0]
    origins: list[_Ints] = []
    for row in scores[1:]:
        top = int(np.argmax(best))
        floor = float(best[top]) - SWITCH_COST
        origins.append(np.where(best < floor, top, np.arange(len(best))))
        best = np.maximum(best, floor) + row
    path = [int(np.argmax(best))]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]


def _langid_scores(texts: Sequence[str], columns: tuple[tuple[int, ...], ...]) -> _Floats:
    """langid's log-likelihoods, one row per text and one column per label; the best of a label's classes counts.

    Its automaton knows features of at most four bytes, so the last four give its state, at all places at once; the
    byte 0xFF, which no UTF-8 text holds, sends it back to its root between the texts.
    """
    model = _model()
    rows = [" ".join(text.split()).encode("utf-8", "replace") for text in texts]
    data = np.frombuffer(b"\xff\xff\xff\xff" + b"\xff".join(rows) + b"\xff", np.uint8)
    states = np.zeros(len(data) - 4, np.intp)
    for back in (3, 2, 1, 0):
        states = model.moves[states * 256 + data[4 - back : len(data) - back]].astype(np.intp)
    used = sorted({column for group in columns for column in group})
    weights = _columns(tuple(used))
    totals = np.empty((len(rows), len(used)))
    begin = 0
    for i, row in enumerate(rows):
        inside = states[begin : begin + len(row)]
        totals[i] = weights[inside[model.emits[inside]]].sum(0)
        begin += len(row) + 1
    known = [[used.index(column) for column in group] for group in columns]
    top = totals.max(1, initial=-np.inf) if used else np.zeros(len(rows))
    return np.stack(
        [totals[:, group].max(1) if group else top - UNKNOWN_COST / LANGID_WEIGHT for group in known], axis=1
    )


@dataclass(frozen=True, slots=True)
class _Model:
    classes: tuple[str, ...]
    moves: np.ndarray[Any, np.dtype[np.uint16]]  # state * 256 + byte -> state
    emits: np.ndarray[Any, np.dtype[np.bool_]]  # per state: whether a feature ends there
    weights: np.ndarray[Any, np.dtype[np.float32]]  # per state and class: log-likelihood of the features ending there


@cache
def _model() -> _Model:
    import langid.langid  # pyright: ignore[reportMissingTypeStubs] # 2.5 MB of source: not before it is needed

    library: Any = langid.langid
    source = library.LanguageIdentifier.from_modelstring(library.model)
    moves = np.array(source.tk_nextmove, np.uint16)
    weights = np.zeros((len(moves) // 256, len(source.nb_classes)), np.float32)
    for state, features in source.tk_output.items():
        for feature in features:
            weights[state] += source.nb_ptc[feature]
    return _Model(tuple(map(str, source.nb_classes)), moves, np.any(weights, axis=1, keepdims=True)[:, 0], weights)


@cache
def _columns(columns: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ascontiguousarray(_model().weights[:, list(columns)])


@cache
def _evidence(script: str, labels: tuple[str, ...]) -> _Evidence:
    classes = _model().classes
    variants = {"no": ("no", "nb", "nn")}
    columns = tuple(
        tuple(classes.index(name) for name in variants.get(label, (label,)) if name in classes) for label in labels
    )
    alphabets = [_alphabet(label) for label in labels]
    every = frozenset[str]().union(*(_alphabet(label) for label in LABELS if _script(label) == script))
    common = [frozenset(_WORDS.get(label, ())) for label in labels]
    rows: list[_Floats] = []
    letters: dict[str, int] = {}
    for letter in sorted(every):
        letters[letter] = len(rows)
        rows.append(np.array([0.0 if letter in alphabet else -LETTER_COST for alphabet in alphabets]))
    words: dict[str, int] = {}
    for word in sorted(frozenset[str]().union(*common)):
        words[word] = len(rows)
        has = np.array([word in group for group in common], np.float64)
        rows.append(has * (WORD_WEIGHT / np.sqrt(has.sum())))
    telling = re.compile(f"[{''.join(letters)}]" if letters else "(?!)")
    prior = np.array([PRIOR if label in _LARGEST else 0.0 for label in labels])
    return _Evidence(columns, prior, np.array(rows).reshape(-1, len(labels)), letters, words, telling)


def _alphabet(label: str) -> frozenset[str]:
    """The letters of a label that not every label of its script has."""
    letters = "".join(_ALPHABETS.get(label, ()))
    spans = re.findall("(.)-(.)", letters)
    ranges = (chr(point) for first, last in spans for point in range(ord(first), ord(last) + 1))
    return frozenset(re.sub(".-.", "", letters)).union(ranges)


@cache
def _candidates(labels: tuple[str, ...], script: str) -> tuple[str, ...]:
    unknown = sorted(set(labels) - set(LABELS))
    if unknown:
        raise ValueError(f"unknown language labels: {' '.join(unknown)}; known are: {' '.join(sorted(LABELS))}")
    return tuple(name for name in labels if _script(name) == script) or tuple(
        name for name in LABELS if _script(name) == script
    )


@cache
def _script(label: str) -> str:
    return next((script for script, labels in _SCRIPTS.items() if label in labels), "latin")


def _floor(script: str) -> int:
    return _ALONE.get(script, FLOOR)


@cache
def _script_table() -> _Codes:
    """The index in `_NAMES` of the script of each character of the basic plane; 0 for what is no letter."""
    table = np.zeros(1 << 16, np.uint8)
    for code, ranges in enumerate(_BLOCKS.values(), start=1):
        for first, last in (span.split("-") for span in ranges):
            for point in range(ord(first), ord(last) + 1):
                if unicodedata.category(chr(point))[0] in "LM":
                    table[point] = code
    return table
