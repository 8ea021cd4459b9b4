"""Families about measures: age, time, length, area, temperature."""

from random import Random

from pipelines.problems.words import (
    CENTIMETRE,
    DAY,
    DEGREE,
    HOUR,
    METRE,
    MINUTE,
    PEOPLE,
    SQUARE_METRE,
    WEEK,
    YEAR,
    Story,
)

_RELATIVES = (
    ("брат", "брату", "brother", range(2, 10)),
    ("сестра", "сестре", "sister", range(2, 10)),
    ("тётя", "тёте", "aunt", range(15, 30)),
    ("мама", "маме", "mother", range(22, 33)),
    ("папа", "папе", "father", range(23, 36)),
)


def ages(rng: Random) -> Story:
    """The age of an older relative in some years."""
    who, (relative, to, en, gap) = rng.choice(PEOPLE), rng.choice(_RELATIVES)
    age, older, later = rng.randint(6, 14), rng.choice(gap), rng.randint(2, 10)
    return Story(
        age + older + later,
        [
            (
                f"{who.dative} {YEAR.ru(age)}, а {who.ego} {relative} старше на {YEAR.ru(older)}. "
                f"Сколько лет будет {to} через {YEAR.ru(later)}?",
                f"{who.en} is {YEAR.en(age)} old, and {who.his} {en} is {YEAR.en(older)} older. "
                f"How old will the {en} be in {YEAR.en(later)}?",
            ),
            (
                f"Сейчас {who.dative} {YEAR.ru(age)}. {who.ego.capitalize()} {relative} на {YEAR.ru(older)} старше. "
                f"Сколько лет исполнится {to} через {YEAR.ru(later)}?",
                f"{who.en} is {YEAR.en(age)} old now. {who.his.capitalize()} {en} is {YEAR.en(older)} older. "
                f"How old will the {en} turn in {YEAR.en(later)}?",
            ),
        ],
    )


_GROUNDS = (
    ("прямоугольного участка", "участок", "plot"),
    ("прямоугольного сада", "сад", "garden"),
    ("прямоугольного огорода", "огород", "vegetable garden"),
    ("прямоугольного двора", "двор", "yard"),
    ("прямоугольной площадки", "площадку", "playground"),
    ("прямоугольного катка", "каток", "skating rink"),
)


def perimeter(rng: Random) -> Story:
    """The fence around a rectangle whose width is so much less than its length."""
    of, around, en = rng.choice(_GROUNDS)
    length = rng.randint(10, 40)
    less = rng.randint(2, length // 2)
    return Story(
        4 * length - 2 * less,
        [
            (
                f"Длина {of} — {METRE.ru(length)}, а ширина на {METRE.ru(less)} меньше. "
                f"Сколько метров забора нужно, чтобы обнести {around} со всех сторон?",
                f"The length of a rectangular {en} is {METRE.en(length)}, and the width is {METRE.en(less)} less. "
                f"How many metres of fence are needed to enclose the {en}?",
            ),
            (
                f"Длина {of} — {METRE.ru(length)}, ширина на {METRE.ru(less)} меньше длины. "
                f"Чему равен периметр {of} в метрах?",
                f"The length of a rectangular {en} is {METRE.en(length)}, and its width is {METRE.en(less)} less "
                f"than the length. What is the perimeter of the {en} in metres?",
            ),
        ],
    )


_SURFACES = (  # the whole, what covers a part of it, and plausible sizes of each
    ("прямоугольного зала", "ширина", "Ковёр", "hall", "width", "A carpet", range(9, 15), range(5, 9), range(6, 21)),
    ("прямоугольной стены", "высота", "Окно", "wall", "height", "A window", range(5, 13), range(3, 5), range(2, 7)),
    ("прямоугольного участка", "ширина", "Дом", "plot", "width", "A house", range(12, 18), range(8, 12), range(40, 81)),
    (
        "прямоугольного двора",
        "ширина",
        "Клумба",
        "yard",
        "width",
        "A flower bed",
        range(10, 16),
        range(6, 11),
        range(4, 16),
    ),
    ("прямоугольного сада", "ширина", "Пруд", "garden", "width", "A pond", range(12, 18), range(8, 12), range(10, 31)),
)


def area(rng: Random) -> Story:
    """What is left of a rectangle's area when something takes up a part."""
    of, breadth, cover, en, breadth_en, cover_en, lengths, breadths, covers = rng.choice(_SURFACES)
    length, wide, covered = rng.choice(lengths), rng.choice(breadths), rng.choice(covers)
    return Story(
        length * wide - covered,
        [
            (
                f"Длина {of} — {METRE.ru(length)}, {breadth} — {METRE.ru(wide)}. {cover} занимает "
                f"{SQUARE_METRE.ru_acc(covered)}. Чему равна площадь оставшейся части в квадратных метрах?",
                f"The length of a rectangular {en} is {METRE.en(length)}, its {breadth_en} is {METRE.en(wide)}. "
                f"{cover_en} takes up {SQUARE_METRE.en(covered)}. What is the area of the rest in square metres?",
            ),
            (
                f"На плане указаны размеры {of}: длина {METRE.ru(length)}, {breadth} {METRE.ru(wide)}. {cover} "
                f"занимает {SQUARE_METRE.ru_acc(covered)}. Сколько квадратных метров остаётся на всё остальное?",
                f"A plan gives the size of a rectangular {en}: length {METRE.en(length)}, {breadth_en} "
                f"{METRE.en(wide)}. {cover_en} takes up {SQUARE_METRE.en(covered)}. "
                f"How many square metres are left for the rest?",
            ),
        ],
    )


_LATER = (
    ("читал", "", "read"),
    ("рисовал", "", "drew"),
    ("играл", " на пианино", "played the piano"),
    ("убирал", " в комнате", "tidied the room"),
)


def minutes(rng: Random) -> Story:
    """Hours and minutes, and some minutes more."""
    who, (did, what, did_en) = rng.choice(PEOPLE), rng.choice(_LATER)
    hours, rest, then = rng.randint(1, 2), rng.randrange(5, 60, 5), rng.randrange(10, 51, 5)
    ru, en = f"{HOUR.ru_acc(hours)} {MINUTE.ru_acc(rest)}", f"{HOUR.en(hours)} {MINUTE.en(rest)}"
    return Story(
        60 * hours + rest + then,
        [
            (
                f"{who} делал{who.a} уроки {ru}, а потом ещё {MINUTE.ru_acc(then)} "
                f"{did}{who.a}{what}. Сколько всего минут {who.on} был{who.a} занят{who.a}?",
                f"{who.en} did homework for {en} and then {did_en} for another {MINUTE.en(then)}. "
                f"How many minutes was {who.he} busy in all?",
            ),
            (
                f"{who} ехал{who.a} на поезде {ru}, а потом {MINUTE.ru_acc(then)} на автобусе. "
                f"Сколько минут заняла вся дорога?",
                f"{who.en} went by train for {en} and then by bus for {MINUTE.en(then)}. "
                f"How many minutes did the whole journey take?",
            ),
        ],
    )


_ROLLS = (
    ("лента", "ленты", "ribbon"),
    ("верёвка", "верёвки", "rope"),
    ("проволока", "проволоки", "wire"),
    ("тесьма", "тесьмы", "braid"),
    ("бечёвка", "бечёвки", "string"),
)


def ribbon(rng: Random) -> Story:
    """Metres and centimetres, less what is cut off."""
    who, (roll, of, roll_en) = rng.choice(PEOPLE), rng.choice(_ROLLS)
    metres, rest, cut = rng.randint(1, 2), rng.randrange(5, 100, 5), rng.randrange(15, 95, 5)
    ru, en = f"{METRE.ru(metres)} {CENTIMETRE.ru(rest)}", f"{METRE.en(metres)} {CENTIMETRE.en(rest)}"
    return Story(
        100 * metres + rest - cut,
        [
            (
                f"У {who.genitive} была {roll} длиной {ru}. {who} отрезал{who.a} от неё {CENTIMETRE.ru(cut)}. "
                f"Сколько сантиметров {of} осталось?",
                f"{who.en} had a {roll_en} {en} long. {who.en} cut {CENTIMETRE.en(cut)} off it. "
                f"How many centimetres of the {roll_en} were left?",
            ),
            (
                f"Длина {of} — {ru}. {who} отрезал{who.a} кусок длиной {CENTIMETRE.ru(cut)}. "
                f"Сколько сантиметров теперь составляет длина {of}?",
                f"The length of a {roll_en} is {en}. {who.en} cut off a piece {CENTIMETRE.en(cut)} long. "
                f"How many centimetres long is the {roll_en} now?",
            ),
        ],
    )


_RETREATS = (
    ("в лагере", "at a camp"),
    ("на даче", "at a summer house"),
    ("в деревне", "in a village"),
    ("у моря", "by the sea"),
    ("в горах", "in the mountains"),
)


def weeks(rng: Random) -> Story:
    """Weeks in days, without some of the days."""
    who, (place, place_en) = rng.choice(PEOPLE), rng.choice(_RETREATS)
    count, wet = rng.randint(2, 6), rng.randint(3, 12)
    return Story(
        7 * count - wet,
        [
            (
                f"{who} отдыхал{who.a} {place} {WEEK.ru_acc(count)}. Из этого времени {DAY.ru(wet)} шёл дождь. "
                f"Сколько дней дождя не было?",
                f"{who.en} spent {WEEK.en(count)} {place_en}. It rained on {wet} of the days. "
                f"On how many days was there no rain?",
            ),
            (
                f"Летом {who} жил{who.a} {place} {WEEK.ru_acc(count)}. В первые {DAY.ru(wet)} было холодно, "
                f"а потом до самого конца светило солнце. Сколько дней светило солнце?",
                f"In summer {who.en} spent {WEEK.en(count)} {place_en}. For the first {DAY.en(wet)} it was cold, "
                f"and then the sun shone until the very end. For how many days did the sun shine?",
            ),
        ],
    )


_CITIES = (
    ("Москве", "Moscow"),
    ("Казани", "Kazan"),
    ("Омске", "Omsk"),
    ("Твери", "Tver"),
    ("Самаре", "Samara"),
    ("Перми", "Perm"),
    ("Томске", "Tomsk"),
    ("Рязани", "Ryazan"),
)


def temperature(rng: Random) -> Story:
    """A temperature that rises and falls, from below zero or above it."""
    city, city_en = rng.choice(_CITIES)
    start = rng.choice((-1, 1)) * rng.randint(2, 7)
    peak = max(start, 0) + rng.randint(3, 10)
    fall = rng.randint(2, min(peak - 1, 12))
    side, side_en = ("мороза", "below zero") if start < 0 else ("тепла", "above zero")
    ru, rise = f"{DEGREE.ru(abs(start))} {side}", DEGREE.ru(peak - start)
    en, rise_en = f"{DEGREE.en(abs(start))} {side_en}", DEGREE.en(peak - start)
    return Story(
        peak - fall,
        [
            (
                f"Утром в {city} было {ru}. К полудню температура поднялась на {rise}, а к вечеру опустилась "
                f"на {DEGREE.ru(fall)}. Сколько градусов тепла было вечером?",
                f"In the morning it was {en} in {city_en}. By noon the temperature had risen by {rise_en}, and by the "
                f"evening it had fallen by {DEGREE.en(fall)}. How many degrees above zero was it in the evening?",
            ),
            (
                f"Ночью термометр в {city} показывал {ru}. Днём стало теплее на {rise}, а вечером похолодало "
                f"на {DEGREE.ru(fall)}. Сколько градусов тепла показывал термометр вечером?",
                f"At night a thermometer in {city_en} showed {en}. In the daytime it got warmer by {rise_en}, and in "
                f"the evening colder by {DEGREE.en(fall)}. How many degrees above zero did it show in the evening?",
            ),
        ],
    )


FAMILIES = (ages, perimeter, area, minutes, ribbon, weeks, temperature)
