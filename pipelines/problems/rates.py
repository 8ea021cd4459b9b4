"""Families about what is covered, made or read in some time."""

from random import Random

from pipelines.problems.words import DAY, HOUR, PAGE, PEOPLE, Story, nouns

_TRAVELLERS = (
    ("турист", "шёл", "прошёл", "hiker", "walked", range(3, 7)),
    ("лыжник", "бежал", "пробежал", "skier", "went", range(8, 15)),
    ("велосипедист", "ехал", "проехал", "cyclist", "rode", range(10, 19)),
    ("катер", "плыл", "проплыл", "motorboat", "sailed", range(15, 31)),
    ("автобус", "ехал", "проехал", "bus", "travelled", range(30, 51, 5)),
)


def distance(rng: Random) -> Story:
    """A journey in two legs, each with its time and speed."""
    who, went, covered, en, went_en, speeds = rng.choice(_TRAVELLERS)
    fast, slow = rng.sample(speeds, 2)
    first, second = rng.randint(2, 3), rng.randint(1, 3)
    return Story(
        first * fast + second * slow,
        [
            (
                f"Сначала {who} {went} {HOUR.ru(first)} со скоростью {fast} км/ч, а потом ещё {HOUR.ru(second)} "
                f"со скоростью {slow} км/ч. Сколько километров {covered} {who}?",
                f"First a {en} {went_en} for {HOUR.en(first)} at {fast} km/h, and then for another {HOUR.en(second)} "
                f"at {slow} km/h. How many kilometres did the {en} cover?",
            ),
            (
                f"Первую часть пути {who} {covered} за {HOUR.ru(first)} со скоростью {fast} км/ч, а вторую — "
                f"за {HOUR.ru(second)} со скоростью {slow} км/ч. Сколько километров составляет весь путь?",
                f"A {en} covered the first part of the way in {HOUR.en(first)} at {fast} km/h, and the second "
                f"in {HOUR.en(second)} at {slow} km/h. How many kilometres long is the whole way?",
            ),
        ],
    )


_MEETINGS = (
    ("сёл", "сёлами", "вышли два пешехода", "villages", "pedestrians", range(3, 7)),
    ("посёлков", "посёлками", "выехали два велосипедиста", "settlements", "cyclists", range(10, 19)),
    ("пристаней", "пристанями", "отправились два катера", "piers", "motorboats", range(15, 31)),
    ("городов", "городами", "выехали два автобуса", "towns", "buses", range(30, 51, 5)),
)


def meeting(rng: Random) -> Story:
    """Two start towards each other; how far apart were they?"""
    places, between, left, places_en, who_en, speeds = rng.choice(_MEETINGS)
    (one, other), hours = rng.sample(speeds, 2), rng.randint(2, 3)
    return Story(
        (one + other) * hours,
        [
            (
                f"Из двух {places} одновременно навстречу друг другу {left}. Скорость одного {one} км/ч, а другого "
                f"{other} км/ч. Они встретились через {HOUR.ru(hours)}. Сколько километров между {between}?",
                f"Two {who_en} set out from two {places_en} towards each other at the same time. The speed of one is "
                f"{one} km/h, of the other {other} km/h. They met in {HOUR.en(hours)}. "
                f"How many kilometres are there between the {places_en}?",
            ),
            (
                f"Навстречу друг другу из двух {places} одновременно {left}: один со скоростью {one} км/ч, другой "
                f"со скоростью {other} км/ч. Встреча произошла через {HOUR.ru(hours)}. "
                f"Чему равно расстояние между {between} в километрах?",
                f"Two {who_en} set out towards each other from two {places_en} at the same time: one at {one} km/h, "
                f"the other at {other} km/h. They met in {HOUR.en(hours)}. "
                f"What is the distance between the {places_en} in kilometres?",
            ),
        ],
    )


_JOBS = tuple(
    zip(
        nouns("""
            конверт   конверта  конвертов  конверт   m  envelope   envelopes
            снежинка  снежинки  снежинок   снежинку  f  snowflake  snowflakes
            пельмень  пельменя  пельменей  пельмень  m  dumpling   dumplings
            задача    задачи    задач      задачу    f  problem    problems
            закладка  закладки  закладок   закладку  f  bookmark   bookmarks
        """),
        (
            ("клеит", "склеят", "склеить", "glues", "glue"),
            ("вырезает", "вырежут", "вырезать", "cuts out", "cut out"),
            ("лепит", "слепят", "слепить", "makes", "make"),
            ("решает", "решат", "решить", "solves", "solve"),
            ("делает", "сделают", "сделать", "makes", "make"),
        ),
        strict=True,
    )
)


def work(rng: Random) -> Story:
    """Two work together; how long do they take?"""
    (who, friend), (thing, (does, will_do, to_do, does_en, do_en)) = rng.sample(PEOPLE, 2), rng.choice(_JOBS)
    (one, other), hours = rng.sample(range(4, 13), 2), rng.randint(2, 8)
    total = (one + other) * hours
    return Story(
        hours,
        [
            (
                f"{who} {does} за час {thing.ru_acc(one)}, а {friend} — {thing.ru_acc(other)}. "
                f"За сколько часов они вместе {will_do} {thing.ru_acc(total)}?",
                f"{who.en} {does_en} {thing.en(one)} an hour, and {friend.en} {thing.en(other)}. "
                f"In how many hours will they {do_en} {thing.en(total)} together?",
            ),
            (
                f"Каждый час {who} {does} {thing.ru_acc(one)}, а {friend} — {thing.ru_acc(other)}. "
                f"Вместе им нужно {to_do} {thing.ru_acc(total)}. Сколько часов на это уйдёт?",
                f"Every hour {who.en} {does_en} {thing.en(one)} and {friend.en} {does_en} {thing.en(other)}. "
                f"Together they need to {do_en} {thing.en(total)}. How many hours will it take?",
            ),
        ],
    )


def pages(rng: Random) -> Story:
    """What is left of a book after some days of reading."""
    who, days, daily, left = rng.choice(PEOPLE), rng.randint(2, 7), rng.randint(5, 20), rng.randint(10, 80)
    total = days * daily + left
    return Story(
        left,
        [
            (
                f"В книге {PAGE.ru(total)}. {who} читал{who.a} её {DAY.ru(days)}, по {PAGE.ru(daily)} в день. "
                f"Сколько страниц осталось прочитать?",
                f"There are {PAGE.en(total)} in a book. {who.en} read it for {DAY.en(days)}, {PAGE.en(daily)} a day. "
                f"How many pages are left to read?",
            ),
            (
                f"На каникулах {who.dative} нужно прочитать {PAGE.ru_acc(total)}. Уже {DAY.ru(days)} подряд {who.on} "
                f"читает по {PAGE.ru(daily)} в день. Сколько страниц {who.emu} ещё осталось прочитать?",
                f"{who.en} has to read {PAGE.en(total)} during the holidays. For {DAY.en(days)} in a row "
                f"{who.he} has been reading {PAGE.en(daily)} a day. How many pages does {who.he} still have to read?",
            ),
        ],
    )


FAMILIES = (distance, meeting, work, pages)
