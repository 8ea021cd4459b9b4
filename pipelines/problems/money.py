"""Families about prices, change and savings."""

from random import Random

from pipelines.problems.words import GOODS, PEOPLE, PRESENTS, RUBLE, Story

# «по» takes the dative after 21 (по 21 рублю): no price that follows it ends in 1.
_PRICES = (8, 9, 10, 12, 14, 15, 16, 18, 20, 22, 24, 25, 28, 30, 32, 35)


def change(rng: Random) -> Story:
    """Several of one thing, and the change from a banknote."""
    who, thing = rng.choice(PEOPLE), rng.choice(GOODS)
    count, price = rng.randint(2, 5), rng.choice(_PRICES)
    note = next(note for note in (50, 100, 200) if note > count * price)
    return Story(
        note - count * price,
        [
            (
                f"{who} купил{who.a} {thing.ru_acc(count)} по {RUBLE.ru(price)} за штуку и дал{who.a} кассиру "
                f"{RUBLE.ru(note)}. Сколько рублей сдачи получил{who.a} {who}?",
                f"{who.en} bought {thing.en(count)} at {RUBLE.en(price)} each and gave the cashier {RUBLE.en(note)}. "
                f"How many rubles of change did {who.en} get?",
            ),
            (
                f"За {thing.ru_acc(count)} по цене {RUBLE.ru(price)} за штуку {who} отдал{who.a} одну купюру "
                f"в {RUBLE.ru(note)}. Сколько рублей сдачи {who.emu} должны вернуть?",
                f"For {thing.en(count)} priced at {RUBLE.en(price)} each {who.en} handed over a single {note}-ruble "
                f"note. How many rubles of change should {who.he} get back?",
            ),
            (
                f"{who} хочет купить {thing.ru_acc(count)} по {RUBLE.ru(price)}. У {who.nego} есть {RUBLE.ru(note)}. "
                f"Сколько рублей останется у {who.genitive} после покупки?",
                f"{who.en} wants to buy {thing.en(count)} at {RUBLE.en(price)} each. {who.he.capitalize()} has "
                f"{RUBLE.en(note)}. How many rubles will {who.en} have left after the purchase?",
            ),
        ],
    )


def purchase(rng: Random) -> Story:
    """The cost of two kinds of goods together."""
    who, (thing, other) = rng.choice(PEOPLE), rng.sample(GOODS, 2)
    count, more = rng.randint(2, 4), rng.randint(2, 4)
    price, dearer = rng.sample(_PRICES, 2)
    ru = f"{thing.ru_acc(count)} по {RUBLE.ru(price)} и {other.ru_acc(more)} по {RUBLE.ru(dearer)}"
    en = f"{thing.en(count)} at {RUBLE.en(price)} each and {other.en(more)} at {RUBLE.en(dearer)} each"
    return Story(
        count * price + more * dearer,
        [
            (
                f"{who} купил{who.a} {ru}. Сколько рублей стоила вся покупка?",
                f"{who.en} bought {en}. How many rubles did the whole purchase cost?",
            ),
            (
                f"{who} собирается купить {ru}. Сколько рублей {who.emu} для этого нужно?",
                f"{who.en} is going to buy {en}. How many rubles does {who.he} need for this?",
            ),
        ],
    )


def proportion(rng: Random) -> Story:
    """The cost of some things, from the cost of another number of them."""
    (who, friend), thing = rng.sample(PEOPLE, 2), rng.choice(GOODS)
    count, other, price = rng.randint(2, 5), rng.randint(6, 9), rng.randint(6, 22)
    return Story(
        other * price,
        [
            (
                f"За {thing.ru_acc(count)} {who} заплатил{who.a} {RUBLE.ru(count * price)}. Сколько рублей нужно "
                f"заплатить за {thing.ru_acc(other)} по той же цене?",
                f"For {thing.en(count)} {who.en} paid {RUBLE.en(count * price)}. How many rubles must be paid "
                f"for {thing.en(other)} at the same price?",
            ),
            (
                f"{who} купил{who.a} {thing.ru_acc(count)} за {RUBLE.ru(count * price)}. Сколько рублей заплатит "
                f"{friend}, если купит {thing.ru_acc(other)} по той же цене?",
                f"{who.en} bought {thing.en(count)} for {RUBLE.en(count * price)}. How many rubles will {friend.en} "
                f"pay if {friend.he} buys {thing.en(other)} at the same price?",
            ),
        ],
    )


_GOALS = (
    ("книгу", "a book"),
    ("мяч", "a ball"),
    ("альбом", "an album"),
    ("настольную игру", "a board game"),
    ("набор красок", "a set of paints"),
    ("билет в цирк", "a circus ticket"),
    ("воздушного змея", "a kite"),
    ("подарок маме", "a present for mum"),
)


def savings(rng: Random) -> Story:
    """Weeks until a weekly sum fills what is missing."""
    who, (goal, goal_en) = rng.choice(PEOPLE), rng.choice(_GOALS)
    weekly, weeks, saved = rng.choice((10, 15, 20, 25, 30, 40, 50)), rng.randint(3, 8), rng.randrange(20, 110, 10)
    price = saved + weekly * weeks
    return Story(
        weeks,
        [
            (
                f"{who} копит деньги на {goal}. Нужно {RUBLE.ru(price)}, а есть пока {RUBLE.ru(saved)}. Каждую неделю "
                f"{who} откладывает ещё {RUBLE.ru(weekly)}. Через сколько недель {who.emu} хватит денег?",
                f"{who.en} is saving up for {goal_en}. {who.he.capitalize()} needs {RUBLE.en(price)} and has "
                f"{RUBLE.en(saved)} so far. Every week {who.en} puts aside another {RUBLE.en(weekly)}. "
                f"In how many weeks will {who.he} have enough money?",
            ),
            (
                f"Чтобы купить {goal}, {who.dative} нужно накопить {RUBLE.ru(price)}. В копилке у {who.nego} уже лежит "
                f"{RUBLE.ru(saved)}, и каждую неделю {who.on} добавляет туда {RUBLE.ru(weekly)}. За сколько недель "
                f"{who.on} накопит нужную сумму?",
                f"To buy {goal_en}, {who.en} needs to save {RUBLE.en(price)}. {who.his.capitalize()} money box already "
                f"holds {RUBLE.en(saved)}, and every week {who.he} adds {RUBLE.en(weekly)} to it. How many weeks will "
                f"it take {who.him} to save the sum?",
            ),
        ],
    )


def discount(rng: Random) -> Story:
    """A price after a discount in per cent."""
    who, thing = rng.choice(PEOPLE), rng.choice(PRESENTS)
    price, percent = rng.randrange(60, 320, 20), rng.choice((10, 20, 25, 50))
    return Story(
        price - price * percent // 100,
        [
            (
                f"{thing.one.capitalize()} в магазине стоил{thing.a} {RUBLE.ru(price)}. На распродаже цену снизили "
                f"на {percent}%. Сколько рублей теперь стоит {thing.one}?",
                f"One {thing.singular} cost {RUBLE.en(price)} in a shop. In a sale the price was reduced "
                f"by {percent}%. How many rubles does the {thing.singular} cost now?",
            ),
            (
                f"Цена {thing.few} — {RUBLE.ru(price)}. У {who.genitive} есть карта магазина, и по ней дают скидку "
                f"{percent}%. Сколько рублей заплатит {who} за {thing.accusative}?",
                f"The price of one {thing.singular} is {RUBLE.en(price)}. {who.en} has a shop card that gives "
                f"a discount of {percent}%. How many rubles will {who.en} pay for the {thing.singular}?",
            ),
        ],
    )


FAMILIES = (change, purchase, proportion, savings, discount)
