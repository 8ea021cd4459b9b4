"""Families about things that are shared, given away, compared and packed."""

from random import Random

from pipelines.problems.words import FINDS, FRUIT, KEEPSAKES, PEOPLE, TIME, TREATS, Story, noun


def sharing(rng: Random) -> Story:
    """Some are kept, the others shared equally."""
    who, thing = rng.choice(PEOPLE), rng.choice(TREATS)
    each, friends, kept = rng.randint(2, 9), rng.randint(3, 8), rng.randint(2, 7)
    total = each * friends + kept
    return Story(
        each,
        [
            (
                f"У {who.genitive} {thing.was(total)} {thing.ru(total)}. {who.on.capitalize()} оставил{who.a} себе "
                f"{thing.ru_acc(kept)}, а остальные раздал{who.a} поровну {friends} друзьям. "
                f"Сколько {thing.many} получил каждый друг?",
                f"{who.en} had {thing.en(total)}. {who.he.capitalize()} kept {thing.en(kept)} and shared the rest "
                f"equally among {friends} friends. How many {thing.plural} did each friend get?",
            ),
            (
                f"Бабушка купила {thing.ru_acc(total)}. Она отложила {thing.ru_acc(kept)} на завтра, а остальные "
                f"разделила поровну между {friends} внуками. Сколько {thing.many} досталось каждому внуку?",
                f"Grandmother bought {thing.en(total)}. She put {thing.en(kept)} aside for tomorrow and divided the "
                f"rest equally among {friends} grandchildren. How many {thing.plural} did each grandchild get?",
            ),
        ],
    )


_PIECE = noun("штука штуки штук штуку f piece pieces")
_CONTAINERS = (
    ("пакеты", "пакетов", "bags"),
    ("коробки", "коробок", "boxes"),
    ("корзинки", "корзинок", "baskets"),
    ("ящики", "ящиков", "crates"),
)


def packing(rng: Random) -> Story:
    """Two kinds of fruit packed, the same number to a container."""
    who, (fruit, other) = rng.choice(PEOPLE), rng.sample(FRUIT, 2)
    into, of, en = rng.choice(_CONTAINERS)
    size, boxes, more = rng.randint(4, 10), rng.randint(2, 7), rng.randint(2, 7)
    first, second = size * boxes, size * more
    return Story(
        boxes + more,
        [
            (
                f"{who} собрал{who.a} {fruit.ru_acc(first)} и {other.ru_acc(second)} и разложил{who.a} все фрукты "
                f"в {into} по {_PIECE.ru(size)}. Сколько {of} понадобилось?",
                f"{who.en} picked {fruit.en(first)} and {other.en(second)} and packed all the fruit "
                f"into {en}, {_PIECE.en(size)} in each. How many {en} were needed?",
            ),
            (
                f"В магазин привезли {fruit.ru_acc(first)} и {other.ru_acc(second)}. Все фрукты нужно разложить "
                f"в {into} по {_PIECE.ru(size)}. Сколько {of} для этого нужно?",
                f"A shop received {fruit.en(first)} and {other.en(second)}. All the fruit must be packed "
                f"into {en}, {_PIECE.en(size)} in each. How many {en} are needed for this?",
            ),
        ],
    )


def giving(rng: Random) -> Story:
    """Some are given away, some are added."""
    (who, friend), thing = rng.sample(PEOPLE, 2), rng.choice(KEEPSAKES)
    had, gave, got = rng.randint(15, 60), rng.randint(3, 14), rng.randint(2, 20)
    return Story(
        had - gave + got,
        [
            (
                f"У {who.genitive} {thing.was(had)} {thing.ru(had)}. {who.on.capitalize()} подарил{who.a} "
                f"{friend.dative} {thing.ru_acc(gave)}, а потом купил{who.a} ещё {thing.ru_acc(got)}. "
                f"Сколько {thing.many} стало у {who.genitive}?",
                f"{who.en} had {thing.en(had)}. {who.he.capitalize()} gave {friend.en} {thing.en(gave)} and then "
                f"bought another {thing.en(got)}. How many {thing.plural} did {who.en} have then?",
            ),
            (
                f"Утром у {who.genitive} {thing.was(had)} {thing.ru(had)}. Днём {who.on} отдал{who.a} {friend.dative} "
                f"{thing.ru_acc(gave)}, а вечером получил{who.a} от бабушки ещё {thing.ru_acc(got)}. "
                f"Сколько {thing.many} теперь у {who.genitive}?",
                f"In the morning {who.en} had {thing.en(had)}. In the afternoon {who.he} gave {friend.en} "
                f"{thing.en(gave)}, and in the evening got another {thing.en(got)} from Grandmother. "
                f"How many {thing.plural} does {who.en} have now?",
            ),
        ],
    )


def more(rng: Random) -> Story:
    """One has so many more or fewer than another; both together."""
    (who, friend), thing = rng.sample(PEOPLE, 2), rng.choice(FINDS)
    count, by, sign = rng.randint(12, 45), rng.randint(2, 10), rng.choice((1, -1))
    ru, en = ("больше", "more") if sign > 0 else ("меньше", "fewer")
    return Story(
        2 * count + sign * by,
        [
            (
                f"У {who.genitive} {thing.ru(count)}, а у {friend.genitive} на {thing.ru_acc(by)} {ru}. "
                f"Сколько {thing.many} у них вместе?",
                f"{who.en} has {thing.en(count)}, and {friend.en} has {by} {en} {thing.plural}. "
                f"How many {thing.plural} do they have together?",
            ),
            (
                f"{who} {who.by_gender('нашёл', 'нашла')} {thing.ru_acc(count)}, а {friend} — на {by} {ru}. "
                f"Сколько всего {thing.many} нашли {who} и {friend}?",
                f"{who.en} found {thing.en(count)}, and {friend.en} found {by} {en}. "
                f"How many {thing.plural} did {who.en} and {friend.en} find in all?",
            ),
        ],
    )


def times(rng: Random) -> Story:
    """One has so many times more than another; both together."""
    (who, friend), thing = rng.sample(PEOPLE, 2), rng.choice((*FINDS, *KEEPSAKES))
    count, factor = rng.randint(3, 25), rng.randint(2, 5)
    return Story(
        count + count * factor,
        [
            (
                f"У {who.genitive} {thing.ru(count)}, а у {friend.genitive} в {TIME.ru(factor)} больше. "
                f"Сколько {thing.many} у {who.genitive} и {friend.genitive} вместе?",
                f"{who.en} has {thing.en(count)}, and {friend.en} has {TIME.en(factor)} as many. "
                f"How many {thing.plural} do {who.en} and {friend.en} have together?",
            ),
            (
                f"{who} собрал{who.a} {thing.ru_acc(count)}, а {friend} — в {TIME.ru(factor)} больше, "
                f"чем {who}. Сколько {thing.many} они собрали вместе?",
                f"{who.en} collected {thing.en(count)}, and {friend.en} collected {TIME.en(factor)} as many "
                f"as {who.en}. How many {thing.plural} did they collect together?",
            ),
        ],
    )


def sum_difference(rng: Random) -> Story:
    """Two unknowns from their sum and their difference; the smaller one."""
    (who, friend), thing = rng.sample(PEOPLE, 2), rng.choice((*FINDS, *KEEPSAKES))
    smaller, by = rng.randint(3, 30), rng.randint(2, 12)
    total = 2 * smaller + by
    return Story(
        smaller,
        [
            (
                f"У {who.genitive} и {friend.genitive} вместе {thing.ru(total)}, причём у {who.genitive} "
                f"на {thing.ru_acc(by)} больше, чем у {friend.genitive}. Сколько {thing.many} у {friend.genitive}?",
                f"{who.en} and {friend.en} have {thing.en(total)} together, and {who.en} has {by} more "
                f"{thing.plural} than {friend.en}. How many {thing.plural} does {friend.en} have?",
            ),
            (
                f"{who} и {friend} собрали вместе {thing.ru_acc(total)}. {who} собрал{who.a} на {by} больше, "
                f"чем {friend}. Сколько {thing.many} собрал{friend.a} {friend}?",
                f"{who.en} and {friend.en} collected {thing.en(total)} together. {who.en} collected {by} more "
                f"than {friend.en}. How many {thing.plural} did {friend.en} collect?",
            ),
        ],
    )


_FRACTIONS = (("половину", "half", 2), ("треть", "a third", 3), ("четверть", "a quarter", 4))


def fraction(rng: Random) -> Story:
    """A half, a third or a quarter goes, and then some more."""
    (who, friend, third), thing = rng.sample(PEOPLE, 3), rng.choice(KEEPSAKES)
    ru, en, parts = rng.choice(_FRACTIONS)
    size, more_gone = rng.randint(6, 20), rng.randint(2, 5)
    had = size * parts
    return Story(
        had - size - more_gone,
        [
            (
                f"У {who.genitive} {thing.was(had)} {thing.ru(had)}. {who.on.capitalize()} отдал{who.a} {ru} своих "
                f"{thing.many} {friend.dative}, а потом ещё {thing.ru_acc(more_gone)} — {third.dative}. "
                f"Сколько {thing.many} осталось у {who.genitive}?",
                f"{who.en} had {thing.en(had)}. {who.he.capitalize()} gave {en} of {who.his} {thing.plural} to "
                f"{friend.en} and then another {thing.en(more_gone)} to {third.en}. "
                f"How many {thing.plural} did {who.en} have left?",
            ),
            (
                f"{who} купил{who.a} {thing.ru_acc(had)}. {ru.capitalize()} всех {thing.many} {who.on} "
                f"подарил{who.a} {friend.dative}, а ещё {thing.ru_acc(more_gone)} — {third.dative}. "
                f"Сколько {thing.many} осталось у {who.genitive}?",
                f"{who.en} bought {thing.en(had)}. {who.he.capitalize()} gave {en} of all the {thing.plural} "
                f"to {friend.en} and another {thing.en(more_gone)} to {third.en}. "
                f"How many {thing.plural} did {who.en} have left?",
            ),
        ],
    )


FAMILIES = (sharing, packing, giving, more, times, sum_difference, fraction)
