"""Families about numbers of people, animals and seats, and about numbers themselves."""

from random import Random

from pipelines.problems.words import (
    BOOK,
    CHAIR,
    DAY,
    PAGE,
    PASSENGER,
    PEOPLE,
    PERSON,
    PROBLEM,
    ROW,
    SEAT,
    Story,
    noun,
    nouns,
)

_TREE = noun("дерево дерева деревьев дерево n tree trees")
_PARTS = (
    ("в саду", _TREE, "яблони", "яблонь", "in the garden", "apple trees"),
    ("в парке", _TREE, "берёзы", "берёз", "in the park", "birches"),
    ("на участке", _TREE, "сосны", "сосен", "on the plot", "pines"),
    (
        "в книжном шкафу",
        BOOK,
        "сказки",
        "сказок",
        "in the bookcase",
        "fairy-tale books",
    ),
    (
        "на клумбе",
        noun("цветок цветка цветов цветок m flower flowers"),
        "тюльпаны",
        "тюльпанов",
        "in the flower bed",
        "tulips",
    ),
    ("на ферме", noun("птица птицы птиц птицу f bird birds"), "утки", "уток", "on the farm", "ducks"),
    (
        "на выставке",
        noun("картина картины картин картину f painting paintings"),
        "пейзажи",
        "пейзажей",
        "at the exhibition",
        "landscapes",
    ),
    (
        "в начальной школе",
        noun("ученик ученика учеников ученика m pupil pupils"),
        "девочки",
        "девочек",
        "in the primary school",
        "girls",
    ),
)


def percent(rng: Random) -> Story:
    """So many per cent of a number."""
    place, whole, part, of_part, place_en, part_en = rng.choice(_PARTS)
    total, share = rng.randrange(20, 201, 20), rng.choice((10, 20, 25, 30, 40, 50, 75))
    return Story(
        total * share // 100,
        [
            (
                f"{place.capitalize()} {whole.ru(total)}, из них {share}% — {part}. Сколько {of_part} {place}?",
                f"There are {whole.en(total)} {place_en}, and {share}% of them are {part_en}. "
                f"How many {part_en} are there {place_en}?",
            ),
            (
                f"{place.capitalize()} всего {whole.ru(total)}. {part.capitalize()} составляют {share}% "
                f"от этого числа. Сколько {of_part} {place}?",
                f"There are {whole.en(total)} {place_en} in all. {part_en.capitalize()} make up {share}% "
                f"of this number. How many {part_en} are there {place_en}?",
            ),
        ],
    )


def queue(rng: Random) -> Story:
    """Those before, those after, and the one who stands between."""
    who = rng.choice(PEOPLE)
    before, after = rng.randint(3, 15), rng.randint(3, 15)
    return Story(
        before + 1 + after,
        [
            (
                f"{who} стоит в очереди за билетами. Перед {who.instrumental} {PERSON.ru(before)}, "
                f"а за {who.nim} {PERSON.ru(after)}. Сколько всего человек в очереди вместе с {who.instrumental}?",
                f"{who.en} is standing in a queue for tickets. There are {PERSON.en(before)} in front of {who.en} "
                f"and {PERSON.en(after)} behind {who.him}. How many people are in the queue, {who.en} included?",
            ),
            (
                f"Дети построились в один ряд. Слева от {who.genitive} {PERSON.ru(before)}, а справа "
                f"{PERSON.ru(after)}. Сколько всего человек в этом ряду, считая и {who.ego}?",
                f"Some children lined up in one row. There are {PERSON.en(before)} to the left of {who.en} "
                f"and {PERSON.en(after)} to the right. How many people are in this row, counting {who.him} too?",
            ),
        ],
    )


_TRANSPORT = (
    ("автобусе", "bus"),
    ("трамвае", "tram"),
    ("троллейбусе", "trolleybus"),
    ("вагоне метро", "metro carriage"),
    ("вагоне электрички", "train carriage"),
)


def bus(rng: Random) -> Story:
    """Passengers who get off and on at two stops."""
    where, en = rng.choice(_TRANSPORT)
    start, off, on, off_again = rng.randint(15, 50), *rng.sample(range(2, 10), 3)
    return Story(
        start - off + on - off_again,
        [
            (
                f"В {where} {PASSENGER.ru(start)}. На первой остановке вышли {PERSON.ru(off)} и вошли {PERSON.ru(on)}, "
                f"а на второй вышли ещё {PERSON.ru(off_again)}. Сколько пассажиров теперь в {where}?",
                f"There are {PASSENGER.en(start)} in a {en}. At the first stop {PERSON.en(off)} got off and "
                f"{PERSON.en(on)} got on, and at the second another {PERSON.en(off_again)} got off. "
                f"How many passengers are there in the {en} now?",
            ),
            (
                f"В {where} {PASSENGER.was(start)} {PASSENGER.ru(start)}. Сначала вышли {PERSON.ru(off)} "
                f"и вошли {PERSON.ru(on)}, потом вышли ещё {PERSON.ru(off_again)}. Сколько пассажиров стало в {where}?",
                f"There were {PASSENGER.en(start)} in a {en}. First {PERSON.en(off)} got off and {PERSON.en(on)} "
                f"got on, then another {PERSON.en(off_again)} got off. How many passengers were in the {en} then?",
            ),
        ],
    )


_HALLS = (
    ("В школьном зале", "the school hall"),
    ("В зале театра", "the theatre"),
    ("В кинозале", "the cinema"),
    ("В цирке", "the circus"),
    ("В концертном зале", "the concert hall"),
)
_OCCASIONS = (
    ("концерта", "concert"),
    ("собрания", "meeting"),
    ("спектакля", "play"),
    ("лекции", "lecture"),
    ("праздника", "party"),
)


def seats(rng: Random) -> Story:
    """Rows of seats, some of them taken."""
    (hall, hall_en), (occasion, occasion_en) = rng.choice(_HALLS), rng.choice(_OCCASIONS)
    rows, width = rng.randint(5, 14), rng.randint(6, 16)
    free = rng.randint(6, rows * width // 2)
    taken = rows * width - free
    return Story(
        free,
        [
            (
                f"{hall} {ROW.ru(rows)} по {SEAT.ru(width)} в каждом. Зрители заняли {SEAT.ru_acc(taken)}. "
                f"Сколько свободных мест осталось?",
                f"There are {ROW.en(rows)} of {SEAT.en(width)} each in {hall_en}. The audience took {SEAT.en(taken)}. "
                f"How many free seats were left?",
            ),
            (
                f"Для {occasion} поставили {ROW.ru(rows)} стульев, по {CHAIR.ru(width)} в каждом ряду. Гости заняли "
                f"{CHAIR.ru_acc(taken)}. Сколько свободных стульев осталось?",
                f"For a {occasion_en} {ROW.en(rows)} of chairs were set up, {CHAIR.en(width)} in each row. The guests "
                f"took {CHAIR.en(taken)}. How many free chairs were left?",
            ),
        ],
    )


_TWO_LEGS = nouns("""
    гусь    гуся     гусей    гуся     m  goose   geese
    утка    утки     уток     утку     f  duck    ducks
    индюк   индюка   индюков  индюка   m  turkey  turkeys
    курица  курицы   кур      курицу   f  hen     hens
""")
_FOUR_LEGS = nouns("""
    кролик    кролика    кроликов  кролика    m  rabbit  rabbits
    овца      овцы       овец      овцу       f  sheep   sheep
    коза      козы       коз       козу       f  goat    goats
    корова    коровы     коров     корову     f  cow     cows
    телёнок   телёнка    телят     телёнка    m  calf    calves
    поросёнок  поросёнка  поросят  поросёнка  m  piglet  piglets
""")
_TWO_WHEELS = nouns("""
    велосипед  велосипеда  велосипедов  велосипед  m  bicycle    bicycles
    мотоцикл   мотоцикла   мотоциклов   мотоцикл   m  motorcycle  motorcycles
    самокат    самоката    самокатов    самокат    m  scooter     scooters
""")
_CAR = noun("автомобиль автомобиля автомобилей автомобиль m car cars")


def legs(rng: Random) -> Story:
    """Legs of two kinds of animals, or wheels of two kinds of vehicles; how many each has, everyone knows."""
    two, four = rng.randint(2, 14), rng.randint(2, 14)
    bird, beast, cycle = rng.choice(_TWO_LEGS), rng.choice(_FOUR_LEGS), rng.choice(_TWO_WHEELS)
    yard, yard_en = rng.choice((("Во дворе", "in the yard"), ("На лугу", "in the meadow"), ("На ферме", "on the farm")))
    lot, lot_en = rng.choice((("На стоянке", "in the car park"), ("Во дворе дома", "in the courtyard")))
    animals = (
        f"{yard} {bird.ru(two)} и {beast.ru(four)}. Сколько всего ног у этих животных?",
        f"There are {bird.en(two)} and {beast.en(four)} {yard_en}. How many legs do these animals have in all?",
    )
    vehicles = (
        f"{lot} {cycle.ru(two)} с двумя колёсами и {_CAR.ru(four)}. Сколько у них всего колёс?",
        f"There are {cycle.en(two)} with two wheels and {_CAR.en(four)} {lot_en}. How many wheels do they have in all?",
    )
    return Story(2 * two + 4 * four, [animals, vehicles])


def thought(rng: Random) -> Story:
    """A number found back from what was done to it."""
    who = rng.choice(PEOPLE)
    number, factor, term = rng.randint(2, 20), rng.randint(2, 6), rng.randint(2, 20)
    adds = number * factor <= term or rng.random() < 0.5
    result = number * factor + (term if adds else -term)
    did, did_en = (f"прибавил{who.a}", "added") if adds else (who.by_gender("вычел", "вычла"), "subtracted")
    to_do, to_do_en = ("к ответу прибавить", "add") if adds else ("из ответа вычесть", "subtract")
    return Story(
        number,
        [
            (
                f"{who} задумал{who.a} число, умножил{who.a} его на {factor}, затем {did} {term} и получил{who.a} "
                f"{result}. Какое число задумал{who.a} {who}?",
                f"{who.en} thought of a number, multiplied it by {factor}, then {did_en} {term} and got {result}. "
                f"What number did {who.en} think of?",
            ),
            (
                f"{who} загадал{who.a} число. Если умножить это число на {factor} и {to_do} {term}, получится "
                f"{result}. Какое число загадал{who.a} {who}?",
                f"{who.en} has a number in mind. If you multiply it by {factor} and {to_do_en} {term}, you get "
                f"{result}. What number does {who.en} have in mind?",
            ),
        ],
    )


_SERIES = (
    ("решил", "решал", PROBLEM, "solved", "solve"),
    ("прочитал", "читал", PAGE, "read", "read"),
    ("собрал", "собирал", noun("гриб гриба грибов гриб m mushroom mushrooms"), "gathered", "gather"),
    ("посадил", "сажал", noun("куст куста кустов куст m bush bushes"), "planted", "plant"),
    ("выучил", "учил", noun("слово слова слов слово n word words"), "learned", "learn"),
    ("сделал", "делал", noun("закладка закладки закладок закладку f bookmark bookmarks"), "made", "make"),
)


def average(rng: Random) -> Story:
    """The mean of what was done on each of three or four days."""
    who, (did, used_to, thing, did_en, do_en) = rng.choice(PEOPLE), rng.choice(_SERIES)
    mean, steps = rng.randint(12, 25), rng.sample(range(-4, 5), rng.randint(2, 3))
    others, last = [mean + step for step in steps], mean - sum(steps)  # the last day evens the others out
    count, listed = DAY.ru(len(others) + 1), ", ".join(map(str, others))
    return Story(
        mean,
        [
            (
                f"За {count} {who} {did}{who.a} {listed} и {thing.ru_acc(last)}. "
                f"Сколько {thing.many} в среднем {used_to}{who.a} {who} за один день?",
                f"Over {DAY.en(len(others) + 1)} {who.en} {did_en} {listed} and {thing.en(last)}. "
                f"How many {thing.plural} did {who.en} {do_en} a day on average?",
            ),
            (
                f"{who} каждый день записывал{who.a}, сколько {thing.many} {did}{who.a}. За {count} "
                f"получились такие числа: {listed} и {last}. Чему равно среднее арифметическое этих чисел?",
                f"{who.en} wrote down how many {thing.plural} {who.he} {did_en} each day. "
                f"Over {DAY.en(len(others) + 1)} the numbers were {listed} and {last}. "
                f"What is the average of these numbers?",
            ),
        ],
    )


FAMILIES = (percent, queue, bus, seats, legs, thought, average)
