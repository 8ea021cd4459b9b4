"""What the stories are told with: Russian nouns and first names in the forms that a sentence needs, and their English.

A Russian numeral governs its noun: 1 яблоко, 2 яблока, 5 яблок, 11 яблок, 21 яблоко; in the accusative 21 книгу. The
middle form is also the genitive singular (цена книги), the last one the genitive plural (сколько книг).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Story(NamedTuple):
    """What a family makes up: the answer, and a few (Russian, English) tellings with the numbers in the same order."""

    gold: int
    tellings: Sequence[tuple[str, str]]


def numeral_form(n: int) -> int:
    """Which form of a noun follows n in Russian: 0 as after 1, 1 as after 2, 2 as after 5."""
    if n % 100 in range(11, 15):
        return 2
    return (2, 0, 1, 1, 1, 2, 2, 2, 2, 2)[n % 10]


@dataclass(frozen=True, slots=True)
class Noun:
    """A countable inanimate noun, or an animate one that the stories keep out of the accusative."""

    one: str
    few: str
    many: str
    accusative: str
    gender: str
    singular: str
    plural: str

    def ru(self, n: int) -> str:
        """The number with the noun in the nominative: 21 книга, 2 книги, 5 книг."""
        return f"{n} {(self.one, self.few, self.many)[numeral_form(n)]}"

    def ru_acc(self, n: int) -> str:
        """The number with the noun in the accusative: 21 книгу, 2 книги, 5 книг."""
        return f"{n} {(self.accusative, self.few, self.many)[numeral_form(n)]}"

    def en(self, n: int) -> str:
        """The number with the noun in English."""
        return f"{n} {self.singular if n == 1 else self.plural}"

    @property
    def a(self) -> str:
        """The ending of a verb in the past with this subject: мяч стоил, книга стоила."""
        return {"m": "", "f": "а", "n": "о"}[self.gender]

    def was(self, n: int) -> str:
        """The verb before n of this noun: была 21 книга, было 5 книг."""
        return f"был{self.a if numeral_form(n) == 0 else 'о'}"


@dataclass(frozen=True, slots=True)
class Person:
    """A child by first name; as text, the nominative."""

    name: str
    genitive: str
    dative: str
    instrumental: str
    gender: str
    en: str

    def __str__(self) -> str:
        return self.name

    def by_gender(self, male: str, female: str) -> str:
        """The form that agrees with the person."""
        return female if self.gender == "f" else male

    @property
    def a(self) -> str:
        """The ending of a verb in the past: Петя купил, Маша купила."""
        return self.by_gender("", "а")

    @property
    def on(self) -> str:
        """The nominative pronoun."""
        return self.by_gender("он", "она")

    @property
    def ego(self) -> str:
        """The possessive, without the н of a preposition."""
        return self.by_gender("его", "её")

    @property
    def nego(self) -> str:
        """The genitive pronoun after a preposition: у него, у неё."""
        return self.by_gender("него", "неё")

    @property
    def emu(self) -> str:
        """The dative pronoun."""
        return self.by_gender("ему", "ей")

    @property
    def nim(self) -> str:
        """The instrumental pronoun after a preposition: за ним, за ней."""
        return self.by_gender("ним", "ней")

    @property
    def he(self) -> str:
        """The English subject pronoun."""
        return self.by_gender("he", "she")

    @property
    def him(self) -> str:
        """The English object pronoun."""
        return self.by_gender("him", "her")

    @property
    def his(self) -> str:
        """The English possessive."""
        return self.by_gender("his", "her")


def nouns(table: str) -> tuple[Noun, ...]:
    """One noun a line: after 1, after 2, after 5, accusative singular, gender, English singular and plural."""
    return tuple(Noun(*line.split()) for line in table.strip().splitlines())


def noun(line: str) -> Noun:
    """A noun on its own."""
    return Noun(*line.split())


_PEOPLE = """
    Маша    Маши    Маше    Машей    f  Masha
    Аня     Ани     Ане     Аней     f  Anya
    Катя    Кати    Кате    Катей    f  Katya
    Оля     Оли     Оле     Олей     f  Olya
    Даша    Даши    Даше    Дашей    f  Dasha
    Лена    Лены    Лене    Леной    f  Lena
    Вера    Веры    Вере    Верой    f  Vera
    Нина    Нины    Нине    Ниной    f  Nina
    Алёна   Алёны   Алёне   Алёной   f  Alyona
    Полина  Полины  Полине  Полиной  f  Polina
    Соня    Сони    Соне    Соней    f  Sonya
    Юля     Юли     Юле     Юлей     f  Yulia
    Петя    Пети    Пете    Петей    m  Petya
    Коля    Коли    Коле    Колей    m  Kolya
    Миша    Миши    Мише    Мишей    m  Misha
    Дима    Димы    Диме    Димой    m  Dima
    Антон   Антона  Антону  Антоном  m  Anton
    Иван    Ивана   Ивану   Иваном   m  Ivan
    Олег    Олега   Олегу   Олегом   m  Oleg
    Артём   Артёма  Артёму  Артёмом  m  Artyom
    Роман   Романа  Роману  Романом  m  Roman
    Семён   Семёна  Семёну  Семёном  m  Semyon
    Егор    Егора   Егору   Егором   m  Yegor
    Тимур   Тимура  Тимуру  Тимуром  m  Timur
"""
PEOPLE = tuple(Person(*line.split()) for line in _PEOPLE.strip().splitlines())

RUBLE = noun("рубль рубля рублей рубль m ruble rubles")
YEAR = noun("год года лет год m year years")
WEEK = noun("неделя недели недель неделю f week weeks")
DAY = noun("день дня дней день m day days")
HOUR = noun("час часа часов час m hour hours")
MINUTE = noun("минута минуты минут минуту f minute minutes")
METRE = noun("метр метра метров метр m metre metres")
SQUARE_METRE = Noun(
    "квадратный метр",
    "квадратных метра",
    "квадратных метров",
    "квадратный метр",
    "m",
    "square metre",
    "square metres",
)
CENTIMETRE = noun("сантиметр сантиметра сантиметров сантиметр m centimetre centimetres")
DEGREE = noun("градус градуса градусов градус m degree degrees")
TIME = noun("раз раза раз раз m time times")
PERSON = noun("человек человека человек человека m person people")
PASSENGER = noun("пассажир пассажира пассажиров пассажира m passenger passengers")
PAGE = noun("страница страницы страниц страницу f page pages")
BOOK = noun("книга книги книг книгу f book books")
ROW = noun("ряд ряда рядов ряд m row rows")
SEAT = noun("место места мест место n seat seats")
CHAIR = noun("стул стула стульев стул m chair chairs")
PROBLEM = noun("задача задачи задач задачу f problem problems")

FRUIT = nouns("""
    яблоко    яблока     яблок       яблоко    n  apple      apples
    груша     груши      груш        грушу     f  pear       pears
    слива     сливы      слив        сливу     f  plum       plums
    апельсин  апельсина  апельсинов  апельсин  m  orange     oranges
    мандарин  мандарина  мандаринов  мандарин  m  tangerine  tangerines
    персик    персика    персиков    персик    m  peach      peaches
    лимон     лимона     лимонов     лимон     m  lemon      lemons
""")
TREATS = nouns("""
    конфета  конфеты   конфет    конфету  f  sweet     sweets
    пряник   пряника   пряников  пряник   m  cookie    cookies
    леденец  леденца   леденцов  леденец  m  lollipop  lollipops
    пирожок  пирожка   пирожков  пирожок  m  pie       pies
    булочка  булочки   булочек   булочку  f  bun       buns
    пончик   пончика   пончиков  пончик   m  doughnut  doughnuts
    орех     ореха     орехов    орех     m  nut       nuts
    вафля    вафли     вафель    вафлю    f  wafer     wafers
""")
KEEPSAKES = nouns("""
    марка     марки     марок     марку     f  stamp     stamps
    наклейка  наклейки  наклеек   наклейку  f  sticker   stickers
    открытка  открытки  открыток  открытку  f  postcard  postcards
    значок    значка    значков   значок    m  badge     badges
    магнит    магнита   магнитов  магнит    m  magnet    magnets
    монета    монеты    монет     монету    f  coin      coins
""")
FINDS = nouns("""
    ракушка  ракушки  ракушек   ракушку  f  seashell  seashells
    шишка    шишки    шишек     шишку    f  cone      cones
    камешек  камешка  камешков  камешек  m  pebble    pebbles
    каштан   каштана  каштанов  каштан   m  chestnut  chestnuts
    жёлудь   жёлудя   желудей   жёлудь   m  acorn     acorns
    гриб     гриба    грибов    гриб     m  mushroom  mushrooms
""")
GOODS = nouns("""
    тетрадь   тетради    тетрадей    тетрадь   f  notebook    notebooks
    ручка     ручки      ручек       ручку     f  pen         pens
    карандаш  карандаша  карандашей  карандаш  m  pencil      pencils
    ластик    ластика    ластиков    ластик    m  eraser      erasers
    линейка   линейки    линеек      линейку   f  ruler       rulers
    блокнот   блокнота   блокнотов   блокнот   m  notepad     notepads
    кисточка  кисточки   кисточек    кисточку  f  paintbrush  paintbrushes
    конверт   конверта   конвертов   конверт   m  envelope    envelopes
    закладка  закладки   закладок    закладку  f  bookmark    bookmarks
    булочка   булочки    булочек     булочку   f  bun         buns
    пирожок   пирожка    пирожков    пирожок   m  pie         pies
    пончик    пончика    пончиков    пончик    m  doughnut    doughnuts
""")
PRESENTS = nouns("""
    мяч     мяча    мячей    мяч     m  ball     balls
    кукла   куклы   кукол    куклу   f  doll     dolls
    книга   книги   книг     книгу   f  book     books
    игра    игры    игр      игру    f  game     games
    альбом  альбома альбомов альбом  m  album    albums
    рюкзак  рюкзака рюкзаков рюкзак  m  backpack backpacks
    шапка   шапки   шапок    шапку   f  hat      hats
    кружка  кружки  кружек   кружку  f  mug      mugs
    зонт    зонта   зонтов   зонт    m  umbrella umbrellas
""")
